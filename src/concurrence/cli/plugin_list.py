"""What ``concurrence plugin list`` shows."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from concurrence.component import Component, identity, interfaces
from concurrence.env.environment import Environment
from concurrence.env.log import configure_logging
from concurrence.env.plugin_sources import find_plugins
from concurrence.env.plugins import Plugin, load_sources


@contextmanager
def survey(path: Path | None) -> Generator[tuple[Environment, list[Plugin]]]:
    """The environment in a folder, or around the working directory, with what became of each of its plug-ins.

    Args:
        path: The folder; without one, and outside of any, a temporary environment is used.

    Raises:
        EnvironmentInvalid: The folder is no environment.
        ConfigError: Its config cannot be read.
    """
    configure_logging("CRITICAL")  # those that fail are listed
    folder = path if path is not None else Environment.discover(Path.cwd())
    opened = Environment.ephemeral(plugins=False) if folder is None else Environment.open(folder, plugins=False)
    with opened as environment:
        plugins = environment.path / "plugins"
        yield environment, load_sources(environment, find_plugins(plugins), plugins, log=environment.log)


def lines(environment: Environment, plugins: list[Plugin]) -> Iterator[str]:
    """The list for people: a line for each plug-in, and one for each of its components."""
    for plugin in plugins:
        source = plugin.source
        home = f"{source.distribution} {source.version}".strip() or _file(environment, plugin)
        module = "" if source.path is not None else f"  {source.module}"
        yield f"{source.name}  {home}{module}" + ("  BROKEN" if plugin.failure is not None else "")
        for cls in plugin.components:
            state = "" if environment.is_enabled(cls) else ", disabled"
            yield f"    {cls.__name__} ({', '.join(_interfaces(cls)) or 'no interface'}{state})"
        if plugin.failure is not None:
            yield from (f"    {line}" for line in plugin.failure.traceback.rstrip().splitlines())
        elif not plugin.components:
            yield "    no components"


def as_dict(environment: Environment, plugins: list[Plugin]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "environment": None if environment.is_temporary else str(environment.path),
        "plugins": [_plugin_as_dict(environment, plugin) for plugin in plugins],
    }


def _plugin_as_dict(environment: Environment, plugin: Plugin) -> dict[str, Any]:
    source, failure = plugin.source, plugin.failure
    return {
        "name": source.name,
        "module": source.module or source.name,
        "distribution": source.distribution or None,
        "version": source.version or None,
        "file": str(source.path) if source.path is not None else None,
        "components": [
            {"name": identity(cls), "interfaces": _interfaces(cls), "enabled": environment.is_enabled(cls)}
            for cls in plugin.components
        ],
        "error": None if failure is None else {"reason": failure.reason, "traceback": failure.traceback},
    }


def _interfaces(cls: type[Component]) -> list[str]:
    return [interface.__name__ for interface in interfaces(cls)]


def _file(environment: Environment, plugin: Plugin) -> str:
    path = plugin.source.path
    if path is None:
        return plugin.source.where
    return str(path.relative_to(environment.path)) if path.is_relative_to(environment.path) else str(path)
