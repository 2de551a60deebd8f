"""Clients with very many tasks, with large results, and with few of them."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from typing import Any

from reporting import Reporting, probe

from concurrence import FloatOption, IntOption, Task, TaskError


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
