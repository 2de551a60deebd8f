"""Tasks that take a while and leave a file at their begin and end, so that a test can strike in between."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from reporting import Reporting, leave, leave_pid, probe

from concurrence import FloatOption, IntOption, ITaskMaster, ITaskSystem, Task, TaskError

RELEASE = "release"
"""Once a test has made this file, nothing takes longer any more."""


class Slow(Task):
    """Returns its number after a while."""

    def __init__(self, n: int, seconds: float) -> None:
        super().__init__(f"slow {n}")
        self.n = n
        self.seconds = seconds
        self.folder = str(probe())

    def __call__(self) -> int:
        leave_pid(self.folder, f"pid-{self.n}")
        leave(self.folder, f"start-{self.n}")
        until = time.monotonic() + self.seconds
        while time.monotonic() < until and not (Path(self.folder) / RELEASE).exists():
            time.sleep(min(0.05, self.seconds))
        leave(self.folder, f"end-{self.n}")
        return self.n


class SlowTasks(Reporting):
    """Plain tasks."""

    count = IntOption("slow", "count", 8, "How many.", min=1)
    seconds = FloatOption("slow", "seconds", 0.3, "How long each.")
    quick = IntOption("slow", "quick", 0, "How many more that take no time.", min=0)

    def start_processing(self) -> None:
        self.push_tasks([Slow(n, self.seconds) for n in range(self.count)])
        self.push_tasks([Slow(n, 0.0) for n in range(self.count, self.count + self.quick)])

    def master_disconnected(self) -> None:
        super().master_disconnected()
        self.say("lost the master")

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        super().task_finished(task, result, error)
        self.say(f"ended {task.name}")


class AmongQuick(SlowTasks):
    """Pushes a slow task amid quick ones, that are known to be quick by then: they travel together."""

    def start_processing(self) -> None:
        self.before = self.count
        self.push_tasks([Slow(n, 0.0) for n in range(self.count)])

    def work_finished(self, result: Any, system_id: int) -> None:
        if not self.before:
            super().work_finished(result, system_id)
            return
        first, self.before = self.before, 0
        seconds = [0.0, 0.0, self.seconds, *[0.0] * self.quick]
        self.push_tasks([Slow(first + n, each) for n, each in enumerate(seconds)])


class WithoutEnd(SlowTasks):
    """Has always more to push."""

    def start_processing(self) -> None:
        self.push_tasks(Slow(n, self.seconds) for n in itertools.count())

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        self.ends[task.name] = self.ends.get(task.name, 0) + 1
        if error is not None:
            self.extra["error"] = error.message


class CancelsWhenTold(SlowTasks):
    """Cancels everything once a test has made a file."""

    def start_processing(self) -> None:
        super().start_processing()
        while not (probe() / "cancel").exists():
            time.sleep(0.02)
        self.cancel()
        self.say("cancelled")


class GoesOn(SlowTasks):
    """Pushes lost tasks again."""

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        super().task_finished(task, result, error)
        if error is not None and error.kind == "lost":
            self.push_task(Slow(cast("Slow", task).n + 100, 0.0))


class OneSlowSystem(ITaskSystem):
    """A task system of slow tasks, whose process number is in a file."""

    def __init__(self, count: int, seconds: float) -> None:
        self.count = count
        self.seconds = seconds
        self.folder = str(probe())
        self.total = 0

    def init_system(self, master: ITaskMaster) -> None:
        leave_pid(self.folder, "host")

    def generate_tasks(self, master: ITaskMaster) -> Iterable[Task]:
        return [Slow(n, self.seconds) for n in range(self.count)]

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        self.total += result if error is None else 0

    def gather_result(self, master: ITaskMaster) -> int:
        return self.total


class SlowSystem(SlowTasks):
    """The same as a task system."""

    limit = FloatOption("slow", "limit", 0.0, "How long the system may take; 0 for as long as it likes.")

    def get_task_system(self) -> ITaskSystem:
        system = OneSlowSystem(self.count, self.seconds)
        if self.limit:
            system.timeout = self.limit
        return system
