"""Plain clients that push in every way."""

from __future__ import annotations

import time
from typing import Any

from reporting import Reporting
from systems import Add, Endless

from concurrence import Backpressure, FloatOption, Task, TaskError


class OneByOne(Reporting):
    """Pushes more than there is room for, one task after the other."""

    def app_init(self) -> None:
        super().app_init()
        self.done = 0
        self.accepted = 0

    def start_processing(self) -> None:
        for n in range(100_000):
            self.push_task(Add(n))
        self.extra["done_while_pushing"] = self.done

    def push_task_response(self, task: Task) -> None:
        self.accepted += 1

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        self.done += error is None

    def work_finished(self, result: Any, system_id: int) -> None:
        if self.done == 100_000:
            self.extra["done"] = self.done
            self.tell()


class FromHandlers(Reporting):
    """Every end leads to the next push, one by one and by a generator."""

    def app_init(self) -> None:
        super().app_init()
        self.numbers = iter(range(3_000))
        self.generated = 0
        self.done = 0

    def start_processing(self) -> None:
        for _ in range(20):
            self.push_task(Add(next(self.numbers)))

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        self.done += 1
        if result == 1:
            self.push_tasks(Add(n) for n in self.generate())
        following = next(self.numbers, None)
        if following is not None:
            self.push_task(Add(following))

    def generate(self) -> Any:
        for n in range(60_000):
            self.generated += 1
            yield n + 100_000

    def work_finished(self, result: Any, system_id: int) -> None:
        self.extra.update(done=self.done, generated=self.generated)
        self.tell()


class WithoutEnd(Reporting):
    """A handler that pushes without end is told to stop, and how to do better."""

    def start_processing(self) -> None:
        self.pushed = self.finished = 0
        self.push_task(Add(-1))

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        self.finished += 1
        if "text" in self.extra:
            return
        try:
            while True:
                self.push_task(Add(self.pushed))
                self.pushed += 1
        except Backpressure as refusal:
            self.extra["text"] = str(refusal)
            self.extra["pushed"] = self.pushed

    def work_finished(self, result: Any, system_id: int) -> None:
        self.extra["finished"] = self.finished
        self.tell()


class Dawdling(Reporting):
    """A handler that takes longer than the lease."""

    seconds = FloatOption("dawdling", "seconds", 4.0, "How long the handler takes.")

    def start_processing(self) -> None:
        self.push_tasks([Add(n) for n in range(50)])

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        super().task_finished(task, result, error)
        if len(self.ends) == 1:
            time.sleep(self.seconds)
            self.push_tasks([Add(n) for n in range(50, 60)])


class Cancelling(Reporting):
    """Cancels one task, then all."""

    def start_processing(self) -> None:
        self.endless = [Endless() for _ in range(5)]
        for n, task in enumerate(self.endless):
            task.name = f"endless {n}"
        ids = [self.push_task(task) for task in self.endless]
        self.cancel([ids[0]])

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        super().task_finished(task, result, error)
        if len(self.ends) == 1:
            self.cancel()


class Raising(Reporting):
    """A handler raises: the run ends with the author's traceback."""

    def start_processing(self) -> None:
        self.push_tasks([Add(n) for n in range(50)])

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        raise LookupError("raised in the handler")


class Nothing(Reporting):
    """Takes its time, in which the master has something to say, and then has nothing to do."""

    def start_processing(self) -> None:
        time.sleep(1.0)
        self.push_tasks([])
