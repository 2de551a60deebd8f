from __future__ import annotations

import logging
import pickle
import random
from collections.abc import Iterable
from itertools import count

import pytest

from concurrence.errors import TaskError
from concurrence.ids import SystemId, TaskId
from concurrence.samples.mandelbrot_kernel import View, render_sequential
from concurrence.samples.mandelbrot_tasks import (
    Canvas,
    MandelbrotSystem,
    MandelbrotTask,
    OptimizedTask,
    PlainTask,
    make_tasks,
)
from concurrence.tasks.api import ITaskSystem, SlaveSummary, Task, TaskCounts

VIEW = View(width=50, height=30, iterations=20)
KINDS = pytest.mark.parametrize("optimized", [True, False])


class FakeMaster:
    """A master's handle that only remembers progress."""

    def __init__(self) -> None:
        self.log = logging.getLogger(__name__)
        self.progress: list[tuple[float, float, str]] = []
        self.slaves: list[SlaveSummary] = []
        self.stats = TaskCounts()
        self._counter = count()

    def push_task(self, task: Task) -> TaskId:
        return TaskId(SystemId(1), next(self._counter))

    def push_tasks(self, tasks: Iterable[Task]) -> None:
        raise NotImplementedError

    def cancel(self, task_ids: Iterable[TaskId] | None = None) -> None:
        raise NotImplementedError

    def push_tasksystem(self, system: ITaskSystem) -> SystemId:
        raise NotImplementedError

    def cancel_system(self, system_id: SystemId) -> None:
        raise NotImplementedError

    def report_progress(self, done: float, total: float, text: str = "") -> None:
        self.progress.append((done, total, text))


def travelled(task: MandelbrotTask) -> MandelbrotTask:
    return pickle.loads(pickle.dumps(task, 5))


def shuffled(optimized: bool, factor: int) -> list[MandelbrotTask]:
    tasks = list(make_tasks(VIEW, factor, optimized=optimized))
    random.Random(3).shuffle(tasks)
    return tasks


@KINDS
@pytest.mark.parametrize("factor", [1, 7, 50, 1000])
def test_tasks_on_a_canvas_in_any_order_make_the_sequential_picture(optimized: bool, factor: int) -> None:
    canvas = Canvas(VIEW)
    for task in shuffled(optimized, factor):
        assert canvas.missing > 0
        canvas.put(task.start, travelled(task)())
    assert canvas.missing == 0
    assert canvas.counts == render_sequential(VIEW)


@KINDS
@pytest.mark.parametrize("factor", [1, 7])
def test_the_system_hands_over_the_sequential_picture(optimized: bool, factor: int) -> None:
    system = pickle.loads(pickle.dumps(MandelbrotSystem(VIEW, factor, optimized=optimized), 5))
    master = FakeMaster()
    tasks = list(system.generate_tasks(master))
    random.Random(3).shuffle(tasks)
    for task in tasks:
        assert system.task_finished(master, task, travelled(task)(), None) is None
    outcome = pickle.loads(pickle.dumps(system.gather_result(master), 5))
    assert outcome.failures == []
    canvas = Canvas(VIEW)
    canvas.put(0, outcome.columns)
    assert canvas.missing == 0
    assert canvas.counts == render_sequential(VIEW)
    assert master.progress[-1] == (VIEW.width, VIEW.width, "columns")
    assert master.progress == sorted(master.progress)


@KINDS
def test_the_system_hands_over_failures(optimized: bool) -> None:
    system = MandelbrotSystem(VIEW, 7, optimized=optimized)
    master = FakeMaster()
    first, *others = system.generate_tasks(master)
    system.task_finished(master, first, None, TaskError("ValueError: no"))
    for task in others:
        system.task_finished(master, task, task(), None)
    assert system.gather_result(master).failures == ["columns 0-6: ValueError: no"]


def test_what_travels_is_what_the_shapes_are_about() -> None:
    optimized, plain = OptimizedTask(VIEW, 0, 5), PlainTask(VIEW, 0, 5)
    assert len(pickle.dumps(optimized, 5)) < 400
    assert len(pickle.dumps(plain, 5)) > 10 * 5 * VIEW.height
    assert len(optimized()) == 5 * VIEW.height
    assert plain()[4] == dict(enumerate(optimized()[4 * VIEW.height :]))
