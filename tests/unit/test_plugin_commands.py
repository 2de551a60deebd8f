"""Commands from plug-ins: when they are found, what they may be called, and what a broken one does not break."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from concurrence.cli.main import app
from concurrence.env.environment import Environment

HEAD = """
from collections.abc import Callable, Mapping
from typing import Annotated
import typer
from concurrence import Component, Environment, ICommands
"""

GOOD = (
    HEAD
    + '''
below = typer.Typer(help="A group of commands.")

@below.command()
def deep(times: int = 1) -> int:
    """Go deep."""
    print("deep" * times)
    return 5

class Counting(Component, ICommands):
    def commands(self) -> Mapping[str, Callable[..., int | None]]:
        return {"count": self.count, "group": below}

    def count(self, limit: Annotated[int, typer.Argument()], loud: bool = False) -> int | None:
        """Count the components."""
        assert isinstance(self.manager, Environment)
        print("LOUD" if loud else "quiet", limit, self.manager.path.name, len(self.manager.registered()) > 5)
        return 7 if loud else None
'''
)

ONE = HEAD + (
    "class {name}(Component, ICommands):\n"
    "    def commands(self): return {commands}\n"
    '    def run(self):\n        """{name} here."""\n        print("{name}")\n'
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Environment.create(tmp_path / "env").close()
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def plug_in(folder: Path, name: str, text: str) -> None:
    (folder / "env" / "plugins" / f"{name}.py").write_text(text)


def call(*words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command; nothing of it is a traceback."""
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    assert "Traceback" not in result.stderr
    return result.exit_code, result.stdout, result.stderr


def test_they_are_in_the_help_of_all_commands_under_a_heading_of_their_own(folder: Path) -> None:
    plug_in(folder, "pc_good", GOOD)
    code, out, err = call("--env", "env", "--help")
    assert (code, err) == (0, "")
    _, _, panel = out.partition("From plug-ins")
    assert "Count the components." in panel
    assert "A group of commands." in panel
    assert "From plug-ins" not in call("--help")[1]


def test_they_run_with_options_exit_code_and_the_whole_environment(folder: Path) -> None:
    plug_in(folder, "pc_good", GOOD)
    assert call("--env", "env", "count", "3", "--loud") == (7, "LOUD 3 env True\n", "")
    assert call("--env", "env", "count", "3") == (0, "quiet 3 env True\n", "")
    assert call("--env", "env", "group", "deep", "--times", "2") == (5, "deepdeep\n", "")
    code, out, _ = call("--env", "env", "count", "--help")
    assert code == 0
    assert "Count the components." in out
    assert call("--env", "env", "count", "three")[0] == 2


def test_the_environment_around_the_working_directory_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(folder, "pc_good", GOOD)
    monkeypatch.chdir(folder / "env" / "state")
    assert call("count", "1") == (0, "quiet 1 env True\n", "")


def test_a_built_in_command_is_found_without_loading_plug_ins(folder: Path) -> None:
    plug_in(folder, "pc_mark", "from pathlib import Path\nPath('loaded').touch()\n")
    for words in (
        ["--version"],
        ["run", "--help"],
        ["--env", "env", "status", "--help"],
        ["env", "create", "two"],
    ):
        assert call(*words)[0] == 0
        assert not (folder / "loaded").exists(), words
    assert call("--env", "env", "nothing")[0] == 2
    assert (folder / "loaded").exists()


def test_they_cannot_replace_each_other_or_what_is_built_in(folder: Path) -> None:
    plug_in(folder, "pc_a", ONE.format(name="First", commands='{"run": self.run, "mine": self.run}'))
    plug_in(folder, "pc_b", ONE.format(name="Second", commands='{"mine": self.run, "no good": 3, "odd": 3}'))
    plug_in(folder, "pc_c", ONE.format(name="Third", commands='{"third": self.run}'))
    code, out, err = call("--env", "env", "--help")
    assert code == 0
    assert "First here." in out
    assert "Third here." in out
    assert "Second here." not in out
    assert err.splitlines() == [
        "note: command 'run' of pc_a:First is left out: concurrence run is built in",
        "note: command 'mine' of pc_b:Second is left out: another plug-in has one of that name",
        "note: command 'no good' of pc_b:Second is left out: a name is of letters, digits, - and _",
        "note: command 'odd' of pc_b:Second is left out: TypeError: 3 is neither a function nor a typer.Typer",
    ]
    assert call("--env", "env", "mine")[1] == "First\n"


def test_a_broken_one_is_named_in_one_line_and_the_others_work(folder: Path) -> None:
    plug_in(folder, "pc_broken", "def f():\n    raise RuntimeError('boom')\nf()\n")
    plug_in(folder, "pc_exit", "raise SystemExit(3)\n")
    plug_in(folder, "pc_raises", ONE.format(name="Raising", commands="1 / 0"))
    plug_in(folder, "pc_good", GOOD)
    code, out, err = call("--env", "env", "--help")
    assert code == 0
    assert "Count the components." in out
    assert err.splitlines() == [
        "note: plug-in pc_broken is broken and left out: RuntimeError: boom; see: concurrence plugin list",
        "note: plug-in pc_exit is broken and left out: SystemExit: 3; see: concurrence plugin list",
        "note: the commands of pc_raises:Raising are left out: ZeroDivisionError: division by zero",
    ]


def test_a_disabled_one_has_no_commands(folder: Path) -> None:
    plug_in(folder, "pc_good", GOOD)
    (folder / "env" / "concurrence.toml").write_text('[components]\n"pc_good:Counting" = false\n')
    assert call("--env", "env", "count", "3")[0] == 2


def test_what_the_config_says_of_a_broken_one_does_not_stop_the_others(folder: Path) -> None:
    plug_in(folder, "pc_good", GOOD)
    plug_in(folder, "pc_broken", "import a_module_that_nobody_has")
    (folder / "env" / "concurrence.toml").write_text("[pc_broken]\nspeed = 3\n")
    assert call("--env", "env", "count", "3")[:2] == (0, "quiet 3 env True\n")


def test_an_environment_that_cannot_be_read_does_not_break_the_help(folder: Path) -> None:
    plug_in(folder, "pc_good", GOOD)
    (folder / "env" / "concurrence.toml").write_text("[node\n")
    code, out, err = call("--env", "env", "--help")
    assert code == 0
    assert "master" in out
    assert err.startswith("note: commands of plug-ins are left out: ")


def test_an_unknown_command_ends_in_a_suggestion(folder: Path) -> None:
    plug_in(folder, "pc_good", GOOD)
    for words, near in (
        (["statsu"], "status"),
        (["--env", "env", "coutn"], "count"),
        (["--env", "env", "ru"], "run"),
    ):
        code, out, err = call(*words)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: No such command {words[-1]!r}. Did you mean {near!r}?\n")
    assert "Did you mean" not in call("xyz")[2]
    assert "'worker'" not in call("workr")[2]  # the alias is not shown


def test_the_root_option_goes_to_the_command_that_follows(folder: Path) -> None:
    assert "env" in call("--env", "env", "plugin", "list", "--json")[1].split('"environment": ')[1].split(",")[0]
    assert call("--env", "env", "env", "create", "x")[0] == 2
    assert "does not exist" in call("--env", "nowhere", "apps")[2]
    assert "does not exist" in call("--env", "nowhere", "--help")[2]


# concurrence plugin list


def test_the_list_shows_components_switches_and_failures(folder: Path) -> None:
    plug_in(folder, "pc_good", GOOD)
    plug_in(folder, "pc_broken", "def f():\n    raise RuntimeError('boom')\nf()\n")
    (folder / "env" / "concurrence.toml").write_text('[components]\n"pc_good:Counting" = false\n')
    result = CliRunner().invoke(app, ["plugin", "list", "--env", "env"])
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert "    Counting (ICommands, disabled)" in lines[lines.index("pc_good  plugins/pc_good.py") :]
    broken = lines[lines.index("pc_broken  plugins/pc_broken.py  BROKEN") :]
    assert "    RuntimeError: boom" in broken
    assert any(line.startswith("node-master  concurrence ") for line in lines)
    assert "    MasterNode (IApp)" in lines
    checked = CliRunner().invoke(app, ["plugin", "list", "--env", "env", "--check"])
    assert checked.exit_code == 1
    (folder / "env" / "plugins" / "pc_broken.py").unlink()
    assert call("plugin", "list", "--env", "env", "--check")[0] == 0


def test_the_list_for_programs(folder: Path) -> None:
    plug_in(folder, "pc_loud", "print('not JSON')\n" + GOOD)
    plug_in(folder, "pc_broken", "1 / 0\n")
    result = CliRunner().invoke(app, ["plugin", "list", "--env", "env", "--json"])
    told = json.loads(result.stdout)
    assert told["environment"] == str(folder / "env")
    plugins = {plugin["name"]: plugin for plugin in told["plugins"]}
    assert plugins["pc_loud"]["components"] == [
        {"name": "pc_loud:Counting", "interfaces": ["ICommands"], "enabled": True}
    ]
    assert plugins["pc_loud"]["file"] == str(folder / "env" / "plugins" / "pc_loud.py")
    assert plugins["pc_broken"]["error"]["reason"] == "ZeroDivisionError: division by zero"
    assert plugins["node-master"]["distribution"] == "concurrence"
    assert plugins["node-master"]["module"] == "concurrence.nodes.master"
    assert json.loads(call("plugin", "list", "--json")[1])["environment"] is None


# concurrence plugin new


def test_new_writes_and_never_overwrites(folder: Path) -> None:
    code, out, _ = call("plugin", "new", "scheduler", "nearest", "--env", "env")
    assert code == 0
    assert 'task_scheduler = "Nearest"' in out
    made = folder / "env" / "plugins" / "nearest.py"
    made.write_text(made.read_text() + "# changed\n")
    code, _, err = call("plugin", "new", "app", "nearest", "--env", "env")
    assert code == 2
    assert f"{Path('env') / 'plugins' / 'nearest.py'} exists already" in err
    assert made.read_text().endswith("# changed\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pudding", "x1"], "no kind of plug-in is called 'pudding'"),
        (["app", "x1"], "is an environment"),
        (["app", "json", "--package"], "standard library"),
        (["app", "hello", "--package"], "there is a component called Hello"),
        (["command", "status", "--package"], "built-in command"),
        (["app", "x1", "--package", "--env", "env"], "exclude each other"),
        (["app", "x1", "--env", "env", "--to", "."], "--to goes with --package"),
        (["app", "x1", "--env", "nowhere"], "does not exist"),
    ],
    ids=str,
)
def test_new_refuses(folder: Path, words: list[str], expected: str) -> None:
    before = sorted(folder.rglob("*"))
    code, out, err = call("plugin", "new", *words)
    assert (code, out) == (2, "")
    assert expected in err
    assert sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts) == before


def test_an_environment_behind_an_unknown_command_belongs_before_it(folder: Path) -> None:
    plug_in(folder, "pc_good", GOOD)
    for words in (["count", "--env", "env", "3"], ["count", "3", "--env=env"]):
        code, out, err = call(*words)
        assert (code, out) == (2, "")
        assert err.startswith("error: No such command 'count'.")
        assert "concurrence --env env count" in err
    assert "--env" not in call("xyz", "--environment", "env")[2]
    assert "concurrence --env PATH xyz" in call("xyz", "--env")[2]
