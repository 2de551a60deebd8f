"""The worker's side of bundles: a finder that makes an application's modules importable."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from importlib.util import decode_source, spec_from_loader
from types import ModuleType
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from concurrence.errors import ProtocolError
from concurrence.wire.codec import Frame
from concurrence.wire.digests import bundle_digest

MAX_FILES = 2_000
"""How many modules a bundle may hold."""

_OWN_PACKAGE = __name__.partition(".")[0]


class BundleModule(Struct, frozen=True, array_like=True):
    """One module of a bundle.

    Attributes:
        name: Its full name.
        is_package: Whether it is the ``__init__`` of a package.
        path: Its file, relative to the bundle's folder.
        source: What is in that file.
    """

    name: str
    is_package: bool
    path: str
    source: bytes


_modules_decoder = msgspec.msgpack.Decoder(Annotated[list[BundleModule], Meta(max_length=MAX_FILES)])


def is_standard(name: str) -> bool:
    """Whether the module is of the standard library or of Concurrent: those never travel."""
    top = name.partition(".")[0]
    return name != "__main__" and (top in sys.stdlib_module_names or top == _OWN_PACKAGE)


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


class _BundleLoader:
    """Runs one module of a bundle."""

    def __init__(self, module: BundleModule, file: str) -> None:
        self._module = module
        self._file = file

    def create_module(self, spec: ModuleSpec) -> None:
        """Let the import system create the module as usual."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's source."""
        code = compile(self._module.source, self._file, "exec", dont_inherit=True)
        exec(code, module.__dict__)

    def get_source(self, name: str) -> str:
        """The source; this is where ``linecache`` finds the lines for a traceback."""
        return decode_source(self._module.source)

    def is_package(self, name: str) -> bool:
        """Whether the module is a package."""
        return self._module.is_package


class BundleImporter:
    """Makes the modules of bundles importable, one application's bundles at a time."""

    def __init__(self) -> None:
        self._bundles: dict[bytes, list[BundleModule]] = {}
        self._active: tuple[bytes, ...] = ()
        self._modules: dict[str, tuple[bytes, BundleModule]] = {}
        self._namespaces: set[str] = set()
        self._served: set[str] = set()
        self._stashed: dict[tuple[bytes, ...], dict[str, ModuleType]] = {}
        self._namespace_finder = _NamespaceFinder(self)

    def add(self, digest: bytes, blob: Frame) -> None:
        """Keep a bundle.

        Raises:
            ProtocolError: The bytes are not a bundle, or not the one that the digest names.
        """
        if bundle_digest(blob) != digest:
            raise ProtocolError(f"the bytes of bundle {digest.hex()} do not match its digest")
        try:
            self._bundles[digest] = _modules_decoder.decode(blob)
        except msgspec.MsgspecError as error:
            raise ProtocolError(f"bundle {digest.hex()} is malformed: {error}") from error

    def __contains__(self, digest: object) -> bool:
        return digest in self._bundles

    @property
    def active(self) -> tuple[bytes, ...]:
        """The bundles that are importable now."""
        return self._active

    def keep(self, digests: Iterable[bytes]) -> None:
        """Drop all bundles but these, together with the modules that were loaded from the others."""
        dropped = self._bundles.keys() - set(digests)
        if not dropped:
            return
        if not dropped.isdisjoint(self._active):
            self.activate(())
        self._stashed = {key: modules for key, modules in self._stashed.items() if dropped.isdisjoint(key)}
        for digest in dropped:
            del self._bundles[digest]

    def activate(self, digests: Iterable[bytes]) -> None:
        """Make exactly these bundles importable; the first that has a module serves it.

        Modules that were loaded from another set are put aside, and are back when that set is.
        """
        wanted = tuple(digests)
        if wanted == self._active:
            return
        aside = {name: sys.modules.pop(name) for name in self._served if name in sys.modules}
        self._stashed[self._active] = aside
        self._active = wanted
        self._modules = {}
        for digest in reversed(wanted):
            self._modules.update((module.name, (digest, module)) for module in self._bundles[digest])
        self._namespaces = {parent for name in self._modules for parent in _parents(name)} - self._modules.keys()
        restored = self._stashed.pop(wanted, {})
        self._served = set(restored)
        sys.modules.update(restored)
        self._install()

    def deactivate(self) -> None:
        """Leave the import system as it was found."""
        self.activate(())
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in (self, self._namespace_finder)]

    def _install(self) -> None:
        # First, so that an installed package of the same name does not take the place of the application's
        # module; only namespaces come last, as a folder without __init__ gives way to any package.
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
            sys.meta_path.append(self._namespace_finder)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Part of the protocol of ``sys.meta_path``."""
        found = self._modules.get(name)
        if found is None or is_standard(name):
            return None
        digest, module = found
        file = f"<bundle {digest.hex()[:8]}>/{module.path}"
        loader: Any = _BundleLoader(module, file)  # its type would ask for load_module, which is long obsolete
        spec = spec_from_loader(name, loader, origin=file, is_package=module.is_package)
        if spec is not None:
            spec.has_location = True
            if module.is_package:
                spec.submodule_search_locations = [file.rpartition("/")[0]]
            self._served.add(name)
        return spec

    def find_namespace(self, name: str) -> ModuleSpec | None:
        """The spec of a folder without ``__init__``."""
        if name not in self._namespaces or is_standard(name):
            return None
        self._served.add(name)
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = ["<bundle>/" + name.replace(".", "/")]
        return spec


class _NamespaceFinder:
    """Finds the namespaces of an importer, after all other finders have failed."""

    def __init__(self, importer: BundleImporter) -> None:
        self._importer = importer

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Part of the protocol of ``sys.meta_path``."""
        return self._importer.find_namespace(name)
