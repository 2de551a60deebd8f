"""Task systems that push task systems, in one thread: told of their ends, counted, cancelled, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest
from test_owner import Story, story

from concurrence import ApplicationNode, ITaskMaster, ITaskSystem, SystemId, Task, TaskError
from concurrence.errors import Backpressure, UsageError
from concurrence.nodes import room
from concurrence.testing import run_app, run_system

__all__ = ["story"]


class Number(Task):
    def __init__(self, value: int) -> None:
        super().__init__()
        self.value = value

    def __call__(self) -> int:
        return self.value


class Sum(ITaskSystem):
    """The sum of its numbers; negative ones make it fail."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers
        self.sum = 0

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        return (Number(number) for number in self.numbers)

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        if result < 0:
            raise ValueError(result)
        self.sum += result

    def gather_result(self, master: ITaskMaster) -> int:
        return self.sum


class Parent(ITaskSystem):
    """Pushes systems, and answers each end with a further task."""

    def __init__(self, *systems: ITaskSystem, cancels: bool = False) -> None:
        self.systems = systems
        self.cancels = cancels
        self.ends: list[tuple[int, Any, str]] = []
        self.further: list[int] = []
        self.unfinished: list[int] = []

    def generate_tasks(self, master: ITaskMaster) -> list[Task]:
        self.ids = [master.push_tasksystem(system) for system in self.systems]
        self.unfinished.append(master.stats.systems)
        if self.cancels:
            master.cancel_system(self.ids[0])
        return []

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        self.further.append(result)

    def system_finished(
        self, master: ITaskMaster, system_id: SystemId, result: Any, error: TaskError | None
    ) -> Iterable[Task]:
        self.unfinished.append(master.stats.systems)
        self.ends.append((self.ids.index(system_id), result, type(error).__name__ if error else ""))
        return [Number(len(self.ends))]

    def gather_result(self, master: ITaskMaster) -> Any:
        return sorted(self.ends), sorted(self.further), self.unfinished, master.stats.unfinished


class Default(Sum):
    """Has no word for the ends of systems."""

    def init_system(self, master: ITaskMaster) -> None:
        master.push_tasksystem(Sum(-1))


def test_each_end_is_told_and_counts_until_then() -> None:
    ends, further, unfinished, left = run_system(Parent(Sum(1, 2), Sum(3), Sum()))
    assert ends == [(0, 3, ""), (1, 3, ""), (2, 0, "")]
    assert further == [1, 2, 3]
    assert unfinished == [3, 2, 1, 0]
    assert left == 0


def test_failures_and_cancellations_are_ends_too() -> None:
    ends, further, _, _ = run_system(Parent(Sum(*range(50)), Sum(-1), cancels=True))
    assert ends == [(0, None, "TaskCancelled"), (1, None, "TaskError")]
    assert further == [1, 2]


def test_without_a_word_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert run_system(Default(1, 2)) == 3
    assert "failed: the task system" in caplog.text
    assert "ValueError: -1" in caplog.text


def test_progress_that_nobody_could_show_is_refused_where_it_is_reported() -> None:
    class Astray(Sum):
        def init_system(self, master: ITaskMaster) -> None:
            master.report_progress(1.0, float("inf"))

    with pytest.raises(UsageError, match=r"report_progress\(\) was given total=inf"):
        run_system(Astray(1))


def nested(depth: int) -> ITaskSystem:
    """So many systems, each pushed by the one before, and one with a task."""
    system: ITaskSystem = Sum(5)
    for _ in range(depth):
        system = Parent(system)
    return system


def innermost(told: Any) -> Any:
    """What the last of the systems was told, as (position, result, error)."""
    end: Any = None
    while type(told) is tuple:
        (end,) = cast("Any", told)[0]
        told = end[1]
    return end


def test_grandchildren_and_no_further() -> None:
    assert innermost(run_system(nested(15))) == (0, 5, "")
    assert innermost(run_system(nested(16))) == (0, None, "TaskError")


def test_an_early_end_takes_them_along() -> None:
    class Early(Parent):
        def is_complete(self, master: ITaskMaster) -> bool:
            return bool(self.ends)

    ends, _, _, left = run_system(Early(Sum(1), Parent(Sum(*range(200)), Sum(*range(200)))))
    assert ends == [(0, 1, "")]
    assert left > 0


def test_an_application_pushes_systems_from_its_handlers() -> None:
    class Chain(ApplicationNode):
        def start_processing(self) -> None:
            self.results: list[int] = []
            self.shown: set[int] = set()
            self.first = self.push_tasksystem(Sum(1))

        def work_finished(self, result: Any, system_id: SystemId) -> None:
            if result is None:
                return
            self.results.append(result)
            if len(self.results) < 3:
                self.push_tasksystem(Sum(result, result))
            else:
                self.shutdown_main_loop()

    assert run_app(Chain).app.results == [1, 2, 4]


def test_beyond_the_bound_handlers_are_refused_and_others_wait(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MAX_PENDING_SYSTEMS", 1)
    story.owner.push_system(Sum())
    told: list[str] = []

    def push_in_handler(task: Task) -> None:
        with pytest.raises(Backpressure) as refusal:
            story.owner.push_system(Sum())
        told.append(str(refusal.value))

    story.handlers.on_end = push_in_handler
    story.owner.push_task(Number(1))
    story.channel.pushes.pop(0)
    story.channel.finish_all()
    story.owner.turn(0)
    assert "1 task systems are unfinished" in told[0]
    assert "when one has ended" in told[0]
    waited: list[int] = []

    def on_wait() -> None:
        waited.append(1)
        story.owner.systems.clear()

    story.channel.on_wait = on_wait
    story.owner.push_system(Sum())
    assert waited == [1]
