"""A task system that waits for a file, and an application that leaves it at the master."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reporting import Reporting, leave, probe

from concurrence import BoolOption, IntOption, ITaskMaster, ITaskSystem, SystemId, Task, TaskError


class Patient(Task):
    """Waits for the file."""

    def __init__(self, number: int) -> None:
        super().__init__(f"patient {number}")
        self.number = number
        self.folder = str(probe())

    def __call__(self) -> int:
        leave(self.folder, f"start-{self.number}")
        while not (Path(self.folder) / "go").exists():
            time.sleep(0.02)
        print(f"number {self.number} goes")  # noqa: T201
        return self.number


class Answer:
    """A result that can be unpickled only where this module is."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = sorted(numbers)

    def __str__(self) -> str:
        return f"the numbers are {self.numbers}"


class Waiting(ITaskSystem):
    """As many patient tasks as it is told; its result is text or of a class of its own."""

    name = "waiting"

    def __init__(self, count: int, is_own: bool) -> None:
        self.count = count
        self.is_own = is_own
        self.numbers: list[int] = []

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        return (Patient(number) for number in range(self.count))

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        if error is not None:
            raise error
        self.numbers.append(result)
        master.report_progress(len(self.numbers), self.count, "waiting")

    def gather_result(self, master: ITaskMaster) -> Any:
        answer = Answer(self.numbers)
        return answer if self.is_own else str(answer)


class Leaving(Reporting):
    """Has the system; run with --detach it is left."""

    count = IntOption("detached", "count", 2, "How many tasks.")
    own = BoolOption("detached", "own", False, "Whether the result is of a class of this module.")

    def get_task_system(self) -> ITaskSystem | None:
        return Waiting(self.count, self.own)


class Staying(Leaving):
    """Pushes a detached system and one that is not, and stays."""

    def get_task_system(self) -> ITaskSystem | None:
        return None

    def start_processing(self) -> None:
        self.push_tasksystem(Waiting(1, False))
        self.detached = self.push_tasksystem(Waiting(self.count, self.own), detached=True)

    def push_tasksystem_response(self, system_id: SystemId) -> None:
        if system_id == self.detached:
            self.say(f"number: {system_id:016x}")


class Returning(Reporting):
    """Comes for a detached system by its number."""

    number = IntOption("detached", "number", 0, "The system.")

    def start_processing(self) -> None:
        self.attach_tasksystem(SystemId(self.number))


class Nothing(Reporting):
    """Has no task system."""

    def start_processing(self) -> None:
        """Nothing."""
