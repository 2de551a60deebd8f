"""What the samples benchmark and amdahl send to the swarm: tasks that burn CPU time, alone or as a task system.

Apart from the applications, so that a worker imports nothing that only a client needs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from concurrence import ITaskMaster, ITaskSystem, Task, TaskError

_LOOPS = 2_000  # between two looks at the clock: some tens of microseconds


def burn(seconds: float) -> float:
    """Use this much CPU time of this thread; returns how much it was.

    Not wall time: who only waits until a time has come is as fast with one core as with hundred.
    """
    began = time.thread_time()
    end = began + seconds
    while (now := time.thread_time()) < end:
        number = 1
        for _ in range(_LOOPS):
            number = number * 48_271 % 2_147_483_647
    return now - began


class Burn(Task):
    """Keeps a core busy.

    Args:
        number: Which of them it is, from 1.
        seconds: Of CPU time.
    """

    def __init__(self, number: int, seconds: float) -> None:
        super().__init__(f"burn {number}")
        self.seconds = seconds

    def __call__(self) -> float:
        """The seconds of CPU time that it used."""
        return burn(self.seconds)


def make_tasks(count: int, seconds: float) -> Iterator[Task]:
    """So many tasks of so many seconds of CPU time each."""
    for number in range(1, count + 1):
        yield Burn(number, seconds)


class Burnt(NamedTuple):
    """What a task system hands back.

    Attributes:
        seconds: CPU time that its tasks used, all together.
        failures: Why tasks failed, in their own words.
    """

    seconds: float
    failures: list[str]


class BurnSystem(ITaskSystem):
    """The benchmark as a task system, with a serial part if wanted.

    Args:
        count: How many tasks.
        seconds: CPU seconds of each.
        serial: CPU seconds that the system itself uses before it makes the first task: nobody can help it.
    """

    name = "benchmark"

    def __init__(self, count: int, seconds: float, serial: float = 0.0) -> None:
        self.count = count
        self.seconds = seconds
        self.serial = serial
        self.burnt = 0.0
        self.done = 0
        self.failures: list[str] = []

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        """The serial part, and then all tasks, made as the swarm takes them."""
        burn(self.serial)
        yield from make_tasks(self.count, self.seconds)

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        """Add up what a task used."""
        self.done += 1
        if error is not None:
            self.failures.append(f"{task.name}: {error}")
        else:
            self.burnt += result
        master.report_progress(self.done, self.count, "tasks")

    def gather_result(self, master: ITaskMaster) -> Burnt:
        """The sum."""
        return Burnt(self.burnt, self.failures)
