"""Nothing is lost, fails or waits in silence; and what a run and a swarm say of themselves is true."""

from __future__ import annotations

import logging
import signal
import textwrap
import time

import pytest
from swarmkit import Swarm, until

import concurrence
from concurrence import Task

pytestmark = pytest.mark.sampled


def run(swarm: Swarm, text: str, *words: str) -> str:
    """Run an application file, or a script if no words are given, to its end; what it wrote."""
    folder = swarm.folder / "client"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "silence.py").write_text(textwrap.dedent(text), "utf-8")
    program = swarm.command("run", "silence.py", *words) if words else swarm.start("silence.py")
    program.finish()
    return program.output


FORGETFUL = """
    from concurrence import ApplicationNode, task
    class App(ApplicationNode):
        def start_processing(self):
            self.push_task(abs_.task(-1))
        def work_finished(self, result, system_id):
            self.say("finished")
    @task
    def abs_(n):
        return abs(n)
"""
FORGOTTEN = "nothing is left to do; work_finished() has to call shutdown_main_loop()"


def test_an_application_that_forgets_to_end_is_told_so(swarm: Swarm) -> None:
    folder = swarm.folder / "client"
    folder.mkdir(parents=True)
    (folder / "silence.py").write_text(textwrap.dedent(FORGETFUL), "utf-8")
    program = swarm.command("run", "silence.py", "--workers", "1")
    until(lambda: FORGOTTEN in program.output)
    assert program.output.count(FORGOTTEN) == 1
    program.send(signal.SIGINT)
    assert program.finish() == 130


def test_inline_an_application_that_forgets_to_end_fails_with_the_reason(swarm: Swarm) -> None:
    output = run(swarm, FORGETFUL, "--inline")
    assert FORGOTTEN in output
    assert "tasks are unfinished" not in output


@pytest.mark.parametrize("words", [("--workers", "1"), ("--inline",)], ids=["swarm", "inline"])
def test_the_summary_counts_what_is_unfinished_as_cancelled(swarm: Swarm, words: tuple[str, ...]) -> None:
    output = run(
        swarm,
        """
        import time
        from concurrence import ApplicationNode, task
        @task
        def slow(n):
            if n >= 8:
                time.sleep(600)
        class App(ApplicationNode):
            ended = 0
            def start_processing(self):
                self.push_tasks(slow.task(n) for n in range(20))
            def task_finished(self, task, result, error):
                self.ended += 1
                if self.ended == 8:
                    raise KeyboardInterrupt
        """.replace("if n >= 8", "if n >= 8" if words[0] == "--workers" else "if n >= 800"),
        *words,
    )
    assert "tasks: 8 finished, 0 failed, 12 cancelled" in output


SYSTEM = """
    from concurrence import ApplicationNode, ITaskSystem, Task
    class One(Task):
        def __call__(self):
            pass
    class Whole(ITaskSystem):
        def generate_tasks(self, master):
            {first}
            yield One("one")
        def task_finished(self, master, task, result, error):
            {later}
        def gather_result(self, master):
            return None
    class App(ApplicationNode):
        def get_task_system(self):
            return Whole()
        def push_tasksystem_failed(self, system_id, error):
            print("remote:", error.remote_traceback)
            self.shutdown_main_loop(1)
"""


@pytest.mark.parametrize("words", [("--workers", "1"), ("--inline",)], ids=["swarm", "inline"])
@pytest.mark.parametrize(
    ("first", "later", "shown"),
    [
        ("{}['missing']", "pass", "in generate_tasks"),
        ("pass", "{}['missing']", "in task_finished"),
        ("yield 3", "pass", ""),
        ("one = One('bad'); one.what = (n for n in ()); yield one", "pass", ""),
    ],
    ids=["drained", "handled", "no task", "unpicklable"],
)
def test_tracebacks_of_systems_begin_with_the_authors_frames(
    swarm: Swarm, words: tuple[str, ...], first: str, later: str, shown: str
) -> None:
    output = run(swarm, SYSTEM.replace("{first}", first).replace("{later}", later), *words)
    remote = output[output.index("remote:") :].partition("tasks: ")[0]
    assert "concurrence/nodes" not in remote
    assert shown in remote
    assert remote.count("  File ") == bool(shown)


def test_a_script_without_a_block_says_what_it_cancels(swarm: Swarm) -> None:
    output = run(
        swarm,
        """
        import concurrence, time
        swarm = concurrence.local_swarm(workers=1)
        futures = [swarm.submit(time.sleep, 600) for _ in range(3)]
        """,
    )
    assert "3 unfinished tasks are cancelled as the script ended" in output


def fail(n: int) -> int:
    raise ValueError(f"no {n}")


class Told(Task):
    def __call__(self) -> None:
        raise ValueError("told")

    def finished(self, result: object, error: object) -> None:
        """It is heard."""


def test_failures_that_nobody_asked_for_are_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), concurrence.local_swarm(workers=1) as swarm:
        futures = [swarm.submit(fail, n) for n in range(4)]
        del futures[3]
        swarm.submit(abs, -1)
        swarm.push_task(Told("told"))
        swarm.wait()
        assert isinstance(futures[0].exception(), ValueError)
    assert [record.getMessage() for record in caplog.records if "nobody" in record.getMessage()] == [
        "3 tasks failed and nobody asked for their results; the first: <Future fail(1) failed: ValueError: no 1>"
    ]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("how", ["result", "exception", "callback", "error", "as_completed", "wait"])
def test_whoever_asks_is_not_told_again(caplog: pytest.LogCaptureFixture, how: str, before: bool) -> None:
    with caplog.at_level(logging.WARNING), concurrence.local_swarm(inline=True) as swarm:
        future = swarm.submit(fail, 1)
        if not before:
            swarm.wait()
        if how == "result":
            with pytest.raises(ValueError, match="no 1"):
                future.result()
        elif how == "exception":
            future.exception()
        elif how == "callback":
            future.add_done_callback(lambda ended: None)
        elif how == "error":
            _ = future.error
        elif how == "as_completed":
            list(concurrence.as_completed([future]))
        else:
            concurrence.wait([future])
    assert "nobody" not in caplog.text


def test_workers_are_those_that_are_there(swarm: Swarm) -> None:
    with concurrence.local_swarm(workers=3) as private:
        assert private.workers == 3
        private.submit(time.sleep, 0).result()
        assert private.workers == 3
    master = swarm.master()
    with concurrence.connect(swarm.connect("client")) as connected:
        assert (connected.workers, connected.slaves) == (0, [])
        assert "connected, 0 workers" in repr(connected)
        swarm.slave("two", workers=2)
        until(lambda: connected.workers == 2)
    with concurrence.connect(swarm.connect("client")) as again:
        assert again.workers == 2
    assert master.runs
