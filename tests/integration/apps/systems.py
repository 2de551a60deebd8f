"""Task systems: one that uses everything, one that makes very many tasks, and those that go wrong."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import psutil
from reporting import Reporting, leave, probe

from concurrence import IntOption, ITaskMaster, ITaskSystem, StrOption, Task, TaskError, TaskId


class Add(Task):
    def __init__(self, n: int) -> None:
        super().__init__(f"add {n}")
        self.n = n

    def __call__(self) -> int:
        return self.n + 1


class Endless(Task):
    def __init__(self) -> None:
        super().__init__("endless")
        self.folder = str(probe())

    def __call__(self) -> None:
        leave(self.folder, f"pid-{os.getpid()}")
        time.sleep(3600)


class Talking(Task):
    def __call__(self) -> None:
        for n in range(20):
            print(f"task line {n}")  # noqa: T201
        logging.getLogger("talk").warning("a warning of the task")


class Flood(ITaskSystem):
    """Makes very many tasks, and looks at how many are under way."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.made = 0
        self.done = 0
        self.most = 0
        self.sum = 0
        self.memory: list[int] = []

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        for n in range(self.count):
            self.made += 1
            self.most = max(self.most, self.made - self.done)
            yield Add(n)

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        self.done += 1
        self.sum += result
        if self.done % (self.count // 10) == 0:
            self.memory.append(psutil.Process().memory_info().rss)

    def gather_result(self, master: ITaskMaster) -> dict[str, Any]:
        return {"most": self.most, "sum": self.sum, "memory": self.memory}


class Flooding(Reporting):
    count = IntOption("flood", "count", 200_000, "How many tasks.")

    def get_task_system(self) -> ITaskSystem:
        return Flood(self.count)


class Chain(ITaskSystem):
    """Each task leads to further ones, returned or pushed; a few are cancelled; all of it is reported."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self.cancelled = 0
        self.endless: TaskId | None = None
        self.slaves: list[str] = []

    def init_system(self, master: ITaskMaster) -> None:
        print("the system begins")  # noqa: T201
        master.log.warning("a warning of the system")

    def generate_tasks(self, master: ITaskMaster) -> list[Task]:
        self.endless = master.push_task(Endless())
        master.report_progress(-1e-17, 10, "of rounding, and much to say" * 10_000)
        return [Add(0), Talking("talking")]

    def task_finished(
        self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None
    ) -> Iterable[Task] | None:
        self.slaves = [slave.name for slave in master.slaves]
        if error is not None:
            assert error.kind == "cancelled", error
            self.cancelled += 1
        if not isinstance(task, Add):
            return None
        self.values.append(result)
        master.report_progress(result, 10, f"at {result}")
        if result < 5:
            return [Add(result)]
        if result < 10:
            master.push_tasks(Add(each) for each in [result])
        elif self.endless is not None:
            master.cancel([self.endless])
        return None

    def gather_result(self, master: ITaskMaster) -> dict[str, Any]:
        stats = master.stats
        return {
            "values": self.values,
            "cancelled": self.cancelled,
            "slaves": self.slaves,
            "counts": [stats.pushed, stats.finished, stats.failed, stats.cancelled],
        }


class Chaining(Reporting):
    def get_task_system(self) -> ITaskSystem:
        return Chain()

    def progress(self, system_id: int, done: float, total: float, text: str) -> None:
        if total == 10:
            self.extra.setdefault("progress", []).append([done, text])


class Early(ITaskSystem):
    """Ends when three are done, whatever still runs or is to be made."""

    def __init__(self) -> None:
        self.done = 0
        self.made = 0

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        yield Endless()
        for n in range(1_000_000):
            self.made += 1
            yield Add(n)

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        self.done += 1

    def is_complete(self, master: ITaskMaster) -> bool:
        folder = probe()
        return self.done >= 3 and len(list(folder.glob("pid-*"))) >= 1

    def gather_result(self, master: ITaskMaster) -> int:
        return self.made


class EndingEarly(Reporting):
    def get_task_system(self) -> ITaskSystem:
        return Early()


class Broken(ITaskSystem):
    """Raises where it is told to."""

    def __init__(self, where: str) -> None:
        self.where = where

    def _check(self, where: str) -> None:
        if where == self.where:
            raise ArithmeticError(f"broken in {where}")

    def init_system(self, master: ITaskMaster) -> None:
        self._check("init_system")

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        self._check("generate_tasks")
        return self._generate()

    def _generate(self) -> Iterator[Task]:
        yield Add(1)
        self._check("generator")

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        self._check("task_finished")

    def is_complete(self, master: ITaskMaster) -> bool:
        self._check("is_complete")
        return super().is_complete(master)

    def gather_result(self, master: ITaskMaster) -> Any:
        self._check("gather_result")
        if self.where == "exit":
            raise SystemExit(5)
        if self.where == "os._exit":
            os._exit(6)
        if self.where == "large":
            return bytes(3_000_000)
        return threading.Lock() if self.where == "result" else self.where


class Breaking(Reporting):
    """Pushes broken systems one after the other."""

    where = StrOption("broken", "where", "", "Where they raise.")

    def start_processing(self) -> None:
        self.systems: dict[int, str] = {}
        for where in self.where.split():
            self.systems[self.push_tasksystem(Broken(where))] = where
        self.extra["failures"] = {}
        self.extra["successes"] = []

    def work_finished(self, result: Any, system_id: int) -> None:
        self.systems.pop(system_id, "")
        self.extra["successes"].append(result)
        self._look()

    def push_tasksystem_failed(self, system_id: int, error: TaskError) -> None:
        where = self.systems.pop(system_id)
        self.extra["failures"][where] = {
            "message": error.message,
            "kind": error.kind,
            "traceback": error.remote_traceback,
            "cause": repr(error.cause),
        }
        self._look()

    def _look(self) -> None:
        if not self.systems:
            self.tell()
