"""What the command line prints: summaries, units, the bar, and errors of several origins."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from concurrence.cli.call import methods_lines
from concurrence.cli.display import RichDisplay, human_bytes, human_seconds, summary_lines
from concurrence.cli.env_info import describe, info_lines
from concurrence.cli.failures import report_exception, user_traceback
from concurrence.cli.main import app
from concurrence.cli.options import overrides_of
from concurrence.cli.status import show
from concurrence.env.environment import Environment
from concurrence.errors import UsageError
from concurrence.nodes.display import IPictureDisplay, PlainDisplay, RunSummary
from concurrence.tasks.values import describe_error
from concurrence.wire.messages import Progress, Status


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_overrides_of_a_commands_own_options_come_last(folder: Path) -> None:
    found = overrides_of(["a.b=1"], masternode__port=5, node__name=None, application__master=Path("c.toml"))
    assert found == ["a.b=1", "masternode.port=5", f"application.master={folder / 'c.toml'}"]


def test_summary() -> None:
    lines = summary_lines(RunSummary(wall=2.0, busy=3.0, finished=1200, failed=1, cancelled=0, moved=1_500_000), 2)
    text = "\n".join(lines)
    assert "1,200 finished, 1 failed, 0 cancelled; 1.5 MB moved" in text
    assert "2.00 s, 3.00 s in tasks with 2 workers" in text
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


def test_a_picture_is_shown_in_half_blocks_and_the_last_one_stays() -> None:
    stream = StringIO()
    console = Console(file=stream, force_terminal=True, color_system="truecolor", width=60, height=30)
    red, blue = (255, 0, 0), (0, 0, 255)
    with RichDisplay(console) as display:
        assert display.picture_size == (60, 44)
        display.picture([[blue]])
        display.picture([[red, red, blue], [blue, blue, blue], [red, blue, blue]])
    last = stream.getvalue().rpartition("\x1b[2K")[2]
    upper = "\x1b[38;2;255;0;0;48;2;0;0;255m▀▀\x1b[0m\x1b[38;2;0;0;255;48;2;0;0;255m▀\x1b[0m\n"
    lower = "\x1b[38;2;255;0;0;48;2;0;0;0m▀\x1b[0m\x1b[38;2;0;0;255;48;2;0;0;0m▀▀\x1b[0m\n"
    assert last.endswith(upper + lower), repr(last)


@pytest.mark.parametrize("without", [{"no_color": True}, {"force_terminal": False}, {"height": 8}])
def test_no_picture_without_a_terminal_with_colours_and_room(without: dict[str, Any]) -> None:
    options: dict[str, Any] = {"force_terminal": True, "color_system": "truecolor", "height": 30, "width": 60}
    assert RichDisplay(Console(file=StringIO(), **(options | without))).picture_size == (0, 0)
    assert not isinstance(PlainDisplay(), IPictureDisplay)


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
    assert "test_cli_texts.py:" in err
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


def test_an_administrator_reads_no_markup() -> None:
    method: dict[str, Any] = {
        "name": "config.get",
        "parameters": [],
        "doc": "The value of ``section.name``.\n\nMore.",
    }
    assert list(methods_lines([method])) == ["config.get", "    The value of `section.name`."]


def test_values_of_an_environment_are_written_as_in_its_config(folder: Path) -> None:
    Environment.create(folder / "mine").close()
    (folder / "mine" / "concurrence.toml").write_text(
        '[node]\nname = "it\'s"\n[slavenode]\nlabels = ["gpu=1"]\n[application]\nstats = true\n'
    )
    with Environment.open(folder / "mine") as environment:
        text = "\n".join(info_lines(describe(environment)))
    assert 'node.name = "it\'s"    from' in text
    assert 'slavenode.labels = ["gpu=1"]    from' in text
    assert "application.stats = true    from" in text


def test_an_error_without_a_text_has_no_colon() -> None:
    assert describe_error(RuntimeError()) == "RuntimeError"
    assert describe_error(RuntimeError("why")) == "RuntimeError: why"
