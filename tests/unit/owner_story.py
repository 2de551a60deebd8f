"""Tasks, systems and results of an owner, for the tests of owners."""

from __future__ import annotations

import pickle
from typing import Any

from concurrence.errors import TaskError
from concurrence.ids import SystemId
from concurrence.tasks.api import ITaskMaster, ITaskSystem, Task
from concurrence.tasks.bundles import CodeNeeds
from concurrence.tasks.ownership import OwnedTasks
from concurrence.tasks.packing import TaskPacker
from concurrence.tasks.values import pack_value
from concurrence.wire import faults
from concurrence.wire.codec import Parcel, encode_results
from concurrence.wire.messages import (
    CANCELLED,
    FINISHED,
    PackedResult,
    Results,
)

SYSTEM = SystemId(7)


class NoCode:
    def needs(self, modules: object) -> CodeNeeds:
        return CodeNeeds((), ())


class Add(Task):
    def __init__(self, value: int = 0) -> None:
        super().__init__()
        self.value = value
        self.ended: list[Any] = []

    def __call__(self) -> int:
        return self.value

    def finished(self, result: Any, error: TaskError | None) -> None:
        self.ended.append(result if error is None else error)


class Other(Add):
    priority = 3


class Buffered(Add):
    def __init__(self, size: int, count: int = 1) -> None:
        super().__init__()
        self.data = [pickle.PickleBuffer(bytearray(size)) for _ in range(count)]


class System(ITaskSystem):
    def generate_tasks(self, master: ITaskMaster) -> list[Task]:
        return []

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        return None

    def gather_result(self, master: ITaskMaster) -> int:
        return 42


def owned() -> OwnedTasks:
    return OwnedTasks(SYSTEM, "client", TaskPacker(NoCode()))


def results(delivery: int, counters: list[int], status: int = FINISHED, system: int = SYSTEM) -> Parcel[Results]:
    payload = pack_value("value", "")[0]
    if status != FINISHED:
        kind = faults.KIND_CANCELLED if status == CANCELLED else faults.KIND_EXCEPTION
        payload = faults.encode_fault(faults.Fault(kind, "it failed"))
    body = encode_results([PackedResult(payload)] * len(counters))
    return Parcel(Results(1, delivery, system, counters, bytes([status]) * len(counters), 0.5, "s", 1), [body])
