"""Tasks that push tasks; run as a script too, whose classes no other process can import."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import concurrence
from concurrence import BoolOption, IntOption, ITaskMaster, ITaskSystem, StrOption, Task, TaskError

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)

from reporting import Reporting, leave, probe  # noqa: E402  found only now

finished_here: list[str] = []


class Branch(Task):
    """Pushes as many branches as its size says; those whose name ends so first kill their worker."""

    def __init__(self, name: str, size: int, deadly: str) -> None:
        super().__init__(name)
        self.size = size
        self.deadly = deadly
        self.folder = str(probe()) if "PROBE" in os.environ else ""

    def __call__(self) -> int:
        self.push_tasks(Branch(f"{self.name}.{size}", size, self.deadly) for size in range(self.size))
        if self.size == 2:
            concurrence.push_task(leaf.task(f"{self.name}.leaf"))
        if self.deadly and self.name.endswith(self.deadly):
            mark = Path(self.folder) / f"died.{self.name}"
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return self.size

    def finished(self, result: Any, error: TaskError | None) -> None:
        finished_here.append(self.name)


@concurrence.task
def leaf(name: str) -> str:
    return name


class Growing(Reporting):
    """A tree of tasks: a name for each, so that it is seen which ended how often."""

    size = IntOption("spawning", "size", 7, "Of the trunk.")
    deadly = StrOption("spawning", "deadly", "", "The ends of the names of those that kill their worker once.")

    def start_processing(self) -> None:
        self.own = 0
        self.push_task(Branch("trunk", self.size, self.deadly))

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        name = task.name or str(result)
        self.ends[name] = self.ends.get(name, 0) + 1
        own = type(task) is Branch or getattr(task, "function", None) is leaf
        self.own += own
        if error is not None:
            self.errors[name] = {"message": error.message}

    def work_finished(self, result: Any, system_id: int) -> None:
        self.extra.update(own=self.own, finished_here=len(finished_here))
        self.tell()


class Forest(ITaskSystem):
    """The same within a task system."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.ends: dict[str, int] = {}
        self.own = 0

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        yield Branch("a", self.size, "")
        yield Branch("b", self.size, "")

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        name = task.name or str(result)
        self.ends[name] = self.ends.get(name, 0) + (error is None)
        self.own += type(task) is Branch

    def gather_result(self, master: ITaskMaster) -> dict[str, Any]:
        return {"ends": self.ends, "own": self.own, "finished_here": len(finished_here)}


class Foresting(Reporting):
    size = IntOption("spawning", "size", 5, "Of both trunks.")

    def get_task_system(self) -> ITaskSystem:
        return Forest(self.size)


class Wait(Task):
    """Waits until it is ended from outside."""

    def __call__(self) -> None:
        time.sleep(3600)


class Generation(ITaskSystem):
    """Pushes two smaller ones, down to those that only have tasks; each leaves the number of its process.

    Args:
        name: What it is called.
        depth: How many generations come after it.
        waits: Whether the last ones wait for ever.
    """

    def __init__(self, name: str, depth: int, waits: bool) -> None:
        self.name = name
        self.depth = depth
        self.waits = waits
        self.told: dict[str, Any] = {}
        self.children: dict[int, str] = {}
        self.folder = str(probe())

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        leave(self.folder, f"host-{self.name}-{os.getpid()}")
        for letter in "ab" if self.depth else "":
            child = Generation(self.name + letter, self.depth - 1, self.waits)
            self.children[master.push_tasksystem(child)] = letter
        if not self.depth:
            yield Wait() if self.waits else Branch(self.name, 2, "")
        master.report_progress(1, 2, f"at {self.name}")

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        self.told[task.name or str(result)] = result

    def system_finished(self, master: ITaskMaster, system_id: int, result: Any, error: TaskError | None) -> None:
        self.told[self.children[system_id]] = result if error is None else error.message

    def gather_result(self, master: ITaskMaster) -> dict[str, Any]:
        return self.told


class Generations(Reporting):
    depth = IntOption("spawning", "depth", 2, "How many generations come after the first.")
    waits = BoolOption("spawning", "waits", False, "Whether the last ones wait for ever.")

    def get_task_system(self) -> ITaskSystem:
        self.extra["seen"] = []
        return Generation("x", self.depth, self.waits)

    def progress(self, system_id: int, done: float, total: float, text: str) -> None:
        if text and text not in self.extra["seen"]:
            self.extra["seen"].append(text)


if __name__ == "__main__":
    sys.exit(concurrence.run({"Growing": Growing, "Foresting": Foresting}[sys.argv.pop(1)]))
