"""Plug-ins and applications: loading, containment of failures, what the user is told."""

from __future__ import annotations

import importlib.metadata
import logging
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from concurrence.component import ComponentManager
from concurrence.env import plugin_sources, plugins
from concurrence.env.plugin_sources import find_plugins
from concurrence.env.plugins import (
    load_path,
    load_plugins,
    load_sources,
    register_module,
    unload,
)
from concurrence.errors import PluginError, UsageError

COMPONENT = "from concurrence.component import Component\nclass {name}(Component): pass\n"
LOG = logging.getLogger("concurrence.test")


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(plugin_sources, "entry_points", no_entry_points)
    yield
    unload(tmp_path)


def no_entry_points(*, group: str) -> list[EntryPoint]:
    return []


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__slash__", "/")
        path = path.with_name(path.name + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def names(manager: ComponentManager) -> list[str]:
    return [cls.__name__ for cls in manager.registered()]


def test_modules_and_packages_of_the_folder_are_loaded_in_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        zz_one=COMPONENT.format(name="One"),
        aa_pack__slash____init__="from aa_pack.inner import Inner\n" + COMPONENT.format(name="Outer"),
        aa_pack__slash__inner=COMPONENT.format(name="Inner"),
        _hidden=COMPONENT.format(name="Hidden"),
    )
    (tmp_path / "notes.txt").write_text("no plug-in")
    (tmp_path / "data").mkdir()
    manager = ComponentManager()
    assert load_plugins(manager, tmp_path, log=LOG) == []
    assert names(manager) == ["Inner", "Outer", "One"]
    assert manager.registered()[2].__module__ == "zz_one"
    assert sys.modules["zz_one"].__file__ == str(tmp_path / "zz_one.py")


def test_plug_ins_import_helpers_and_each_other_but_register_only_their_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        p_first="from _p_helper import BASE\nfrom p_second import Second\n" + COMPONENT.format(name="First"),
        p_second=COMPONENT.format(name="Second") + "class Base(Component, abstract=True): pass\n",
        _p_helper="BASE = 1\n",
    )
    manager = ComponentManager()
    assert load_plugins(manager, tmp_path, log=LOG) == []
    assert names(manager) == ["First", "Second"]


def test_failing_plug_ins_are_contained_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(
        tmp_path,
        q_broken="def deep():\n    raise RuntimeError('boom')\ndeep()\n",
        q_exit="raise SystemExit(3)\n",
        q_good=COMPONENT.format(name="Good"),
        q_incomplete="from concurrence.telemetry.api import IStats\n"
        + COMPONENT.format(name="X").replace("(Component)", "(Component, IStats)"),
        q_missing="import no_such_module_at_all\n",
        q_syntax="x = = 1\n",
    )
    manager = ComponentManager()
    with caplog.at_level(logging.ERROR, "concurrence"):
        failures = load_plugins(manager, tmp_path, log=LOG)
    assert names(manager) == ["Good"]
    assert [failure.name for failure in failures] == [
        "q_broken",
        "q_exit",
        "q_incomplete",
        "q_missing",
        "q_syntax",
    ]
    broken = failures[0]
    assert broken.source == str(tmp_path / "q_broken.py")
    assert "RuntimeError: boom" in broken.traceback
    assert f'File "{tmp_path / "q_broken.py"}", line 2, in deep' in broken.traceback
    assert "importlib" not in broken.traceback
    assert plugins.__file__ not in broken.traceback
    assert "X.add_avg is missing" in failures[2].traceback
    assert failures[2].traceback.startswith(f"{tmp_path / 'q_incomplete.py'}:3: component q_incomplete:X is")
    assert "component.py" not in failures[2].traceback
    assert "line 1" in failures[4].traceback
    assert len(caplog.records) == 5
    assert "q_broken" in caplog.text
    assert "RuntimeError: boom" in caplog.text
    assert "q_broken" not in sys.modules


def test_interrupts_are_not_contained(tmp_path: Path) -> None:
    write(tmp_path, r_stop="raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_plugins(ComponentManager(), tmp_path, log=LOG)


def test_a_plug_in_cannot_take_the_name_of_another_module(tmp_path: Path) -> None:
    write(tmp_path, json=COMPONENT.format(name="Json"), sys=COMPONENT.format(name="Sys"))
    failures = load_plugins(ComponentManager(), tmp_path, log=LOG)
    assert [failure.name for failure in failures] == ["json", "sys"]
    assert "the module name json is taken by" in failures[0].traceback
    assert "a built-in module" in failures[1].traceback


def test_plug_ins_of_two_folders_may_have_the_same_name(tmp_path: Path) -> None:
    managers = [ComponentManager(), ComponentManager()]
    for index, manager in enumerate(managers):
        folder = tmp_path / str(index)
        write(folder, s_same=COMPONENT.format(name=f"Same{index}"))
        assert load_plugins(manager, folder, log=LOG) == []
    assert [names(manager) for manager in managers] == [["Same0"], ["Same1"]]


def test_unload_forgets_modules_and_folder(tmp_path: Path) -> None:
    write(tmp_path, t_gone=COMPONENT.format(name="Gone"))
    load_plugins(ComponentManager(), tmp_path, log=LOG)
    assert str(tmp_path) in sys.path
    unload(tmp_path)
    assert "t_gone" not in sys.modules
    assert str(tmp_path) not in sys.path


def test_a_missing_folder_is_no_error(tmp_path: Path) -> None:
    assert load_plugins(ComponentManager(), tmp_path / "missing", log=LOG) == []
    assert load_plugins(ComponentManager(), None, log=LOG) == []


def test_entry_points_name_modules_or_components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, u_installed=COMPONENT.format(name="One") + COMPONENT.format(name="Two") + "number = 5\n")
    write(tmp_path, u_other=COMPONENT.format(name="Three") + COMPONENT.format(name="Four"))
    entries = [
        EntryPoint("b-whole", "u_installed", plugin_sources.GROUP),
        EntryPoint("b-whole", "u_installed", plugin_sources.GROUP),
        EntryPoint("a-class", "u_other:Four", plugin_sources.GROUP),
        EntryPoint("c-missing", "u_nowhere", plugin_sources.GROUP),
        EntryPoint("d-number", "u_installed:number", plugin_sources.GROUP),
    ]

    def installed(*, group: str) -> list[EntryPoint]:
        assert group == "concurrence.plugins"
        return entries

    monkeypatch.setattr(plugin_sources, "entry_points", installed)
    sys.path.append(str(tmp_path))
    manager = ComponentManager()
    failures = load_plugins(manager, None, log=LOG)
    assert names(manager) == ["Four", "One", "Two"]
    assert [failure.name for failure in failures] == ["c-missing", "d-number"]
    assert failures[0].source == "entry point c-missing = u_nowhere"
    assert "neither a module nor a component class" in failures[1].traceback


def test_what_is_no_exception_is_contained_too(tmp_path: Path) -> None:
    write(
        tmp_path,
        ab_strange="class Stop(BaseException): pass\nraise Stop('no further')\n",
        ab_good=COMPONENT.format(name="Good"),
    )
    manager = ComponentManager()
    (failure,) = load_plugins(manager, tmp_path, log=LOG)
    assert (failure.name, failure.reason) == ("ab_strange", "ab_strange.Stop: no further")
    assert names(manager) == ["Good"]


def test_what_a_plug_in_prints_does_not_get_into_the_output_of_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, ac_loud="print('here I am')\n")
    assert load_plugins(ComponentManager(), tmp_path, log=LOG) == []
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "here I am\n")


def test_a_module_and_a_package_of_one_name_are_one_too_many(tmp_path: Path) -> None:
    write(tmp_path, ad_twice=COMPONENT.format(name="Module"))
    write(tmp_path, ad_twice__slash____init__=COMPONENT.format(name="Package"))
    manager = ComponentManager()
    (failure,) = load_plugins(manager, tmp_path, log=LOG)
    assert names(manager) == ["Package"]
    assert failure.source == str(tmp_path / "ad_twice.py")
    assert "the module name ad_twice is taken" in failure.reason


def test_a_plug_in_cannot_take_the_name_of_a_module_that_is_not_imported_yet(tmp_path: Path) -> None:
    assert "this" not in sys.modules
    write(tmp_path, this=COMPONENT.format(name="This"))
    (failure,) = load_plugins(ComponentManager(), tmp_path, log=LOG)
    assert "the module name this is taken by" in failure.reason
    assert "this" not in sys.modules


def test_nothing_of_a_package_that_failed_stays(tmp_path: Path) -> None:
    write(tmp_path, ae_half__slash____init__="from . import part\n1 / 0\n", ae_half__slash__part="X = 1\n")
    assert len(load_plugins(ComponentManager(), tmp_path, log=LOG)) == 1
    assert not [name for name in sys.modules if name.startswith("ae_half")]


def test_both_of_a_circle_are_named(tmp_path: Path) -> None:
    write(
        tmp_path,
        af_one="from af_two import Two\n" + COMPONENT.format(name="One"),
        af_two="from af_one import One\n" + COMPONENT.format(name="Two"),
        ag_other=COMPONENT.format(name="Other"),
    )
    manager = ComponentManager()
    failures = load_plugins(manager, tmp_path, log=LOG)
    assert [failure.name for failure in failures] == ["af_one", "af_two"]
    assert all("cannot import name" in failure.reason for failure in failures)
    assert names(manager) == ["Other"]


def test_a_plug_in_that_needs_a_broken_one_is_named_with_it(tmp_path: Path) -> None:
    write(tmp_path, ah_needs="import ah_zero\n", ah_zero="1 / 0\n")
    failures = load_plugins(ComponentManager(), tmp_path, log=LOG)
    assert [failure.name for failure in failures] == ["ah_needs", "ah_zero"]
    assert all(failure.reason == "ZeroDivisionError: division by zero" for failure in failures)


def test_a_slow_plug_in_is_named_while_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = threading.Event()
    monkeypatch.setattr(plugins, "SLOW_SECONDS", 0.01)
    monkeypatch.setattr(logging, "told", told, raising=False)
    write(tmp_path, ai_slow="import logging\nassert logging.told.wait(20), 'nobody said who is slow'\n")
    log = logging.getLogger("concurrence.test.slow")
    log.addFilter(lambda record: told.set() or True)
    with caplog.at_level(logging.WARNING, "concurrence"):
        assert load_plugins(ComponentManager(), tmp_path, log=log) == []
    assert "plug-in ai_slow" in caplog.text
    assert "is being imported for more than" in caplog.text
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_tests_beside_plug_ins_are_no_plug_ins(tmp_path: Path) -> None:
    write(
        tmp_path,
        aj_plugin=COMPONENT.format(name="Plugin"),
        conftest="1 / 0\n",
        test_aj_plugin="1 / 0\n",
        tests__slash____init__="1 / 0\n",
        tests__slash__test_aj_plugin="1 / 0\n",
    )
    manager = ComponentManager()
    assert load_plugins(manager, tmp_path, log=LOG) == []
    assert names(manager) == ["Plugin"]


def installed_distribution(folder: Path, name: str, entry_points: bytes, *, metadata: bool = True) -> None:
    place = folder / f"{name}-1.5.dist-info"
    place.mkdir(parents=True)
    (place / "entry_points.txt").write_bytes(entry_points)
    if metadata:
        (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")


def test_a_distribution_that_is_half_removed_or_damaged_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "site"
    group = b"[concurrence.plugins]\n"
    installed_distribution(place, "whole", group + b"w = ak_whole\n")
    installed_distribution(place, "ghost", group + b"g = ak_gone\n", metadata=False)
    installed_distribution(place, "damaged", b"\xff\xfe[concurrence")
    write(place, ak_whole=COMPONENT.format(name="Whole"))
    monkeypatch.setattr(sys, "path", [str(place), *sys.path])
    monkeypatch.setattr(plugin_sources, "entry_points", importlib.metadata.entry_points)
    installed_distribution(place, "husk", group + b"h = ak_husk\n")
    (place / "ak_husk" / "__pycache__").mkdir(parents=True)
    manager = ComponentManager()
    loaded = {
        plugin.source.name: plugin
        for plugin in load_sources(manager, find_plugins(None, own=False), None, log=LOG)
        if "site" in plugin.source.where or plugin.source.distribution in ("whole", "ghost", "husk", "damaged")
    }
    assert names(manager) == ["Whole"]
    assert (loaded["w"].source.distribution, loaded["w"].source.version) == ("whole", "1.5")
    assert loaded["g"].source.distribution == "ghost"
    failed = {name: plugin.failure.reason for name, plugin in loaded.items() if plugin.failure is not None}
    assert failed.keys() == {"g", "h", "damaged"}
    assert failed["h"].endswith("the package ak_husk has no __init__.py: it is only half there")
    assert failed["g"] == "ModuleNotFoundError: No module named 'ak_gone'"
    assert failed["damaged"].startswith("its entry points cannot be read: UnicodeDecodeError")


def test_own_parts_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_sources, "entry_points", importlib.metadata.entry_points)
    every = find_plugins(None)
    assert {source.name for source in every if source.is_own} >= {"node-master", "transport-zmq"}
    assert not [source for source in find_plugins(None, own=False) if source.is_own]


# Applications


def test_an_application_in_a_file_finds_its_neighbours_first(tmp_path: Path) -> None:
    write(tmp_path, v_helper="NAME = 'App'\n")
    (tmp_path / "v-my app.py").write_text("from v_helper import NAME\n" + COMPONENT.format(name="App"))
    manager = ComponentManager()
    found = load_path(manager, tmp_path / "v-my app.py")
    assert [cls.__name__ for cls in found] == ["App"]
    assert found == manager.registered()
    assert found[0].__module__ == "v_my_app"
    assert load_path(manager, tmp_path / "v-my app.py") == found
    assert sys.path[0] == str(tmp_path)


@pytest.mark.parametrize(
    "files", [["__init__"], ["__init__", "app"], ["__init__", "__main__"], ["app"], ["__main__"]]
)
def test_an_application_in_a_folder(tmp_path: Path, files: list[str]) -> None:
    folder = tmp_path / ("w_" + "_".join(files).strip("_"))
    write(folder, w_part="X = 1\n")
    for file in files[:-1]:
        write(folder, **{file: ""})
    local = "from . import w_part\n" if files[0] == "__init__" else "import w_part\n"
    write(folder, **{files[-1]: local + COMPONENT.format(name="App")})
    assert [cls.__name__ for cls in load_path(ComponentManager(), folder)] == ["App"]
    sys.modules.pop("w_part", None)


def test_there_must_be_an_application(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no application at"):
        load_path(ComponentManager(), tmp_path / "missing.py")
    with pytest.raises(UsageError, match="no application in"):
        load_path(ComponentManager(), tmp_path)


def test_a_failing_application_shows_its_own_frames(tmp_path: Path) -> None:
    write(tmp_path, x_app="import x_part\n", x_part="def f():\n    return 1 / 0\nf()\n")
    with pytest.raises(PluginError) as caught:
        load_path(ComponentManager(), tmp_path / "x_app.py")
    text = str(caught.value)
    assert f'File "{tmp_path / "x_app.py"}", line 1' in text
    assert f'File "{tmp_path / "x_part.py"}", line 2, in f' in text
    assert "ZeroDivisionError: division by zero" in text
    assert plugins.__file__ not in text
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("\nx = = 1\n", "line 2"),
        ("import no_such_module_at_all\n", "Install the package that provides no_such_module_at_all"),
        ("raise SystemExit(1)\n", "SystemExit: 1"),
    ],
)
def test_a_failing_application_is_a_plugin_error(tmp_path: Path, source: str, expected: str) -> None:
    write(tmp_path, y_app=source)
    with pytest.raises(PluginError) as caught:
        load_path(ComponentManager(), tmp_path / "y_app.py")
    assert expected in str(caught.value)
    assert str(tmp_path / "y_app.py") in str(caught.value)


def test_register_module_takes_the_main_module() -> None:
    module = ModuleType("__main__")
    exec(COMPONENT.format(name="Mine"), vars(module))
    manager = ComponentManager()
    assert [cls.__name__ for cls in register_module(manager, module)] == ["Mine"]
    assert manager.registered()[0].__module__ == "__main__"
