"""Clients with very many tasks, with large results, and with few of them."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from typing import Any

from reporting import Reporting, probe

from concurrence import FloatOption, IntOption, ITaskMaster, ITaskSystem, Task, TaskError


class Bulk(Task):
    """Takes some time, and returns some bytes."""

    def __init__(self, seconds: float = 0.0, size: int = 0) -> None:
        super().__init__()
        self.seconds = seconds
        self.size = size

    def __call__(self) -> bytes:
        if self.seconds:
            time.sleep(self.seconds)
        return b"x" * self.size


class Pushing(Reporting):
    """Pushes very many tasks by a generator; the first handler may take its time."""

    count = IntOption("bulk", "count", 300_000, "How many tasks.")
    size = IntOption("bulk", "size", 0, "Bytes of each result.")
    seconds = FloatOption("bulk", "seconds", 0.0, "How long each takes.")
    pause = FloatOption("bulk", "pause", 0.0, "How long the first handler takes.")

    def app_init(self) -> None:
        super().app_init()
        self.made = self.done = self.most = 0
        self.memory: list[int] = []

    def start_processing(self) -> None:
        self.push_tasks(self.generate())

    def generate(self) -> Iterator[Task]:
        for _ in range(self.count):
            self.made += 1
            self.most = max(self.most, self.made - self.done)
            yield Bulk(self.seconds, self.size)

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        if error is not None or len(result) != self.size:
            self.errors["first"] = {"message": str(error)}
        if not self.done:
            (probe() / "first").touch()
            time.sleep(self.pause)
        self.done += 1
        if self.done % max(1, self.count // 10) == 0:
            self.memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)

    def work_finished(self, result: Any, system_id: int) -> None:
        self.extra.update(done=self.done, most=self.most, memory=self.memory)
        self.tell()


class Few(Reporting):
    """Ten short tasks, and how long they took from push to end."""

    def start_processing(self) -> None:
        self.started = time.monotonic()
        for number in range(10):
            task = Bulk()
            task.name = f"few {number}"
            self.push_task(task)

    def work_finished(self, result: Any, system_id: int) -> None:
        self.extra["seconds"] = time.monotonic() - self.started
        self.tell()


class Numbered(Task):
    def __init__(self, number: int, seconds: float) -> None:
        super().__init__()
        self.number = number
        self.seconds = seconds

    def __call__(self) -> int:
        time.sleep(self.seconds)
        return self.number


class Losing(Reporting):
    """Counts the end of each of its tasks, whatever happens to the master; half of them come from a generator."""

    count = IntOption("bulk", "count", 60_000, "How many tasks.")
    seconds = FloatOption("bulk", "seconds", 0.0001, "How long each takes.")

    def start_processing(self) -> None:
        self.counts = [0] * self.count
        self.finished = self.lost = self.wrong = 0
        self.texts: set[str] = set()
        self.systems: list[Any] = []
        half = self.count // 2
        self.push_tasksystem(Endless())
        self.push_tasks([Numbered(number, self.seconds) for number in range(half)])
        self.push_tasks(Numbered(number, self.seconds) for number in range(half, self.count))

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        if not isinstance(task, Numbered):
            raise TypeError(task)
        self.counts[task.number] += 1
        if error is not None:
            self.lost += 1
            self.texts.add(f"{error.kind}: {error.message}")
        else:
            self.finished += 1
            self.wrong += result != task.number
        if self.finished == 1_000:
            (probe() / "some").touch()

    def push_tasksystem_failed(self, system_id: int, error: TaskError) -> None:
        self.systems.append(error.message)

    def work_finished(self, result: Any, system_id: int) -> None:
        self.extra.update(
            finished=self.finished,
            lost=self.lost,
            wrong=self.wrong,
            texts=sorted(self.texts),
            systems=self.systems,
        )
        self.extra["once"] = self.counts == [1] * self.count
        self.tell()


class Endless(ITaskSystem):
    """Never complete."""

    def generate_tasks(self, master: ITaskMaster) -> list[Task]:
        return [Bulk()]

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        """Goes on."""

    def is_complete(self, master: ITaskMaster) -> bool:
        return False

    def gather_result(self, master: ITaskMaster) -> None:
        """Never asked."""
