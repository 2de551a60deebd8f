"""What a status page shows: tasks that finish, tasks that fail with texts like markup, and one that waits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from reporting import Reporting, probe

from concurrence import Task, TaskError

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"

LAST = 399  # nothing waits behind it


class Part(Task):
    """Takes a moment; some raise."""

    def __init__(self, number: int, folder: str) -> None:
        super().__init__(f"part {number}")
        self.number = number
        self.folder = folder

    def __call__(self) -> int:
        if self.number == LAST:
            while not Path(self.folder, "enough").exists():
                time.sleep(0.02)
        if self.number % 100 == 50:
            raise ValueError(f"{MARKUP} number {self.number}")
        time.sleep(0.003)
        return self.number


class Shown(Reporting):
    """Pushes them, and goes on when the test has seen enough."""

    def start_processing(self) -> None:
        folder = str(probe())
        self.push_tasks(Part(number, folder) for number in range(LAST + 1))

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        """Nothing is done with them."""
