"""The command line without a swarm: help, version, errors, applications and environments."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from concurrence.cli.display import RichDisplay, human_bytes, human_seconds, summary_lines
from concurrence.cli.failures import report_exception, user_traceback
from concurrence.cli.main import app
from concurrence.cli.options import overrides_of
from concurrence.cli.status import show
from concurrence.env.environment import Environment
from concurrence.errors import UsageError
from concurrence.nodes.display import RunSummary
from concurrence.version import __version__
from concurrence.wire.messages import Progress, Status

COMMANDS = (["run"], ["master"], ["slave"], ["worker"], ["status"], ["apps"], ["env", "create"], ["env", "info"])


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
    for words in (["--help"], []):
        code, out, _ = call(*words)
        assert code == 0
        assert all(name in out for name in ("run", "master", "slave", "status", "apps", "env"))
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


def test_servers_are_not_suggested_as_applications() -> None:
    _, _, err = call("run", "masternod")
    assert "Node" not in err
    assert "Known: Hello, Mandelbrot." in err


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


# --- texts ---


def test_overrides_of_a_commands_own_options_come_last(folder: Path) -> None:
    found = overrides_of(["a.b=1"], masternode__port=5, node__name=None, application__master=Path("c.toml"))
    assert found == ["a.b=1", "masternode.port=5", f"application.master={folder / 'c.toml'}"]


def test_summary() -> None:
    lines = summary_lines(RunSummary(wall=2.0, busy=3.0, finished=1200, failed=1, cancelled=0, moved=1_500_000), 2)
    text = "\n".join(lines)
    assert "1,200 finished, 1 failed, 0 cancelled; 1.5 MB moved" in text
    assert "2.00 s, 3.00 s of work, speed-up 1.50 with 2 workers" in text
    assert "with" not in summary_lines(RunSummary(0.0, 0.0, 0, 0, 0, 0), None)[1]


def status_of(*, stats: dict[str, float], queued: int) -> Status:
    counts = Progress(1, queued)
    return Status(0, "m", "1.0", 5.0, "SomeScheduler", [], [counts], stats)


def test_status_shows_what_people_need(capsys: pytest.CaptureFixture[str]) -> None:
    show(status_of(stats={"losses": 0.0}, queued=3), "tcp://h:1")
    out = capsys.readouterr().out
    assert "no slaves: tasks wait" in out
    assert "losses" not in out
    assert "SomeScheduler" not in out
    show(status_of(stats={"losses": 2.0}, queued=0), "tcp://h:1")
    out = capsys.readouterr().out
    assert "losses 2" in out
    assert "no slaves" not in out


def test_human_units() -> None:
    assert [human_bytes(n) for n in (0, 999, 1000, 2_500_000, 10**16)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "2.5 MB",
        "10000.0 TB",
    ]
    assert [human_seconds(n) for n in (5, 65, 3700, 200_000)] == ["5 s", "1 min 5 s", "1 h 1 min", "2 d 7 h"]


def test_the_bar_keeps_what_is_said_and_prints_markup_as_it_is() -> None:
    stream = StringIO()
    long = "x" * 300
    with RichDisplay(Console(file=stream, force_terminal=True, width=60)) as display:
        display.progress(1, 0, "")
        display.say(f"[bold]{long}[/nothing]")
        display.output("attic greet 1", "one\ntwo")
        display.announce(Path("a.png"), "the picture")
        display.progress(2, 4, "half")
    text = stream.getvalue()
    assert f"[bold]{long}[/nothing]" in text
    assert "[attic greet 1] \x1b[0mone" in text
    assert "the picture: a.png" in text


def test_a_users_exception_shows_the_users_frames_only(folder: Path) -> None:
    (folder / "cli_raises.py").write_text(
        "from concurrence import ApplicationNode\n"
        "class CliRaises(ApplicationNode):\n"
        "    def start_processing(self):\n"
        "        self.deeper()\n"
        "    def deeper(self):\n"
        "        self.push_tasks(1 / 0 for _ in range(3))\n"
    )
    result = CliRunner().invoke(app, ["run", "cli_raises.py", "--inline"])
    assert result.exit_code == 1
    assert result.stderr.startswith('Traceback (most recent call last):\n  File "' + str(folder))
    assert "in deeper" in result.stderr
    assert "error: CliRaises stopped: its own code raised ZeroDivisionError: division by zero\n" in result.stderr
    assert "ZeroDivisionError" in result.stderr
    assert "concurrence/nodes" not in result.stderr


def test_a_constructor_that_raises_shows_where(folder: Path) -> None:
    (folder / "cli_made.py").write_text(
        "from concurrence import ApplicationNode\n"
        "class CliMade(ApplicationNode):\n"
        "    def __init__(self, manager):\n"
        "        super().__init__(manager)\n"
        "        self.x = {}['key']\n"
    )
    result = CliRunner().invoke(app, ["run", "cli_made.py", "--inline"])
    assert result.exit_code == 1
    assert 'cli_made.py", line 5' in result.stderr
    assert "error: component cli_made:CliMade could not be activated" in result.stderr
    assert "component.py" not in result.stderr


def test_our_own_fault_shows_everything(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TypeError) as caught:
        overrides_of(1)  # pyright: ignore[reportArgumentType]  a fault in a module of ours
    error = caught.value
    error.__traceback__ = error.__traceback__.tb_next if error.__traceback__ else None
    assert user_traceback(error) == ""
    assert report_exception(error) == 1
    err = capsys.readouterr().err
    assert "options.py" in err
    assert "a fault in Concurrent" in err


def test_a_mistake_in_users_code_names_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    def users() -> None:
        raise UsageError("no", hint="yes")

    with pytest.raises(UsageError) as caught:
        users()
    assert report_exception(caught.value) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: no\n  at ")
    assert "test_cli.py:" in err
    assert "in users" in err
    assert err.endswith("  yes\n")


def test_the_end_of_the_input_is_the_users_exception(folder: Path) -> None:
    (folder / "cli_asks.py").write_text(
        "from concurrence import ApplicationNode\n"
        "class CliAsks(ApplicationNode):\n"
        "    def start_processing(self):\n"
        "        input()\n"
    )
    result = CliRunner().invoke(app, ["run", "cli_asks.py", "--inline"])
    assert result.exit_code == 1
    assert "EOFError" in result.stderr
    assert "interrupted" not in result.stderr
