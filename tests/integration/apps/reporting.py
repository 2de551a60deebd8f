"""What the applications of the integration tests share: they remember what they were told, and report it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from concurrence import ApplicationNode, Task, TaskError


def probe() -> Path:
    """Where tasks leave files for the test."""
    return Path(os.environ["PROBE"])


def leave(folder: str, name: str) -> str:
    """Leave a file whose name begins so, one more at each call; its name."""
    path = Path(folder) / f"{name}.{os.getpid()}.{os.urandom(4).hex()}"
    path.touch()
    return path.name


def leave_pid(folder: str, name: str) -> None:
    """Leave a file of this name with the number of this process; whoever sees the file finds the number in it."""
    draft = Path(folder) / f".{name}.{os.urandom(4).hex()}"
    draft.write_text(str(os.getpid()))
    draft.rename(Path(folder) / name)


def describe(error: TaskError) -> dict[str, Any]:
    """An error as plain data."""
    return {
        "message": error.message,
        "kind": error.kind,
        "class": type(error).__name__,
        "traceback": error.remote_traceback,
        "slave": error.slave,
        "task": error.task,
        "attempt": error.attempt,
        "cause": repr(error.cause),
        "output": error.output,
    }


class Reporting(ApplicationNode, abstract=True):
    """Counts the end of each task, and says at the end what it was told."""

    def app_init(self) -> None:
        self.ends: dict[str, int] = {}
        self.results: dict[str, Any] = {}
        self.errors: dict[str, dict[str, Any]] = {}
        self.events: list[str] = []
        self.extra: dict[str, Any] = {}

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        self.ends[task.name] = self.ends.get(task.name, 0) + 1
        if error is not None:
            self.errors[task.name] = describe(error)
        else:
            self.results[task.name] = result

    def work_finished(self, result: Any, system_id: int) -> None:
        self.extra["result"] = result
        self.tell()

    def push_tasksystem_failed(self, system_id: int, error: TaskError) -> None:
        self.extra["system_error"] = describe(error)
        self.tell()

    def master_disconnected(self) -> None:
        self.events.append("disconnected")

    def master_reconnected(self) -> None:
        self.events.append("reconnected")

    def tell(self, code: int = 0) -> None:
        """Report, and end."""
        report = {
            "ends": self.ends,
            "results": self.results,
            "errors": self.errors,
            "events": self.events,
            **self.extra,
        }
        self.say("report: " + json.dumps(report, default=repr))
        self.shutdown_main_loop(code)
