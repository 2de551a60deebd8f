"""Tasks that ask for what only some slaves have, and say where they ran."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from reporting import Reporting

from concurrence import Task, TaskError


class Where(Task):
    """Tells in which folder its slave was started."""

    def __init__(self, kind: str, n: int) -> None:
        super().__init__(f"{kind} {n}")
        self.kind = kind
        if kind != "plain":
            self.resources = {kind: 1.0}

    def __call__(self) -> str:
        time.sleep(0.05)
        return Path.cwd().name


class Routed(Reporting):
    """Reports which kind of task ran where."""

    def start_processing(self) -> None:
        self.extra["where"] = {}
        self.push_tasks([Where(kind, n) for n in range(20) for kind in ("plain", "gpu", "camera")])

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        super().task_finished(task, result, error)
        kind = task.name.partition(" ")[0]
        self.extra["where"].setdefault(kind, []).append(result)
        self.say(f"ended {kind}")
