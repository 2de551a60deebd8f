"""Where plug-ins are found: the entry points of installed distributions, and the modules of a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from pathlib import Path

GROUP = "concurrence.plugins"
"""The entry point group; each entry names a module, or a component class in one."""

OWN_DISTRIBUTION = "concurrence"


@dataclass(frozen=True, slots=True)
class PluginSource:
    """A plug-in that was found, before it is loaded.

    Attributes:
        name: Of the entry point, or of the module in the folder.
        where: Where it comes from, for people.
        module: The module that is imported.
        distribution: The installed distribution it belongs to; empty for a file, or if that cannot be read.
        version: The distribution's.
        entry: The entry point; None for a file.
        path: The file; None for an entry point.
        problem: Why it cannot even be tried; empty if it can.
    """

    name: str
    where: str
    module: str
    distribution: str = ""
    version: str = ""
    entry: EntryPoint | None = None
    path: Path | None = None
    problem: str = ""

    @property
    def is_own(self) -> bool:
        """Whether it is one of Concurrent's own parts."""
        return self.distribution == OWN_DISTRIBUTION


def find_plugins(folder: Path | None, *, own: bool = True) -> list[PluginSource]:
    """The plug-ins that there are, in the order in which they are loaded; nothing is imported.

    Args:
        folder: The environment's ``plugins/``, if there is an environment.
        own: Whether Concurrent's own parts are among them.
    """
    installed = [source for source in installed_sources() if own or not source.is_own]
    return [*installed, *(folder_sources(folder) if folder is not None else ())]


def installed_sources() -> list[PluginSource]:
    """The plug-ins of all installed distributions, in order of their names."""
    found: dict[tuple[str, str], PluginSource] = {}
    labels: dict[int, tuple[str, str]] = {}
    entries, damaged = _entries()
    for entry in entries:
        # A distribution can be found twice, through two entries of sys.path: the first one counts, as for imports.
        if (entry.name, entry.value) not in found:
            found[entry.name, entry.value] = _of_entry(entry, labels)
    return [*(found[key] for key in sorted(found)), *damaged]


def folder_sources(folder: Path) -> list[PluginSource]:
    """The plug-ins in a folder: its modules and packages, but for tests and what begins with ``_`` or ``.``."""
    return [
        PluginSource(path.parent.name if path.name == "__init__.py" else path.stem, str(path), "", path=path)
        for path in plugin_files(folder)
    ]


def plugin_files(folder: Path) -> Iterator[Path]:
    """The files of the plug-ins in a folder, in order of their names; of a package its ``__init__.py``."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(("_", ".", "test_")) or path.name in ("conftest.py", "tests"):
            continue
        if path.suffix == ".py" and path.is_file():
            yield path
        elif (path / "__init__.py").is_file():
            yield path / "__init__.py"


def _entries() -> tuple[list[EntryPoint], list[PluginSource]]:
    try:
        return list(entry_points(group=GROUP)), []
    except Exception:  # noqa: BLE001  somebody's metadata is damaged: look one by one, and tell whose
        return _entries_one_by_one()


def _entries_one_by_one() -> tuple[list[EntryPoint], list[PluginSource]]:
    entries: list[EntryPoint] = []
    damaged: list[PluginSource] = []
    for distribution in distributions():
        try:
            entries += distribution.entry_points.select(group=GROUP)
        except Exception as error:  # noqa: BLE001  told as the reason why it is left out
            name, version = _label(distribution)
            problem = f"its entry points cannot be read: {type(error).__name__}: {error}\n"
            where = f"installed distribution {name}"
            damaged.append(PluginSource(name, where, "", name, version, problem=problem))
    return entries, damaged


def _of_entry(entry: EntryPoint, labels: dict[int, tuple[str, str]]) -> PluginSource:
    name = version = ""
    if entry.dist is not None:
        name, version = labels.get(id(entry.dist)) or labels.setdefault(id(entry.dist), _label(entry.dist))
    where = f"entry point {entry.name} = {entry.value}" + (f" of {name}" if name else "")
    return PluginSource(entry.name, where, entry.value.partition(":")[0], name, version, entry=entry)


def _label(distribution: Distribution) -> tuple[str, str]:
    """Name and version; of a distribution that is half removed, what is left of them."""
    try:
        metadata = distribution.metadata
        name, version = (str(metadata[key]) if key in metadata else "" for key in ("Name", "Version"))
    except Exception:  # noqa: BLE001  the metadata is gone or damaged; whoever asked shows the folder's name instead
        name = version = ""
    folder = str(getattr(distribution, "_path", ""))
    stem = re.split(r"[\\/]", folder)[-1].removesuffix(".dist-info").removesuffix(".egg-info")
    return name or stem.partition("-")[0] or "an unknown distribution", version
