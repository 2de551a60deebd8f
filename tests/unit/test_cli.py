"""The command line without a swarm: help, version, errors, applications and environments."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from concurrence.cli.main import app
from concurrence.env.environment import Environment
from concurrence.version import __version__


def every_command(group: Any, *words: str) -> Iterator[list[str]]:
    """The words of each command, hidden ones too, but for those of groups alone."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, *words, name)
        else:
            yield [*words, name]


COMMANDS = list(every_command(get_command(app)))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command; nothing of it is a traceback."""
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    assert "Traceback" not in result.stderr
    return result.exit_code, result.stdout, result.stderr


# --- help and usage ---


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(words: list[str]) -> None:
    code, out, _ = call(*words, "--help")
    assert code == 0
    assert "$ concurrence " in out


def test_the_help_of_all_names_every_command_but_the_alias() -> None:
    for given in (["--help"], []):
        code, out, _ = call(*given)
        assert code == 0
        listed = {line.strip("│| ").partition(" ")[0] for line in out.splitlines()}
        assert {words[0] for words in COMMANDS} - listed == {"worker"}
        assert "worker" not in out


def test_version() -> None:
    code, out, _ = call("--version")
    assert code == 0
    assert __version__ in out


@pytest.mark.parametrize(
    "words",
    [
        ["walk"],
        ["run", "--wokers", "2"],
        ["run", "hello", "--workers", "0"],
        ["run", "hello", "--workers", "many"],
        ["master", "--port", "65536"],
        ["env", "create"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_in_our_form(words: list[str]) -> None:
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "--help" in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["run"], "no application is named"),
        (["run", "helo"], "Did you mean Hello?"),
        (["run", "master-node"], "Start it with: concurrence master"),
        (["run", "SlaveNode"], "Start it with: concurrence slave"),
        (["run", "no-such.py"], "no application at"),
        (["run", "hello", "--inline", "--workers", "2"], "exclude each other"),
        (["run", "hello", "--master", "a.toml", "--workers", "2"], "exclude each other"),
        (["run", "hello", "--master", "no-such.toml"], "there is no file"),
        (["run", "hello", "--env", "."], "is not an environment"),
        (["run", "hello", "--env", "nowhere"], "does not exist"),
        (["run", "hello", "-c", "no-such.toml"], "cannot be read"),
        (["run", "hello", "--set", "hello.count"], "does not set a value"),
        (["run", "hello", "--set", "hello.cuont=1"], "Did you mean count?"),
        (["run", "hello", "--set", "helo.count=1"], "Did you mean [hello]?"),
        (["run", "hello", "--set", "hello.count=few"], "few"),
        (["master"], "concurrence master --env PATH"),
        (["slave"], "concurrence slave --master"),
        (["slave", "--master", "no-such.toml"], "concurrence master --env PATH makes it"),
        (["status"], "no master is named"),
        (["env", "info"], "concurrence env create PATH"),
    ],
)
def test_mistakes_are_told_with_what_to_do(words: list[str], text: str) -> None:
    code, _, err = call(*words)
    assert code == 2
    assert err.startswith("error: ")
    assert text in err


def test_ctrl_c_while_the_program_is_loaded_shows_no_traceback() -> None:
    text = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "import concurrence.cli.main\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, b"")


# --- environments and applications ---


def test_env_create_makes_an_environment_that_opens(folder: Path) -> None:
    code, out, _ = call("env", "create", "mine", "--app", "Mandelbrot")
    assert code == 0
    assert str(folder / "mine") in out
    with Environment.open(folder / "mine") as environment:
        assert environment.app_name == "Mandelbrot"
    code, out, _ = call("env", "info", "mine")
    assert code == 0
    assert "Mandelbrot" in out


def test_env_create_refuses_what_is_occupied(folder: Path) -> None:
    (folder / "file").touch()
    code, _, err = call("env", "create", ".")
    assert code == 2
    assert "holds other things" in err


def test_env_create_notes_an_unknown_app() -> None:
    code, out, _ = call("env", "create", "mine", "--app", "Later")
    assert code == 0
    assert "'Later'" in out


def test_status_in_an_environment_without_a_master() -> None:
    call("env", "create", "mine")
    code, _, err = call("status", "--env", "mine")
    assert code == 2
    assert "concurrence master" in err


def test_apps_lists_what_runs_and_what_is_broken(folder: Path) -> None:
    call("env", "create", "mine")
    plugins = folder / "mine" / "plugins"
    plugins.joinpath("cli_good.py").write_text(
        "from concurrence import ApplicationNode\n"
        "class CliBase(ApplicationNode, abstract=True):\n    pass\n"
        "class CliGood(CliBase):\n    '''Does good.\n\n    More.'''\n"
    )
    plugins.joinpath("cli_broken.py").write_text("import there_is_no_such_module\n")
    code, out, err = call("apps", "--env", "mine")
    assert (code, err) == (0, "")
    (line,) = [line for line in out.splitlines() if line.startswith("CliGood")]
    assert "Does good." in line
    assert "plugins/cli_good.py" in line
    assert "CliBase" not in out
    assert "MasterNode" not in out
    assert "Mandelbrot" in out
    before, _, after = out.partition("broken plug-in cli_broken")
    assert "Mandelbrot" in before
    assert "there_is_no_such_module" in after
    code, out, _ = call("env", "info", "mine")
    assert "broken plug-in cli_broken" in out


APPS = """\
from concurrence import ApplicationNode
class {0}One(ApplicationNode):
    def app_main(self):
        return 21
class {0}Two(ApplicationNode):
    def app_main(self):
        return 22
"""


def test_of_several_applications_in_a_file_one_is_named(folder: Path) -> None:
    (folder / "cli_several.py").write_text(APPS.format("Several"))
    code, _, err = call("run", "cli_several.py")
    assert code == 2
    assert "SeveralOne, SeveralTwo" in err
    assert "cli_several.py:SeveralOne" in err
    assert call("run", "cli_several.py:SeveralTwo")[0] == 22
    code, _, err = call("run", "cli_several.py:Three")
    assert code == 2
    assert "SeveralOne" in err


def test_a_file_without_an_application(folder: Path) -> None:
    (folder / "cli_empty.py").write_text("x = 1\n")
    code, _, err = call("run", "cli_empty.py")
    assert code == 2
    assert "there is no application in" in err


def test_a_file_that_was_named_without_its_end(folder: Path) -> None:
    (folder / "cli_named.py").write_text(APPS.format("Named"))
    code, _, err = call("run", "cli_named")
    assert code == 2
    assert "Run the file: concurrence run cli_named.py" in err
    (folder / "below").mkdir()
    (folder / "below" / "cli_named.py").write_text(APPS.format("Named"))
    for word, meant in (("below/cli_named", "below/cli_named.py"), ("cli_named:Named", "cli_named.py:Named")):
        code, _, err = call("run", word)
        assert code == 2
        assert f"Run the file: concurrence run {meant}\n" in err


def test_servers_are_not_suggested_as_applications() -> None:
    _, _, err = call("run", "masternod")
    assert "Node" not in err
    assert "Known: Amdahl, Benchmark, DNA, Evolve, Hello, Mandelbrot, MD5, Pipeline, Search." in err


def test_a_private_swarm_beside_a_master_is_noted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object, **__: object) -> int:
        return 0

    monkeypatch.setattr("concurrence.cli.run._run_application", nothing)
    call("env", "create", "mine")
    assert call("run", "hello", "--env", "mine") == (0, "", "")
    (folder / "mine" / "connect" / "client.toml").touch()
    note = "note: this runs on a private swarm; to use the master of mine add: --master mine/connect/client.toml\n"
    assert call("run", "hello", "--env", "mine") == (0, "", note)
    assert call("run", "hello", "--env", "mine", "--master", "mine/connect/client.toml") == (0, "", "")


def test_a_folder_does_not_hide_an_application_of_its_name(folder: Path) -> None:
    (folder / "hello").mkdir()
    code, out, _ = call("run", "hello", "--inline")
    assert code == 0
    assert "greet 4" in out


def test_the_environment_names_the_application_by_a_path_in_it(folder: Path) -> None:
    call("env", "create", "mine")
    (folder / "mine" / "cli_own.py").write_text(APPS.format("Own"))
    assert call("run", "--env", "mine", "--set", "project.app=cli_own.py:OwnOne")[0] == 21


def test_inline_without_a_bar_and_quiet() -> None:
    code, out, err = call("run", "HELLO", "--inline", "--set", "hello.count=2")
    assert code == 0
    assert "greet 2: Hello 2" in out
    assert "tasks: 2 finished, 0 failed, 0 cancelled" in err
    assert "with 1 worker" in err
    code, out, err = call("run", "hello", "--inline", "--quiet")
    assert (code, err) == (0, "")
    assert "greet 4" in out
