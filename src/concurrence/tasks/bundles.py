"""The owner's side of bundles: collects the application's own modules, and names the packages it needs.

A *bundle* is the sources of all modules below one folder from which the application imports. What is
installed does not travel: it becomes a *requirement* that the slave has to meet.
"""

from __future__ import annotations

import logging
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import decode_source
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import msgspec

from concurrence.tasks.importer import MAX_FILES, BundleModule, is_standard
from concurrence.tasks.imports import Imports, imports_of_source, requirement_of
from concurrence.wire.digests import bundle_digest
from concurrence.wire.messages import Requirement

MAX_BYTES = 16 * 1024 * 1024
_MAX_ENTRIES = 100_000  # what a walk may look at: an application may lie in somebody's home folder
_INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})
_SKIPPED_FOLDERS = _INSTALLED_FOLDERS | {"__pycache__", "node_modules"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bundle:
    """The sources of an application's own modules.

    Attributes:
        digest: Hash of the blob.
        blob: The encoded modules.
    """

    digest: bytes
    blob: bytes


class CodeNeeds(NamedTuple):
    """What must be on a slave before a function can be loaded there."""

    bundles: tuple[Bundle, ...]
    requirements: tuple[Requirement, ...]


class _Origin(NamedTuple):
    """Where modules of a bundle come from: a folder, or one file that is a module named ``prefix``."""

    prefix: str
    location: Path


class _TooMuch(Exception):
    """The folder holds more than a bundle may."""


class BundleCollector:
    """Decides what code a function needs, and collects it once.

    Args:
        max_files: A folder with more modules is not collected whole: only what is loaded is.
        max_bytes: The same for the size of the sources.
    """

    def __init__(self, *, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES) -> None:
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._bundles: dict[_Origin, Bundle | None] = {}
        self._imports: dict[str, Imports] = {}

    def needs(self, modules: Iterable[str]) -> CodeNeeds:
        """The bundles and requirements of code that refers to these modules.

        What those modules import is followed. An installed package is a requirement only if a module that
        is needed imports it unconditionally while it is itself imported: what only the main script or
        another corner of the application uses is not asked of a slave.

        Args:
            modules: Names of loaded modules; ``__main__`` stands for the folder of the script.
        """
        # From name to whether importing it is certain; an import in a function may never happen.
        waiting = dict.fromkeys(modules, True)
        seen: dict[str, bool] = {}
        origins: set[_Origin] = set()
        requirements: dict[str, Requirement] = {}
        while waiting:
            name, certain = waiting.popitem()
            module = sys.modules.get(name)
            if seen.get(name, False) >= certain and name in seen:
                continue
            seen[name] = certain
            if module is None or is_standard(name):
                continue
            origin = _origin(name, module)
            if origin is not None:
                origins.add(origin)
                for imported, at_once in self._imports_of(name, module):
                    waiting[imported] = waiting.get(imported, False) or (certain and at_once)
            elif certain and name != "__main__":
                requirement = requirement_of(name.partition(".")[0])
                if requirement is not None:
                    requirements[requirement.module] = requirement
        bundles = (self._bundle(origin) for origin in sorted(origins))
        return CodeNeeds(
            tuple(bundle for bundle in bundles if bundle is not None),
            tuple(requirements[module] for module in sorted(requirements)),
        )

    def _imports_of(self, name: str, module: ModuleType) -> Iterator[tuple[str, bool]]:
        if name not in self._imports:
            package = str(getattr(module, "__package__", "") or "")
            self._imports[name] = imports_of_source(_source_of(module), package)
        at_once, later = self._imports[name]
        yield from ((imported, name != "__main__") for imported in at_once)
        yield from ((imported, False) for imported in later)

    def _bundle(self, origin: _Origin) -> Bundle | None:
        if origin not in self._bundles:
            modules = self._collect(origin)
            if modules:
                blob = msgspec.msgpack.encode(sorted(modules, key=lambda module: module.name))
                self._bundles[origin] = Bundle(bundle_digest(blob), blob)
            else:
                self._bundles[origin] = None
        return self._bundles[origin]

    def _collect(self, origin: _Origin) -> list[BundleModule]:
        try:
            return self._read(origin, _walk(origin))
        except _TooMuch as problem:
            _log.warning(
                "%s %s: only the modules that are loaded now travel to the slaves. Move the application "
                "into a folder of its own if a task misses one",
                origin.location,
                problem,
            )
        try:
            return self._read(origin, _loaded_below(origin))
        except _TooMuch as problem:
            _log.warning("%s %s, even of what is loaded: no code of it travels", origin.location, problem)
            return []

    def _read(self, origin: _Origin, files: Iterable[tuple[str, bool, Path]]) -> list[BundleModule]:
        folder = origin.location if origin.location.is_dir() else origin.location.parent
        modules: list[BundleModule] = []
        size = 0
        for name, is_package, path in files:
            try:
                source = path.read_bytes()
            except OSError as error:
                _log.warning("%s cannot be read and does not travel to the slaves: %s", path, error)
                continue
            size += len(source)
            modules.append(BundleModule(name, is_package, path.relative_to(folder).as_posix(), source))
            if len(modules) > self._max_files or size > self._max_bytes:
                raise _TooMuch(f"holds more than {self._max_files} modules or {self._max_bytes >> 20} MiB")
        return modules


@cache
def _installation_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({os.path.join(paths[key], "") for key in ("stdlib", "platstdlib", "scripts") if key in paths})


def _is_installed(path: Path) -> bool:
    return not _INSTALLED_FOLDERS.isdisjoint(path.parts) or str(path).startswith(_installation_folders())


def _source_file(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py"):
        return None
    path = Path(os.path.abspath(file))
    return path if path.is_file() else None


def _source_of(module: ModuleType) -> str:
    path = _source_file(module)
    try:
        return decode_source(path.read_bytes()) if path is not None else ""
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        _log.warning("the imports of %s cannot be read: %s", path, error)
        return ""


def _origin(name: str, module: ModuleType) -> _Origin | None:
    """Where the module's bundle comes from; None if it is installed or has no source."""
    path = _source_file(module)
    if path is None or _is_installed(path):
        return None
    if name == "__main__":
        spec: ModuleSpec | None = getattr(module, "__spec__", None)
        name = spec.name if spec is not None and spec.name != "__main__" else path.stem
    is_package = path.name == "__init__.py"
    parts = tuple(name.split("."))
    place = path.parent if is_package else path.with_suffix("")
    if place.parts[-len(parts) :] == parts:
        return _Origin("", Path(*place.parts[: -len(parts)]))
    # Loaded from a file under a name of its own: it travels alone, under that name.
    return _Origin(name, path.parent if is_package else path)


def _walk(origin: _Origin) -> Iterator[tuple[str, bool, Path]]:
    """All importable modules of the origin, as name, whether it is a package, and file."""
    if origin.location.is_file():
        yield origin.prefix, False, origin.location
        return
    own_folder = Path(__file__).resolve().parent.parent
    seen = 0
    folders = [(origin.prefix, origin.location)]
    while folders:
        prefix, folder = folders.pop()
        dotted = prefix + "." if prefix else ""
        for entry in _entries(folder):
            seen += 1
            if seen > _MAX_ENTRIES:
                raise _TooMuch(f"holds more than {_MAX_ENTRIES} files")
            path = folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name.isidentifier() and _may_hold_modules(path) and path.resolve() != own_folder:
                    folders.append((dotted + entry.name, path))
            elif path.suffix != ".py" or not entry.is_file():
                continue
            elif path.stem == "__init__" and prefix:
                yield prefix, True, path
            elif path.stem.isidentifier() and path.stem != "__init__":
                yield dotted + path.stem, False, path


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        _log.debug("%s is left out of the bundle: %s", folder, error)
        return []


def _may_hold_modules(folder: Path) -> bool:
    return folder.name not in _SKIPPED_FOLDERS and not any(
        (folder / mark).exists() for mark in ("pyvenv.cfg", "conda-meta")
    )


def _loaded_below(origin: _Origin) -> Iterator[tuple[str, bool, Path]]:
    for name, module in list(sys.modules.items()):
        path = _source_file(module)
        if path is None or name == "__main__" or is_standard(name) or _is_installed(path):
            continue
        below = path.is_relative_to(origin.location) if origin.prefix else _origin(name, module) == origin
        if below:
            yield name, path.name == "__init__.py", path
