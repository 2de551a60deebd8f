"""What ``concurrence env info`` tells of an environment, for people and for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from concurrence.env.environment import Environment
from concurrence.env.layout import CONFIG_FILE, LAYOUT, Entry, stamp_version
from concurrence.env.plugin_sources import plugin_files


def describe(environment: Environment) -> dict[str, Any]:
    """What is in an environment, in plain values."""
    from concurrence.nodes.locking import running_master

    folder = environment.path
    return {
        "path": str(folder),
        "layout": stamp_version(folder),
        "app": environment.app_name,
        "master": running_master(folder),
        "contents": [_content(folder, entry) for entry in LAYOUT],
        "plugins": [_plugin_name(path) for path in plugin_files(folder / "plugins")],
        "components": len(environment.registered()),
        "connect_files": _names(folder / "connect", "*.toml"),
        "config": [
            {"section": section, "name": name, "value": value.raw, "origin": value.origin}
            for section, name, value in environment.config.items()
        ],
        "plugin_failures": [
            {"name": failure.name, "source": failure.source, "traceback": failure.traceback}
            for failure in environment.plugin_failures
        ],
    }


def info_lines(known: dict[str, Any]) -> Iterator[str]:
    """The same for people.

    Args:
        known: What :func:`describe` said.
    """
    yield f"environment    {known['path']}, layout {known['layout']}"
    yield f"application    {known['app'] or 'none: name it in [project] app'}"
    yield f"master         {'runs: ' + known['master'] if known['master'] else 'none runs in it'}"
    yield f"plug-ins       {', '.join(known['plugins']) or 'none'}"
    yield f"components     {known['components']}"
    yield f"connect files  {', '.join(known['connect_files']) or 'none: a master makes them when it first runs'}"
    yield f"configuration  {Path(known['path']) / CONFIG_FILE}" + (
        "" if known["config"] else ", all options at their defaults"
    )
    for value in known["config"]:
        yield f"  {value['section']}.{value['name']} = {_written(value['value'])}    from {value['origin']}"
    yield "contents"
    yield from _content_lines(known["contents"])
    for failure in known["plugin_failures"]:
        yield f"broken plug-in {failure['name']} ({failure['source']}):"
        yield from (f"  {line}" for line in failure["traceback"].splitlines())


def _written(value: object) -> str:
    # JSON is TOML's way for texts, numbers and lists; dates and times, which JSON has not, come as texts.
    return json.dumps(value, ensure_ascii=False, default=str)


def _content_lines(contents: list[dict[str, Any]]) -> Iterator[str]:
    from concurrence.cli.display import human_bytes

    for entry in contents:
        size = "missing" if entry["bytes"] is None else human_bytes(entry["bytes"])
        first, *others = entry["meaning"]
        yield f"  {entry['name']:<18}{size:>10}  {first}"
        yield from (f"{'':<32}{line}" for line in others)


def _content(folder: Path, entry: Entry) -> dict[str, Any]:
    return {"name": entry.shown, "bytes": _size(folder / entry.name), "meaning": entry.meaning}


def _size(place: Path) -> int | None:
    """Bytes in a file, or in all files below a folder; None if it does not exist."""
    if not place.is_dir():
        return place.stat().st_size if place.exists() else None
    total = 0
    for folder, _, names in os.walk(place):
        for name in names:
            try:
                total += (Path(folder) / name).lstat().st_size
            except FileNotFoundError:  # a running master may have removed it just now
                continue
    return total


def _plugin_name(path: Path) -> str:
    return path.parent.name if path.name == "__init__.py" else path.name


def _names(folder: Path, pattern: str) -> list[str]:
    return sorted(place.name for place in folder.glob(pattern) if place.name[0] not in "._")
