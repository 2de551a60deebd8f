"""``concurrence components`` as a person types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "components.svg"
PLUGIN = '''
from concurrence import Component, ExtensionPoint, Interface


class ISieve(Interface):
    """A contract."""


class Grid(Component, ISieve):
    """Sieves."""

    others = ExtensionPoint(ISieve)

    def __init__(self, manager):
        raise RuntimeError("activated")
'''


def call(*words: str, folder: Path) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "concurrence.cli.main", "components", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    path = tmp_path / "mine"
    command = [sys.executable, "-m", "concurrence.cli.main", "env", "create", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    (path / "plugins" / "sieves.py").write_text(PLUGIN, encoding="utf-8")
    return path


def test_the_list_names_components_interfaces_extension_points_and_choices(tmp_path: Path) -> None:
    code, out, err = call(folder=tmp_path)
    assert (code, err) == (0, "")
    assert "MasterNode  (concurrence.nodes.master:MasterNode, built in)" in out
    assert "task_scheduler: ITaskScheduler -> ZMQTaskScheduler    ([masternode] task_scheduler, default)" in out


def test_services_are_behind_an_extension_point_of_each_node_that_has_them(tmp_path: Path) -> None:
    _, out, _ = call("MasterNode", "SlaveNode", "Hello", folder=tmp_path)
    assert out.count("services: INodeService -> none") == 3


def test_plugins_are_listed_without_being_activated(environment: Path) -> None:
    code, out, err = call("grid", folder=environment)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "Grid  (sieves:Grid, plugins/sieves)"
    assert "others: ISieve -> Grid" in out


def test_json_is_for_programs(environment: Path) -> None:
    code, out, _ = call("--json", "--set", "masternode.task_scheduler=GenericTaskScheduler", folder=environment)
    assert code == 0
    components = {each["identity"]: each for each in json.loads(out)["components"]}
    links = {each["attribute"]: each for each in components["concurrence.nodes.master:MasterNode"]["links"]}
    assert links["task_scheduler"]["chosen"] == ["concurrence.scheduling.generic:GenericTaskScheduler"]
    assert links["task_scheduler"]["origin"] == "--set masternode.task_scheduler"


def test_a_broken_choice_and_a_broken_plugin_are_told_and_the_rest_is_shown(environment: Path) -> None:
    (environment / "plugins" / "broken.py").write_text("import nowhere_to_be_found\n", encoding="utf-8")
    code, out, err = call("--set", "node.transport=ZMQTransprt", folder=environment)
    assert code == 1
    assert "transport: ITransport -> BROKEN" in out
    assert "Did you mean ZMQTransport?" in err
    assert "plug-in broken is broken and left out: ModuleNotFoundError" in err


def test_the_diagram_is_written_in_the_format_that_the_file_tells(environment: Path, tmp_path: Path) -> None:
    for name, beginning in (("links.svg", "<svg "), ("links.mmd", "flowchart LR")):
        code, out, err = call("--graph", str(tmp_path / name), folder=environment)
        assert (code, out, err) == (0, f"the diagram: {tmp_path / name}\n", "")
        text = (tmp_path / name).read_text("utf-8")
        assert text.startswith(beginning)
        assert "Grid" in text
    code, out, _ = call("--graph", "-", "--format", "mermaid", folder=environment)
    assert (code, out) == (0, text)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--graph"], "components.svg"),
        (["--graph", "--set", "node.name=x"], "components.svg"),
        (["--format", "mermaid", "--graph"], "components.mmd"),
        (["--graph", "--format=mermaid"], "components.mmd"),
    ],
)
def test_without_a_name_the_diagram_has_that_of_the_command(words: list[str], name: str, tmp_path: Path) -> None:
    assert call(*words, folder=tmp_path) == (0, f"the diagram: {name}\n", "")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text("utf-8").startswith("<svg " if name.endswith("svg") else "flowchart LR")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--graph", "links.png"], "links.png tells no format"),
        (["--graph", "nowhere/links.svg"], "nowhere/links.svg cannot be written"),
        (["--graph", "links.svg", "--json"], "--graph draws all components"),
        (["--format", "svg"], "--format needs --graph"),
        (["MasterNod"], "Did you mean MasterNode?"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], complaint: str, tmp_path: Path) -> None:
    code, out, err = call(*words, folder=tmp_path)
    assert (code, out) in ((2, ""), (1, ""))
    assert complaint in err
    assert "Traceback" not in err


def test_the_picture_in_the_documents_is_current(tmp_path: Path) -> None:
    """Draw it anew with: concurrence components --graph docs/images/components.svg."""
    code, drawn, _ = call("--graph", "-", folder=tmp_path)
    assert code == 0
    ET.fromstring(drawn)
    assert PICTURE.read_text("utf-8") == drawn, self_help()


def self_help() -> str:
    return test_the_picture_in_the_documents_is_current.__doc__ or ""
