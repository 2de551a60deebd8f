"""Tasks that take four times as long on a slave that was started in the folder ``slow``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from reporting import Reporting

from concurrence import FloatOption, IntOption, Task, TaskError


class Uneven(Task):
    """Tells where it ran."""

    def __init__(self, n: int, seconds: float) -> None:
        super().__init__(f"uneven {n}")
        self.seconds = seconds

    def __call__(self) -> str:
        place = Path.cwd().name
        time.sleep(self.seconds * (4 if place == "slow" else 1))
        return place


class UnevenTasks(Reporting):
    """Reports how many ran where."""

    count = IntOption("uneven", "count", 200, "How many.", min=1)
    seconds = FloatOption("uneven", "seconds", 0.02, "How long each takes on a fast slave.")

    def start_processing(self) -> None:
        self.extra["where"] = {}
        self.push_tasks([Uneven(n, self.seconds) for n in range(self.count)])

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        super().task_finished(task, result, error)
        self.extra["where"][result] = self.extra["where"].get(result, 0) + 1
