"""Applications whose tasks share large objects."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from reporting import Reporting, leave, probe

from concurrence import IntOption, ITaskMaster, ITaskSystem, Shared, Task, TaskError

SIZE = 8_000_000


class Text:
    """Plain data that counts how often it is unpickled."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.text = "x" * SIZE

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state
        leave(self.folder, f"unpickled-{os.getpid()}")


class Look(Task):
    def __init__(self, n: int, array: Shared[Any], text: Shared[Text]) -> None:
        super().__init__(f"look {n}")
        self.n = n
        self.array = array
        self.parts = {"text": [text]}

    def __call__(self) -> int:
        array = self.array.value
        assert not array.flags.writeable or "INLINE" in os.environ
        return int(array[self.n]) + len(self.parts["text"][0].value.text)


class Deadly(Look):
    def __call__(self) -> int:
        seen = super().__call__()
        if not list(Path(self.parts["text"][0].value.folder).glob(f"died-{self.n}.*")):
            leave(self.parts["text"][0].value.folder, f"died-{self.n}")
            os.kill(os.getpid(), signal.SIGKILL)
        return seen


def objects() -> tuple[Shared[Any], Shared[Text]]:
    return Shared(np.arange(SIZE // 8)), Shared(Text(str(probe())))


class Looks(Reporting):
    """Many tasks, and some that kill their worker."""

    count = IntOption("test", "count", 200, "How many tasks.")
    deadly = IntOption("test", "deadly", 0, "How many of them kill their worker at first.")

    def start_processing(self) -> None:
        array, text = objects()
        kinds = [Deadly] * self.deadly + [Look] * (self.count - self.deadly)
        self.push_tasks(kind(n, array, text) for n, kind in enumerate(kinds))


class Inline(Reporting):
    """The same in one process."""

    def start_processing(self) -> None:
        data = Shared([10, 20, 30])
        self.push_tasks([Get("get", data, n) for n in range(3)])


class Get(Task):
    def __init__(self, name: str, data: Shared[list[int]], n: int) -> None:
        super().__init__(f"{name} {n}")
        self.data = data
        self.n = n

    def __call__(self) -> int:
        return self.data.value[self.n]


class LookSystem(ITaskSystem):
    """The same, as a system: from its client by its host to the slaves."""

    def __init__(self) -> None:
        self.array, self.text = objects()
        self.sum = 0
        self.left = 200
        self.errors: list[str] = []

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        for n in range(200):
            yield Look(n, self.array, self.text)

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        self.left -= 1
        self.sum += result or 0
        if error is not None:
            self.errors.append(str(error))

    def is_complete(self, master: ITaskMaster) -> bool:
        return self.left == 0

    def gather_result(self, master: ITaskMaster) -> tuple[int, list[str]]:
        return self.sum, self.errors


class LooksOfASystem(Reporting):
    def get_task_system(self) -> ITaskSystem:
        return LookSystem()


class Rounds(Reporting):
    """One large object after the other, each for a few tasks."""

    def start_processing(self) -> None:
        self.round = 0
        self.next_round()

    def next_round(self) -> None:
        text = Shared(Text(str(probe())))
        array = Shared(np.full(3 * SIZE // 8, self.round))
        self.push_tasks([Look(4 * self.round + n, array, text) for n in range(4)])

    def work_finished(self, result: Any, system_id: int) -> None:
        self.round += 1
        if self.round == 12:
            self.tell()
        else:
            self.next_round()
