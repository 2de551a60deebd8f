import gc
import importlib
import importlib.util
import inspect
import logging
import sys
import textwrap
import traceback
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from concurrence.errors import ProtocolError
from concurrence.tasks.bundles import Bundle, BundleCollector
from concurrence.tasks.importer import BundleImporter, BundleModule
from concurrence.tasks.imports import imports_of_source
from concurrence.wire.digests import bundle_digest
from concurrence.wire.messages import Requirement

Files = dict[str, str]
Importing = Callable[..., ModuleType]


@pytest.fixture(autouse=True)
def _clean_modules() -> Iterator[None]:
    before, paths, finders = set(sys.modules), list(sys.path), list(sys.meta_path)
    yield
    for name in set(sys.modules) - before:
        file = str(getattr(sys.modules[name], "__file__", None) or "<bundle")
        if "site-packages" not in file and name not in sys.stdlib_module_names and "<bundle" in file:
            del sys.modules[name]
    sys.path[:], sys.meta_path[:] = paths, finders


@pytest.fixture
def importing(tmp_path: Path) -> Iterator[Importing]:
    """Writes an application's files and imports a module of it, as the client does."""
    names: list[str] = []

    def write_and_import(files: Files, name: str, folder: str = "app") -> ModuleType:
        write(tmp_path / folder, files)
        sys.path.insert(0, str(tmp_path / folder))
        importlib.invalidate_caches()
        before = set(sys.modules)
        try:
            return importlib.import_module(name)
        finally:
            names.extend(n for n in set(sys.modules) - before if n not in sys.stdlib_module_names)

    yield write_and_import
    for name in names:
        sys.modules.pop(name, None)


def write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content))


def modules_of(bundle: Bundle) -> dict[str, BundleModule]:
    return {module.name: module for module in msgspec.msgpack.decode(bundle.blob, type=list[BundleModule])}


def bundle_of(files: Files, packages: tuple[str, ...] = ()) -> Bundle:
    """A bundle made by hand: ``pkg/__init__.py`` is a package."""
    modules: list[BundleModule] = []
    for path, source in sorted(files.items()):
        is_package = path.endswith("__init__.py")
        name = path.removesuffix("/__init__.py" if is_package else ".py").replace("/", ".")
        modules.append(BundleModule(name, is_package, path, textwrap.dedent(source).encode()))
    blob = msgspec.msgpack.encode(modules)
    return Bundle(bundle_digest(blob), blob)


def importer_with(*bundles: Bundle) -> BundleImporter:
    importer = BundleImporter()
    for bundle in bundles:
        importer.add(bundle.digest, bundle.blob)
    return importer


# --- what is collected ---


def test_a_bundle_is_all_modules_below_the_folder(importing: Importing) -> None:
    files = {
        "zz_main.py": "import zz_pkg.deep.leaf",
        "zz_other.py": "",
        "zz_pkg/__init__.py": "",
        "zz_pkg/deep/leaf.py": "",
        "notes.txt": "no module",
        "not-importable.py": "",
        ".hidden/secret.py": "",
        "__pycache__/cached.py": "",
        "venv/pyvenv.cfg": "",
        "venv/inside.py": "",
        "node_modules/thing.py": "",
        "lib/site-packages/installed.py": "",
        "not-a-name/module.py": "",
    }
    importing(files, "zz_main")
    [bundle] = BundleCollector().needs(["zz_main"]).bundles
    found = modules_of(bundle)
    assert set(found) == {"zz_main", "zz_other", "zz_pkg", "zz_pkg.deep.leaf"}
    assert found["zz_pkg"].is_package
    assert found["zz_pkg.deep.leaf"].path == "zz_pkg/deep/leaf.py"
    assert bundle.digest == bundle_digest(bundle.blob)


def test_bundles_are_deterministic_and_differ_with_their_content(importing: Importing) -> None:
    importing({"zz_one.py": "A = 1", "zz_two.py": ""}, "zz_one")
    first = BundleCollector().needs(["zz_one"])
    assert BundleCollector().needs(["zz_one"]) == first
    Path(str(sys.modules["zz_one"].__file__)).write_text("A = 2")
    assert BundleCollector().needs(["zz_one"]).bundles != first.bundles


def test_what_is_installed_or_standard_is_no_bundle() -> None:
    needs = BundleCollector().needs(
        ["json", "concurrence.tasks.api", "msgspec", "numpy.linalg", "__main__", "zz_absent"]
    )
    assert needs.bundles == ()
    assert {need.module for need in needs.requirements} == {"msgspec", "numpy"}
    assert Requirement("msgspec", "msgspec", msgspec.__version__) in needs.requirements


def test_requirements_are_what_the_needed_modules_surely_import(importing: Importing) -> None:
    files = {
        "zz_tasks.py": """
            import json, msgspec
            from zz_numbers import table
            try:
                import zmq
            except ImportError:
                zmq = None
            from typing import TYPE_CHECKING
            if TYPE_CHECKING:
                import rich
            def later():
                import typer
        """,
        "zz_numbers.py": "import numpy.linalg\ntable = 1",
        "zz_plots.py": "import cloudpickle",
    }
    importing(files, "zz_tasks")
    importlib.import_module("zz_plots")
    needs = BundleCollector().needs(["zz_tasks"])
    assert {need.module for need in needs.requirements} == {"msgspec", "numpy"}
    assert len(needs.bundles) == 1


def test_modules_of_other_folders_are_followed(importing: Importing) -> None:
    importing({"zz_shared.py": "import msgspec"}, "zz_shared", folder="shared")
    importing({"zz_lazy.py": ""}, "zz_lazy", folder="lazy")
    importing({"zz_app.py": "import zz_shared\ndef f():\n    import zz_lazy"}, "zz_app", folder="app")
    needs = BundleCollector().needs(["zz_app"])
    names = set[str]().union(*(modules_of(bundle) for bundle in needs.bundles))
    assert names == {"zz_app", "zz_shared", "zz_lazy"}
    assert [need.module for need in needs.requirements] == ["msgspec"]


def test_a_module_loaded_under_a_name_of_its_own_travels_alone(tmp_path: Path) -> None:
    write(tmp_path, {"plug.py": "X = 1", "beside.py": ""})
    spec = importlib.util.spec_from_file_location("zz_plugins_plug", tmp_path / "plug.py")
    assert spec is not None
    sys.modules["zz_plugins_plug"] = importlib.util.module_from_spec(spec)
    try:
        [bundle] = BundleCollector().needs(["zz_plugins_plug"]).bundles
    finally:
        del sys.modules["zz_plugins_plug"]
    assert set(modules_of(bundle)) == {"zz_plugins_plug"}


@pytest.mark.parametrize("limits", [{"max_files": 5}, {"max_bytes": 2_000}])
def test_of_a_large_folder_only_what_is_loaded_travels(
    importing: Importing, caplog: pytest.LogCaptureFixture, limits: dict[str, Any]
) -> None:
    files = {f"zz_many_{i}.py": "#" * 300 for i in range(10)} | {"zz_start.py": "import zz_many_3"}
    importing(files, "zz_start")
    with caplog.at_level(logging.WARNING):
        [bundle] = BundleCollector(**limits).needs(["zz_start"]).bundles
    assert set(modules_of(bundle)) == {"zz_start", "zz_many_3"}
    assert "only the modules that are loaded" in caplog.text


def test_imports_are_read_off_the_source() -> None:
    source = """
import a.b
from . import c
from ..d import e as f
class Inner:
    import g
try:
    import h
except (ValueError, ImportError):
    import i
finally:
    import j
try:
    import k
except ValueError:
    pass
with x:
    import l
"""
    found = imports_of_source(source, "p.q")
    assert found.at_once >= {"a", "a.b", "p.q", "p.q.c", "p.d", "p.d.e", "g", "j", "k", "l"}
    assert found.later == {"h", "i"}
    assert imports_of_source("not python (", "") == (frozenset(), frozenset())


# --- what is imported ---


def test_packages_relative_lazy_and_namespace_imports_work() -> None:
    bundle = bundle_of(
        {
            "zz_pkg/__init__.py": "from .one import ONE",
            "zz_pkg/one.py": "from . import two\nONE = two.TWO - 1",
            "zz_pkg/two.py": "TWO = 2\ndef lazy():\n    from zz_space.inner import three\n    return three.THREE",
            "zz_space/inner/three.py": "from zz_pkg import two\nTHREE = two.TWO + 1",
        }
    )
    importer_with(bundle).activate([bundle.digest])
    package = importlib.import_module("zz_pkg")
    assert package.ONE == 1
    assert package.two.lazy() == 3
    assert importlib.import_module("zz_space").__path__
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("zz_pkg.absent")


def test_tracebacks_and_inspect_show_the_source() -> None:
    bundle = bundle_of({"zz_fails.py": 'def fail():\n    raise ValueError("oh")  # the line itself\n'})
    importer_with(bundle).activate([bundle.digest])
    module = importlib.import_module("zz_fails")
    assert module.__file__ is not None
    assert module.__file__.endswith("/zz_fails.py")
    with pytest.raises(ValueError, match="oh") as caught:
        module.fail()
    text = "".join(traceback.format_exception(caught.value))
    assert "# the line itself" in text
    assert "def fail" in inspect.getsource(module.fail)


def test_two_applications_with_the_same_module_names_alternate() -> None:
    first = bundle_of({"zz_helper.py": "WHO = 'first'\nfrom zz_parts import part", "zz_parts/part.py": "P = 1"})
    second = bundle_of({"zz_helper.py": "WHO = 'second'", "zz_only.py": ""})
    importer = importer_with(first, second)
    seen: dict[bytes, ModuleType] = {}
    for _ in range(3):
        for bundle, who in ((first, "first"), (second, "second")):
            importer.activate([bundle.digest])
            module = importlib.import_module("zz_helper")
            assert who == module.WHO
            assert seen.setdefault(bundle.digest, module) is module  # its state is back, not a fresh copy
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("zz_parts.part")
    importer.activate([first.digest])
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("zz_only")
    importer.deactivate()
    assert importer not in sys.meta_path
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("zz_helper")


def test_a_bundle_comes_before_the_path_but_not_before_the_standard_library(tmp_path: Path) -> None:
    write(tmp_path, {"zz_here_too.py": "WHERE = 'path'"})
    sys.path.insert(0, str(tmp_path))
    bundle = bundle_of({"zz_here_too.py": "WHERE = 'bundle'", "this.py": "WHERE = 'bundle'"})
    importer = importer_with(bundle)
    importer.activate([bundle.digest])
    assert importlib.import_module("zz_here_too").WHERE == "bundle"
    assert importer.find_spec("this") is None
    assert importer.find_spec("concurrence.errors") is None


def test_a_namespace_gives_way_to_an_installed_package(tmp_path: Path) -> None:
    write(tmp_path, {"zz_regular/__init__.py": "REGULAR = True"})
    sys.path.insert(0, str(tmp_path))
    bundle = bundle_of({"zz_regular/scripts/tool.py": ""})
    importer_with(bundle).activate([bundle.digest])
    module = importlib.import_module("zz_regular")
    sys.modules.pop("zz_regular")
    assert module.REGULAR


def test_only_bytes_that_match_their_digest_are_accepted() -> None:
    bundle = bundle_of({"zz_x.py": ""})
    importer = BundleImporter()
    with pytest.raises(ProtocolError, match="digest"):
        importer.add(bundle.digest, bundle.blob + b"x")
    with pytest.raises(ProtocolError, match="malformed"):
        importer.add(bundle_digest(b"\x01"), b"\x01")
    assert bundle.digest not in importer
    importer.add(bundle.digest, memoryview(bundle.blob))
    assert bundle.digest in importer


def test_a_module_that_cannot_be_compiled_says_where() -> None:
    bundle = bundle_of({"zz_bad.py": "x = = 1"})
    importer_with(bundle).activate([bundle.digest])
    with pytest.raises(SyntaxError) as caught:
        importlib.import_module("zz_bad")
    assert str(caught.value.filename).endswith("zz_bad.py")
    assert "zz_bad" not in sys.modules


def test_modules_that_were_put_aside_go_with_their_bundle() -> None:
    first, second = bundle_of({"zz_aside.py": "WHO = 1"}), bundle_of({"zz_aside.py": "WHO = 2"})
    importer = importer_with(first, second)
    importer.activate([first.digest])
    module = importlib.import_module("zz_aside")
    gone = weakref.ref(module)
    importer.activate([second.digest])
    assert importlib.import_module("zz_aside").WHO == 2
    importer.keep([second.digest])
    del module
    gc.collect()
    assert gone() is None
    assert first.digest not in importer
    assert importlib.import_module("zz_aside").WHO == 2
    importer.add(first.digest, first.blob)
    importer.activate([first.digest])
    assert importlib.import_module("zz_aside").WHO == 1
    importer.deactivate()
