"""Progress, bars and what notebooks show, without a kernel: a shell that keeps what it is given, and no clock."""

from __future__ import annotations

import linecache
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from concurrence.errors import TaskError
from concurrence.nodes.display import PlainDisplay
from concurrence.nodes.progress import Progress, Standing, duration, short_number
from concurrence.scripting.bars import INTERVAL, Bars, since_now, weakly
from concurrence.scripting.display import choose_display, watch_cells
from concurrence.scripting.html_views import (
    MAX_SLAVES,
    bar_html,
    error_html,
    future_html,
    standing_html,
    swarm_html,
)
from concurrence.scripting.notebook import MAX_CELL_CHARACTERS, NotebookDisplay, running_shell
from concurrence.tasks.api import SlaveSummary, TaskCounts
from concurrence.tasks.bundles import BundleCollector
from concurrence.tasks.functions import FunctionTask
from concurrence.tasks.packing import TaskPacker
from concurrence.tasks.source_lines import with_source_lines

# --- progress ---


def progress(*standings: tuple[float, Standing]) -> Progress:
    made = Progress("double", 100.0)
    for seconds, standing in standings:
        made.note(standing, 100.0 + seconds)
    return made


def test_a_line_tells_count_rate_and_time_left() -> None:
    made = progress((2.0, Standing(500, total=2_000)))
    assert made.line == "double: 500 of 2,000 (25 %), 250/s, 6.0 s left"
    assert progress((2.0, Standing(500, failed=3))).line == "double: 500, 250/s, 3 failed"
    assert progress((2.0, Standing(0, total=10))).line == "double: 0 of 10 (0 %)"
    assert progress((2.0, Standing(0, total=0))).line == "double: 0 of 0"


def test_the_rate_is_that_of_late() -> None:
    steps = [
        (float(second), Standing(1_000 if second < 60 else 1_000 + 10 * (second - 60))) for second in range(101)
    ]
    assert progress(*steps).rate == pytest.approx(10.0)


def test_the_last_line_says_how_it_ended() -> None:
    assert progress((4.0, Standing(10, total=10))).last_line == "double: 10 done in 4.0 s, 2.5/s"
    stopped = progress((4.0, Standing(4, 1, 10, is_cancelled=True)))
    assert stopped.last_line == "double: ended after 4 of 10 in 4.0 s, 1.0/s, 1 failed"
    assert progress((4.0, Standing(4))).last_line == "double: ended after 4 in 4.0 s, 1.0/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (125, "2 min 5 s"),
        (7_500, "2 h 5 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(12_345.6, "12,346"), (10.4, "10"), (3.44, "3.4"), (0.054, "0.054")])
def test_rates(number: float, text: str) -> None:
    assert short_number(number) == text


# --- bars ---


class Recorder(PlainDisplay):
    """Keeps the lines of its bars."""

    bar_delay = 1.0

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.breaks = False

    def bar(self) -> Recorder:
        return self

    def paint(self, progress: Progress) -> None:
        if self.breaks:
            raise OSError("the frontend is gone")
        self.lines.append(progress.line)

    def end(self, progress: Progress) -> None:
        self.lines.append(f"end: {progress.last_line}")


class Scene:
    """Bars whose time the test makes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.woken = 0
        self.is_idle = False
        self.counts = TaskCounts()
        self.display = Recorder()
        self.bars = Bars(self.display, self.wake, lambda: self.now)

    def wake(self) -> None:
        self.woken += 1

    def pass_by(self, seconds: float) -> None:
        """Time passes, and the swarm looks."""
        self.now += seconds
        self.bars.show(self, is_open=False)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_is_over_soon_has_no_bar(scene: Scene) -> None:
    bar = scene.bars.begin("short", lambda: Standing(1))
    scene.pass_by(0.9)
    assert bar is not None
    bar.end()
    scene.pass_by(5.0)
    assert scene.display.lines == []
    assert scene.woken == 1


def test_a_bar_appears_after_a_while_and_moves_at_most_so_often(scene: Scene) -> None:
    done = 0
    bar = scene.bars.begin("long", lambda: Standing(done, total=100))
    assert scene.bars.patience == 1.0
    for _ in range(200):
        done += 1
        scene.pass_by(0.01)
    assert 5 <= len(scene.display.lines) <= 6
    assert scene.display.lines[0].startswith("long: 100 of 100")
    assert scene.bars.patience == pytest.approx(INTERVAL, abs=INTERVAL)
    assert bar is not None
    bar.end()
    bar.end()
    assert scene.display.lines[-1] == "end: long: ended after 200 of 100 in 2.0 s, 100/s"
    assert scene.display.lines[-2][:3] != "end"
    assert scene.bars.patience is None


def test_general_bars_stand_back_for_others(scene: Scene) -> None:
    with scene.bars.during("waiting", lambda: Standing(3)):
        bar = scene.bars.begin("map", lambda: Standing(1))
        scene.pass_by(2.0)
        assert [line[:4] for line in scene.display.lines] == ["map:"]
        assert bar is not None
        bar.end()
        scene.pass_by(1.0)
    assert [line.partition(":")[0] for line in scene.display.lines] == ["map", "end", "waiting", "end"]


def test_a_bar_ends_when_its_object_is_gone(scene: Scene) -> None:
    class Flow:
        def standing(self) -> Standing:
            return Standing(1)

    flow = Flow()
    scene.bars.begin("abandoned", weakly(flow.standing))
    scene.pass_by(2.0)
    del flow
    scene.pass_by(1.0)
    assert [line[:4] for line in scene.display.lines] == ["aban", "end:"]
    assert scene.bars.patience is None


def test_a_frontend_that_fails_is_told_of_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.display.breaks = True
    scene.bars.begin("one", lambda: Standing(1))
    scene.bars.begin("two", lambda: Standing(1))
    scene.pass_by(2.0)
    scene.pass_by(2.0)
    assert [record.getMessage()[:26] for record in caplog.records] == ["progress cannot be shown, "]
    assert scene.bars.begin("three", lambda: Standing(1)) is None


def test_closing_ends_all_bars(scene: Scene) -> None:
    scene.bars.begin("one", lambda: Standing(1))
    scene.pass_by(2.0)
    scene.bars.close()
    assert [line[:4] for line in scene.display.lines] == ["one:", "end:"]


def test_a_display_without_bars_is_told_how_far_everything_is() -> None:
    seen: list[tuple[float, float]] = []

    class Plain(PlainDisplay):
        def progress(self, done: float, total: float, text: str) -> None:
            seen.append((done, total))

    bars = Bars(Plain(), lambda: None)
    assert bars.begin("x", lambda: Standing(1)) is None
    shown: Any = SimpleNamespace(is_idle=True, counts=TaskCounts(pushed=5, finished=2, failed=1, cancelled=1))
    bars.show(shown, is_open=False)
    bars.show(shown, is_open=True)
    assert seen == [(4, 5), (4, 0)]


def test_standing_leaves_out_what_had_ended() -> None:
    counts, left = TaskCounts(pushed=10, finished=4, failed=1), [5]
    look = since_now(lambda: counts, lambda: left[0] or None)
    counts = TaskCounts(pushed=12, finished=6, failed=2, cancelled=1)
    assert look() == Standing(4, 1, 9)
    left[0] = 0
    assert look() == Standing(4, 1, None)


# --- notebooks ---


class Shell:
    """What a swarm uses of a kernel's shell."""

    def __init__(self) -> None:
        self.kernel = object()
        self.display_pub = self
        self.events = self
        self.display_formatter = SimpleNamespace(formatters={})
        self.parent: Any = {"cell": 1}
        self.thread_parent: Any = None
        self.published: list[tuple[Any, bool, Any]] = []
        self.callbacks: list[Any] = []

    def get_parent(self) -> Any:
        return self.parent

    def set_thread_parent(self, parent: Any) -> Any:
        before, self.thread_parent = self.thread_parent, parent
        return before

    def reset_thread_parent(self, before: Any) -> None:
        self.thread_parent = before

    def publish(self, data: Any, metadata: Any, transient: Any, update: bool) -> None:
        self.published.append((data["text/plain"], update, self.thread_parent))

    def register(self, name: str, callback: Any) -> None:
        assert name == "pre_run_cell"
        self.callbacks.append(callback)

    def unregister(self, name: str, callback: Any) -> None:
        self.callbacks.remove(callback)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    return shell


def test_without_ipython_there_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert running_shell() is None
    terminal = SimpleNamespace(get_ipython=SimpleNamespace)  # IPython in a terminal: a shell without a kernel
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    assert running_shell() is None
    assert type(choose_display(inline=True)) is PlainDisplay
    assert watch_cells(PlainDisplay(), print) is None


def test_a_bar_is_one_display_of_the_cell_that_ran_last(shell: Shell) -> None:
    display = choose_display(inline=False)
    assert isinstance(display, NotebookDisplay)
    begun: list[int] = []
    cells = watch_cells(display, lambda: begun.append(1))
    assert cells is not None
    shell.parent = {"cell": 2}
    shell.callbacks[0]("info")
    shell.parent = {"completion": 1}
    bar = display.bar()
    bar.paint(progress((1.0, Standing(1))))
    bar.end(progress((1.0, Standing(2))))
    assert [(update, parent) for _, update, parent in shell.published] == [
        (False, {"cell": 2}),
        (True, {"cell": 2}),
    ]
    assert shell.published[1][0] == "double: ended after 2 in 1.0 s, 2.0/s"
    assert (shell.thread_parent, begun) == (None, [1])
    cells.close()
    cells.close()
    assert shell.callbacks == []


def test_output_is_bounded_for_each_cell(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    display = NotebookDisplay(shell)
    for _ in range(4):
        display.output("vm task", "x" * (MAX_CELL_CHARACTERS // 2 + 1))
    text = capsys.readouterr().out
    assert text.count("[vm task]") == 2
    assert text.endswith("[more output of tasks is left out of this cell]\n")
    display.begin_cell()
    display.output("vm task", "again")
    assert capsys.readouterr().out == "[vm task] again\n"


# --- views ---


def test_everything_of_the_author_is_escaped() -> None:
    evil = "<script>&"
    error = TaskError(evil, remote_traceback=evil, slave=evil, attempt=2, output=evil, hint=evil)
    counts = TaskCounts(pushed=3, finished=1, failed=2)
    shown = [
        error_html(error),
        future_html(evil, "finished", evil, None),
        future_html(evil, "failed", "", error),
        swarm_html(evil, [SlaveSummary(evil, 2)], counts, unfinished=0, is_closed=False),
        bar_html(Progress(evil, 0.0)),
    ]
    for each in shown:
        assert "&lt;script&gt;&amp;" in each
        assert "<script" not in each
    assert shown[0].count("&lt;script&gt;") == 5


def test_a_swarm_shows_slaves_workers_and_tasks() -> None:
    slaves = [SlaveSummary(f"s{n}", 2) for n in range(MAX_SLAVES + 5)]
    shown = swarm_html("tcp://m:1", slaves, TaskCounts(5, 1, 2, 1), unfinished=1, is_closed=False)
    for text in (
        "tcp://m:1",
        "25: s0 (2)",
        "and 5 more",
        ">50<",
        "1 unfinished, 1 finished, 2 failed, 1 cancelled",
    ):
        assert text in shown
    assert "s20" not in shown


def test_large_texts_are_cut() -> None:
    assert len(future_html("f", "finished", "x" * 10**6, None)) < 2_000
    assert len(error_html(TaskError("x", remote_traceback="y" * 10**6))) < 30_000


def test_a_map_of_unknown_length() -> None:
    assert "7 of ? done, 2 failed, cancelled" in standing_html(
        "MapResults", Standing(7, 2, None, is_cancelled=True), "done"
    )


# --- what notebooks need of tasks ---


def test_what_changed_inside_a_global_travels_after_another_look() -> None:
    table = {"factor": 2}
    packer = TaskPacker(BundleCollector())

    def times(n: int) -> int:
        return n * table["factor"]

    task = FunctionTask(times, (1,))
    first = packer.pack(task).function
    table["factor"] = 3
    assert packer.pack(task).function is first
    packer.look_again()
    second = packer.pack(task).function
    assert second.digest != first.digest
    packer.look_again()
    assert packer.pack(task).function is second  # nothing has changed: nothing is sent again


def test_lines_of_cells_are_filled_into_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        linecache.cache, "/cell/1.py", (9, None, ["def f(n):\n", "    return 1 / n\n"], "/cell/1.py")
    )
    monkeypatch.setitem(linecache.cache, "/here/a.py", (9, 1.0, ["import this\n"], "/here/a.py"))
    trace = (
        "Traceback (most recent call last):\n"
        '  File "/here/a.py", line 1, in f\n'
        '  File "/cell/1.py", line 1, in f\n    known\n'
        '  File "/cell/1.py", line 9, in f\n'
        '  File "/cell/1.py", line 2, in f\n'
        "ZeroDivisionError: division by zero\n"
    )
    wanted = trace.replace("line 2, in f\n", "line 2, in f\n    return 1 / n\n")
    assert with_source_lines(trace) == wanted
