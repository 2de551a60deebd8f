"""Swarms in a real Jupyter kernel: what appears in which cell, what cells define, interrupts, and the end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from swarmkit import Swarm

pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

RUNNER = Path(__file__).parent / "run_cells.py"

Outputs = dict[str, list[dict[str, Any]]]

# As bars show them; how long anything takes is up to the machine, and what else it does.
DURATION = r"(?:\d\.\d s|\d+ s|\d+ min \d+ s)"
RATE = r"[\d,.]+/s"
TIME = f"in {DURATION}, {RATE}"


def run_cells(swarm: Swarm, cells: dict[str, str]) -> Outputs:
    """Run named cells one after the other in a kernel of their own; what each showed."""
    source, target = swarm.folder / "cells.json", swarm.folder / "outputs.json"
    source.write_text(json.dumps(list(cells.values())), "utf-8")
    homes = {
        name: str(swarm.folder / name) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")
    }
    program = swarm.start(str(RUNNER), str(source), str(target), **homes)
    assert program.finish(90.0) == 0, str(program)
    return dict(zip(cells, json.loads(target.read_text("utf-8")), strict=True))


def text_of(outputs: list[dict[str, Any]]) -> str:
    """Streams, displays and values as text; errors with their traceback."""
    parts: list[str] = []
    for output in outputs:
        if output["output_type"] == "error":
            parts.append(re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output["traceback"])))
        else:
            parts.append(output.get("text") or output["data"]["text/plain"])
    return "\n".join(parts)


def html_of(outputs: list[dict[str, Any]]) -> list[str]:
    """What displays and values look like."""
    return [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]


CELLS = {
    "open": """
        import asyncio, time, dataclasses
        import concurrence
        from concurrence.scripting.notebook import NotebookDisplay
        swarm = concurrence.local_swarm(workers=2)
        print(swarm.submit(abs, -1).result())
    """,
    "look": "swarm",
    "function": """
        def double(n):
            print("doubling", n)
            return 2 * n
        future = swarm.submit(double, 4)
        future.result()
    """,
    "future": "future",
    "later": "swarm.submit(double, 5).result()",
    "redefined": """
        def double(n):
            return 20 * n
        swarm.submit(double, 4).result()
    """,
    "helper": """
        table = {"factor": 2}
        def factor():
            return table["factor"]
        def times(n):
            return n * factor()
        swarm.submit(times, 1).result()
    """,
    "changed inside": """
        table["factor"] = 3
        swarm.submit(times, 1).result(), list(swarm.map(times, [1, 2]))
    """,
    "redefined helper": """
        def factor():
            return 100
        swarm.submit(times, 1).result()
    """,
    "closure": """
        def adder(k):
            return lambda n: n + k
        list(swarm.map(adder(10), range(3)))
    """,
    "classes": """
        @dataclasses.dataclass
        class Point:
            x: int
            y: int = 0
            def moved(self, by):
                return Point(self.x + by, self.y)
        class Square(concurrence.Task):
            def __init__(self, n):
                super().__init__()
                self.n = n
            def __call__(self):
                return self.n ** 2
        point = swarm.submit(Point(1).moved, 5).result()
        point == Point(6), type(point) is Point, swarm.push_task(Square(7)).result()
    """,
    "bar": """
        results = list(swarm.map(lambda n: time.sleep(0.05), range(40), pack=1))
        print("after")
    """,
    "short": """
        began = time.monotonic()
        len(list(swarm.map(abs, range(1000)))), time.monotonic() - began > NotebookDisplay.bar_delay
    """,
    "wait": """
        for _ in range(8):
            swarm.submit(time.sleep, 0.3)
        swarm.wait()
    """,
    "quiet": "quiet = swarm.submit(time.sleep, 600); swarm.wait(timeout=1.2)",
    "background": """
        quiet.cancel()
        background = swarm.map(time.sleep, [0.2] * 10, pack=1)
        swarm.wait()
    """,
    "block": """
        before = len(get_ipython().events.callbacks["pre_run_cell"])
        with concurrence.local_swarm(workers=1) as other:
            for _ in range(4):
                other.submit(time.sleep, 0.25)
        assert len(get_ipython().events.callbacks["pre_run_cell"]) == before
        other
    """,
    "await": """
        print(await swarm.submit(pow, 2, 10))
        print([n async for n in swarm.map(abs, range(-3, 0))])
        print(await asyncio.gather(*(swarm.submit(abs, n) for n in range(3))))
    """,
    "failing map": """
        def picky(n):
            time.sleep(0.02)
            if n == "<b>2</b>":
                raise ValueError(n)
        left = swarm.map(picky, [f"<b>{n}</b>" for n in range(60)], pack=2)
        rest = []
        while True:
            try:
                rest.append(next(left))
            except ValueError:
                pass
            except StopIteration:
                break
    """,
    "map": "left",
    "error": """
        failed = swarm.submit(picky, "<b>2</b>")
        failed.result()
    """,
    "failed future": "failed",
    "task error": "failed.error",
    "loud": """
        def loud(k):
            print("x" * 9_000)
        for k in range(40):
            swarm.submit(loud, k).result()
    """,
    "interrupt": """
        import os, signal, threading
        slow = swarm.submit(time.sleep, 600)
        threading.Timer(0.5, os.killpg, (os.getpgrp(), signal.SIGINT)).start()
        slow.result()
    """,
    "after interrupt": "slow.cancel(), swarm.submit(abs, -8).result()",
    "interrupt of await": """
        async def tick():  # ipykernel notices a signal when its loop wakes up
            while not slow.done():
                await asyncio.sleep(0.1)
        slow = swarm.submit(time.sleep, 600)
        ticking = asyncio.create_task(tick())
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        await slow
    """,
    "interrupt of a map": """
        slow.cancel()
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        list(swarm.map(time.sleep, [0.2] * 1_000))
    """,
    "usable": "swarm.cancel_all(); swarm.submit(abs, -9).result()",
    "not closed": """
        forgotten = concurrence.local_swarm(workers=1).submit(time.sleep, 600)
        swarm.submit(time.sleep, 600)
    """,
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Generator[Outputs]:
    """One kernel for all cells, whose end is asked for while swarms are open and tasks run."""
    swarm = Swarm(tmp_path_factory.mktemp("notebook"))
    cells = {
        name: "\n".join(line.removeprefix(" " * 8) for line in cell.split("\n")) for name, cell in CELLS.items()
    }
    try:
        yield run_cells(swarm, cells)
        swarm.close()
    finally:
        swarm.kill()


def value(outputs: Outputs, name: str) -> str:
    """The value of a cell."""
    (found,) = [each for each in outputs[name] if each["output_type"] == "execute_result"] or [None]
    assert found is not None, text_of(outputs[name])
    return found["data"]["text/plain"]


def test_what_tasks_print_appears_in_the_cell_that_runs(outputs: Outputs) -> None:
    assert re.search(r"^\[\S+ double\(4\)\] doubling 4$", text_of(outputs["function"]), re.MULTILINE)
    assert re.search(r"^\[\S+ double\(5\)\] doubling 5$", text_of(outputs["later"]), re.MULTILINE)
    assert text_of(outputs["open"]) == "1\n"


def test_a_definition_replaces_the_one_before(outputs: Outputs) -> None:
    assert value(outputs, "function") == "8"
    assert value(outputs, "redefined") == "80"
    assert value(outputs, "helper") == "2"
    assert value(outputs, "redefined helper") == "100"


def test_what_changed_inside_a_global_is_seen_in_the_next_cell(outputs: Outputs) -> None:
    assert value(outputs, "changed inside") == "(3, [3, 6])"


def test_lambdas_closures_and_classes_of_cells(outputs: Outputs) -> None:
    assert value(outputs, "closure") == "[10, 11, 12]"
    assert value(outputs, "classes") == "(True, True, 49)"


def test_a_long_map_has_a_bar_that_ends_as_a_line_before_what_follows(outputs: Outputs) -> None:
    assert re.fullmatch(rf"<lambda>: 40 done {TIME}\nafter\n", text_of(outputs["bar"]))
    (shown,) = html_of(outputs["bar"])
    assert re.fullmatch(rf'<div style="opacity:0.7">&lt;lambda&gt;: 40 done {TIME}</div>', shown)


def test_a_short_map_has_none(outputs: Outputs) -> None:
    count, has_room_for_a_bar = value(outputs, "short").strip("()").split(", ")
    assert count == "1000"
    # On a busy machine it may take long after all.
    assert bool(html_of(outputs["short"])) <= (has_room_for_a_bar == "True")


def test_waiting_and_leaving_the_block_have_a_bar(outputs: Outputs) -> None:
    assert re.fullmatch(rf"unfinished tasks: 8 done {TIME}", text_of(outputs["wait"]))
    assert re.match(rf"unfinished tasks: ended after 0 of 1 in {DURATION}\n", text_of(outputs["quiet"]))
    assert "TimeoutError" in text_of(outputs["quiet"])
    bar, swarm = outputs["block"]
    assert re.fullmatch(rf"unfinished tasks: 4 done {TIME}", bar["data"]["text/plain"])
    assert swarm["data"]["text/plain"] == "<Swarm private, closed: 0 unfinished>"
    assert "closed" in swarm["data"]["text/html"]


def test_the_bar_of_a_map_that_nobody_iterates_ends(outputs: Outputs) -> None:
    assert re.fullmatch(rf"sleep: 10 done {TIME}", text_of(outputs["background"]))


def test_coroutines_where_a_loop_runs_already(outputs: Outputs) -> None:
    assert text_of(outputs["await"]) == "1024\n[3, 2, 1]\n[0, 1, 2]\n"


def test_failures_are_counted_and_escaped(outputs: Outputs) -> None:
    assert re.fullmatch(rf"picky: 60 done {TIME}, 1 failed", text_of(outputs["failing map"]))
    assert value(outputs, "map") == "<MapResults: 60 of 60 done>"
    assert "60 of 60 done, 1 failed" in html_of(outputs["map"])[0]


def test_what_swarms_and_futures_look_like(outputs: Outputs) -> None:
    (swarm,) = html_of(outputs["look"])
    assert re.search(r"private, on this machine.*1 finished", swarm)
    assert re.search(r"<b>double\(4\)</b> <span [^>]*>finished</span><pre>8</pre>", html_of(outputs["future"])[0])


def test_a_failed_future_shows_why(outputs: Outputs) -> None:
    trace = text_of(outputs["error"])
    assert "TaskError" in trace
    assert trace.rstrip().endswith("ValueError: <b>2</b>")
    for name in ("failed future", "task error"):
        (shown,) = html_of(outputs[name])
        assert "ValueError: &lt;b&gt;2&lt;/b&gt;" in shown
        assert "<b>2" not in shown
        assert "attempt 1" in shown
        assert "in picky" in shown
        assert "raise ValueError(n)" in shown


def test_output_of_one_cell_is_bounded(outputs: Outputs) -> None:
    text = text_of(outputs["loud"])
    assert text.rstrip().endswith("[more output of tasks is left out of this cell]")
    assert 200_000 < len(text) < 230_000
    assert "[more output" not in text_of(outputs["interrupt"])


def test_an_interrupt_leaves_the_swarm_usable(outputs: Outputs) -> None:
    assert "KeyboardInterrupt" in text_of(outputs["interrupt"])
    assert value(outputs, "after interrupt") == "(True, 8)"
    assert re.search("CancelledError|KeyboardInterrupt", text_of(outputs["interrupt of await"]))
    assert "KeyboardInterrupt" in text_of(outputs["interrupt of a map"])
    assert value(outputs, "usable") == "9"


def test_a_kernel_that_is_killed_leaves_nothing(swarm: Swarm) -> None:
    cells = {
        "open": "import concurrence, os, time\nswarm = concurrence.local_swarm(1)\nswarm.submit(time.sleep, 600)",
        "kill": "os.kill(os.getpid(), 9)",
    }
    assert run_cells(swarm, cells)["open"]
    swarm.check_nothing_left()


def test_a_script_imports_nothing_of_notebooks(swarm: Swarm) -> None:
    program = swarm.start(
        "-c",
        "import sys, concurrence\n"
        "with concurrence.local_swarm(1) as swarm: print(sum(swarm.map(abs, range(10))))\n"
        "print(sorted({'IPython', 'ipykernel', 'rich', 'html'} & sys.modules.keys()))",
    )
    assert (program.finish(), program.output) == (0, "45\n[]\n"), str(program)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_has_a_bar_on_standard_error_alone(swarm: Swarm) -> None:
    text = (
        "import time, concurrence\n"
        "with concurrence.local_swarm(2) as swarm:\n"
        "    for _ in swarm.map(time.sleep, [0.05] * 100, pack=1): print(end='.')\n"
    )
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            done = subprocess.run(
                [sys.executable, "-c", text],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=theirs,
                timeout=60,
                check=False,
                cwd=swarm.folder,
                env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
            )
        finally:
            os.close(theirs)
        shown = b""
        try:
            while chunk := terminal.read(65_536):
                shown += chunk
        except OSError:  # how Linux says that the other end is closed
            pass
    assert (done.returncode, done.stdout) == (0, b"." * 100), shown
    assert re.search(rf"sleep: \d+ of 100 \(\d+ %\), {RATE}, {DURATION} left", shown.decode()), shown
    assert re.search(rf"sleep: 100 done {TIME}", shown.decode()), shown
