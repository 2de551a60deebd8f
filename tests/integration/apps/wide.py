"""Tasks that take one worker, and tasks that take two; each returns when it began and ended."""

from __future__ import annotations

import time

from reporting import Reporting

from concurrence import FloatOption, IntOption, Task


class Timed(Task):
    """Takes a while; all processes of a machine have the same monotonic clock."""

    def __init__(self, name: str, seconds: float, cores: int) -> None:
        super().__init__(name)
        self.seconds = seconds
        if cores > 1:
            self.resources = {"cpu": float(cores)}

    def __call__(self) -> list[float]:
        began = time.monotonic()
        time.sleep(self.seconds)
        return [began, time.monotonic()]


class WideTasks(Reporting):
    """Plain tasks, with wide ones among them."""

    plain = IntOption("wide", "plain", 40, "How many take one worker.")
    wide = IntOption("wide", "wide", 5, "How many take two.")
    seconds = FloatOption("wide", "seconds", 0.1, "How long each.")

    def start_processing(self) -> None:
        self.push_tasks([Timed(f"plain {n}", self.seconds, 1) for n in range(self.plain)])
        self.push_tasks([Timed(f"wide {n}", self.seconds, 2) for n in range(self.wide)])
