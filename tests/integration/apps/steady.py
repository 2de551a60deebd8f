"""An application that records every notification, for tests in which something is lost meanwhile."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reporting import leave, leave_pid, probe

from concurrence import ApplicationNode, BoolOption, FloatOption, IntOption, Shared, Task, TaskError


class Step(Task):
    """Leaves a file at its begin and its end, takes a while, and returns its number and some ballast."""

    weight = b""

    def __init__(self, n: int, seconds: float, size: int = 0, ballast: Shared[bytes] | None = None) -> None:
        super().__init__(f"step {n}")
        self.n = n
        self.seconds = seconds
        self.size = size
        self.ballast = ballast
        self.folder = str(probe())

    def __call__(self) -> tuple[int, bytes]:
        leave_pid(self.folder, f"worker-{self.n}")
        leave(self.folder, f"start-{self.n}")
        if self.ballast is not None:
            assert len(self.ballast.value) > 0
        until = time.monotonic() + self.seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(left)
        leave(self.folder, f"end-{self.n}")
        return self.n, os.urandom(self.size)

    def finished(self, result: Any, error: TaskError | None) -> None:
        self.folder += "!"  # once for each call, and only in the client


class FailsOn(Step):
    """Raises on a slave whose environment names a file, while that is there."""

    def __call__(self) -> tuple[int, bytes]:
        if Path(os.environ.get("BAD_MACHINE", "nowhere at all")).exists():
            leave(self.folder, f"failed-{self.n}")
            raise OSError("this machine has a broken disk")
        return super().__call__()


class Steady(ApplicationNode):
    """Pushes steps, and says at the end how each of them was accepted, and how it ended."""

    count = IntOption("steady", "count", 20, "How many.")
    seconds = FloatOption("steady", "seconds", 0.2, "How long each.")
    size = IntOption("steady", "size", 0, "Bytes of ballast that each returns.")
    weight = IntOption(
        "steady", "weight", 0, "Bytes of ballast that every second one takes, in place of returning any."
    )
    shared = IntOption("steady", "shared", 0, "Bytes of an object that all share.")
    retries = IntOption("steady", "retries", 0, "How often each is tried again.")
    fails = BoolOption("steady", "fails", False, "Whether they fail on bad machines.")
    waits = BoolOption("steady", "waits", False, "Whether to go on when all is done, until it is told to end.")

    def app_init(self) -> None:
        self.accepted: list[str] = []
        self.ends: list[tuple[str, str, str, int]] = []
        self.events: list[str] = []

    def start_processing(self) -> None:
        self.push_tasks(self.steps())

    def steps(self) -> Iterable[Task]:
        ballast = Shared(os.urandom(self.shared)) if self.shared else None
        kind = FailsOn if self.fails else Step
        for n in range(self.count):
            is_heavy = self.weight > 0 and n % 2 == 1
            step = kind(n, self.seconds, 0 if is_heavy else self.size, ballast)
            if is_heavy:
                step.weight = os.urandom(self.weight)
            step.max_retries = self.retries
            yield step

    def push_tasks_response(self, tasks: Iterable[Task]) -> None:
        self.say("accepted")

    def push_tasks_failed(self, tasks: list[Task], error: TaskError) -> None:
        self.events.append(f"refused {len(tasks)}: {error.message}")

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        assert isinstance(task, Step)
        how = error.kind if error is not None else "finished" if result[0] == task.n else "mixed up"
        if task.folder.count("!") != 1:
            how = f"finished() ran {task.folder.count('!')} times"
        slave = error.slave if error is not None else ""
        self.ends.append((task.name, how, slave or "", error.attempt if error is not None else 0))
        self.say(f"ended {len(self.ends)}")

    def work_finished(self, result: Any, system_id: int) -> None:
        self.say("all done")
        if self.waits and not (probe() / "go").exists():
            return
        self.tell()

    def master_disconnected(self) -> None:
        self.events.append("disconnected")
        self.say("lost the master")

    def master_reconnected(self) -> None:
        self.events.append("reconnected")
        self.say("found the master")

    def tell(self) -> None:
        """Report, and end."""
        report = {"ends": self.ends, "events": self.events, "count": self.count}
        self.say("report: " + json.dumps(report))
        self.shutdown_main_loop(0)
