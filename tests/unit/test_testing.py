"""``concurrence.testing`` and its pytest plug-in, tested by tests that use them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from concurrence import ApplicationNode, IntOption, ITaskMaster, ITaskSystem, Task, TaskError
from concurrence.errors import ConfigError, PackingError
from concurrence.testing import environment, run_app, run_system, run_task
from concurrence.testing.processes import check_none_left, marked, marked_processes

pytest_plugins = ["pytester"]


class Add(Task):
    """Adds one, and prints what it got."""

    def __init__(self, number: int) -> None:
        super().__init__(f"add {number}")
        self.number = number

    def __call__(self) -> int:
        print("got", self.number)  # noqa: T201
        return self.number + 1

    def finished(self, result: Any, error: TaskError | None) -> None:
        self.seen = result, error


class Adding(ITaskSystem):
    """The sum of what its tasks return."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.results: list[int] = []

    def init_system(self, master: ITaskMaster) -> None:
        print("starts", end="")  # noqa: T201

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        return (Add(number) for number in range(self.count))

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        if error is not None:
            raise ValueError("a task failed") from error
        self.results.append(result)

    def is_complete(self, master: ITaskMaster) -> bool:
        return len(self.results) == self.count

    def gather_result(self, master: ITaskMaster) -> int:
        return sum(self.results)


class Adds(ApplicationNode):
    """Pushes tasks, says each result, and ends with a code of its own."""

    count = IntOption("adds", "count", 2, "How many tasks.")

    def start_processing(self) -> None:
        self.results: list[int] = []
        self.push_tasks(Add(number) for number in range(self.count))

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        if self.count == 99:
            raise LookupError("in a handler")
        self.results.append(result)
        self.say(f"{task.name}: {result}")

    def work_finished(self, result: Any, system_id: int) -> None:
        self.shutdown_main_loop(7)


class Sums(ApplicationNode):
    """Has a task system."""

    def get_task_system(self) -> ITaskSystem:
        return Adding(3)


def test_what_an_application_did_is_returned(capsys: pytest.CaptureFixture[str]) -> None:
    run = run_app(Adds, overrides=["adds.count=3"])
    assert run.exit_code == 7
    assert run.said == ["add 0: 1", "add 1: 2", "add 2: 3"]
    assert run.app.results == [1, 2, 3]
    assert run.output == {"add 0": ["got 0"], "add 1": ["got 1"], "add 2": ["got 2"]}
    assert (run.summary.finished, run.summary.failed) == (3, 0)
    assert "got 1\n" in capsys.readouterr().out


def test_output_of_a_task_system_has_a_name_of_its_own() -> None:
    run = run_app(Sums)
    assert run.exit_code == 0
    assert run.output["task system"] == ["starts"]
    assert run.output["add 2"] == ["got 2"]


def test_an_application_with_real_workers() -> None:
    run = run_app(Adds, workers=1)
    assert run.exit_code == 7
    assert sorted(run.output) == ["add 0", "add 1"]
    assert run.output["add 1"] == ["got 1"]


def test_what_a_handler_raises_is_raised_and_streams_are_put_back() -> None:
    before = sys.stdout, sys.stderr
    with pytest.raises(LookupError, match="in a handler"):
        run_app(Adds, overrides=["adds.count=99"])
    assert (sys.stdout, sys.stderr) == before


def test_a_wrong_override_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="cuont"):
        run_app(Adds, overrides=["adds.cuont=3"])


def test_an_environment_ends_with_its_block() -> None:
    with environment(Adds, overrides=["adds.count=5"]) as opened:
        assert opened.component(Adds).count == 5
        assert opened.path.is_dir()
    assert not opened.path.exists()


def divide(one: int, two: int = 0) -> float:
    local = one * 100
    return local / two


def test_a_function_or_task_is_run_as_a_worker_would() -> None:
    assert run_task(divide, 3, two=2) == 150.0
    task = Add(4)
    assert run_task(task) == 5
    assert task.seen == (5, None)


def test_the_original_error_has_its_frames() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run_task(divide, 3)
    assert caught.traceback[-1].frame.f_locals["local"] == 300


def test_what_cannot_be_pickled_is_found() -> None:
    task = Add(1)
    task.guard = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(PackingError, match="guard"):
        run_task(task)
    with pytest.raises(TaskError, match="pickled") as caught:
        run_task(lambda: threading.Lock())
    assert caught.value.kind == "result"


def test_a_task_system_is_run_to_its_end() -> None:
    system = Adding(4)
    assert run_system(system) == 10
    assert system.results == []  # a copy ran


def test_what_a_task_system_raises_has_its_frames() -> None:
    class Failing(Adding):
        def is_complete(self, master: ITaskMaster) -> bool:
            missing: dict[str, bool] = {}
            return missing["here"]

    with pytest.raises(KeyError, match="here") as caught:
        run_system(Failing(1))
    assert caught.traceback[-1].frame.f_locals["missing"] == {}


def test_processes_that_are_left_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with marked() as mark:
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert marked_processes(mark) == [process.pid]
        monkeypatch.setattr("concurrence.testing.processes._SECONDS", 0.0)
        with pytest.raises(AssertionError, match=str(process.pid)):
            check_none_left(mark)
    finally:
        process.communicate(b"\n")
    check_none_left(mark)
    assert mark not in os.environ.values()


# --- the plug-in, in a pytest of its own ---

FIXTURES = """
import os
from concurrence import ApplicationNode, IntOption

def square(n):
    return n * n

class Nothing(ApplicationNode):
    count = IntOption("nothing", "count", 4, "A number.")
    def start_processing(self):
        self.say(f"count {self.count}")
        self.shutdown_main_loop(self.count)

def test_inline(inline_swarm):
    assert inline_swarm.submit(os.getpid).result() == os.getpid()

def test_environment(concurrence_environment):
    concurrence_environment.register(Nothing)
    assert concurrence_environment.component(Nothing).count == 4

def test_run_app(run_app):
    run = run_app(Nothing, overrides=["nothing.count=3"])
    assert (run.exit_code, run.said) == (3, ["count 3"])

def test_processes(concurrence_swarm):
    assert concurrence_swarm.workers == 2
    assert concurrence_swarm.submit(os.getpid).result() != os.getpid()
    assert sum(concurrence_swarm.map(square, range(10))) == 285

def test_what_is_left_unfinished_is_cancelled(concurrence_swarm):
    import time
    concurrence_swarm.submit(time.sleep, 600)

def test_and_the_next_one_has_room(concurrence_swarm):
    assert concurrence_swarm.counts.cancelled == 1
    assert concurrence_swarm.submit(square, 5).result() == 25
"""


def test_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FIXTURES)
    with marked() as mark:
        result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", timeout=100)
    result.assert_outcomes(passed=6)
    check_none_left(mark)


def test_the_plugin_costs_nothing_where_it_is_not_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_modules():
            assert "concurrence.testing.plugin" in sys.modules
            ours = {name for name in sys.modules if name.startswith("concurrence")}
            assert ours <= {
                "concurrence", "concurrence.version", "concurrence.testing", "concurrence.testing.plugin"
            }
            assert not {"msgspec", "zmq", "typer"} & sys.modules.keys()
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=60).assert_outcomes(passed=1)


def test_fixtures_are_listed_with_what_they_are_for(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--fixtures", timeout=60)
    for name in ("concurrence_environment", "inline_swarm", "concurrence_swarm", "run_app"):
        result.stdout.fnmatch_lines([f"{name}*", "    ?*"])


def test_a_failing_task_is_debugged_where_it_failed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def fails(n):
            secret = n * 14
            return secret / 0

        def test_it(inline_swarm):
            inline_swarm.submit(fails, 3).result()
        """
    )
    result = pytester.runpytest_subprocess("-l", "-p", "no:cacheprovider", timeout=60)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["secret *= 42"])
