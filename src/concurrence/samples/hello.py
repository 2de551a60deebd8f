"""Hello: the smallest application. A few tasks greet from whatever process they land in."""

from __future__ import annotations

import os
from typing import Any

from concurrence import ApplicationNode, IntOption, Task, TaskError


class Greet(Task):
    """Greets once.

    Args:
        number: Which greeting it is, from 1.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"greet {number}")
        self.number = number

    def __call__(self) -> str:
        """Print on the worker, and return the same to the client."""
        greeting = f"Hello {self.number} from process {os.getpid()}"
        print(greeting)  # noqa: T201  what a task prints arrives at the client
        return greeting


class Hello(ApplicationNode):
    """Pushes a few greetings and says which came back."""

    count = IntOption("hello", "count", 4, "How many greetings.", min=1)

    def start_processing(self) -> None:
        """Push all greetings at once; nobody waits for them."""
        self._failures = 0
        self.push_tasks(Greet(number) for number in range(1, self.count + 1))

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        """One greeting came back, or failed."""
        if error is not None:
            self._failures += 1
            self.log.error("%s failed: %s", task.name, error)
        else:
            self.say(f"{task.name}: {result}")

    def work_finished(self, result: Any, system_id: int) -> None:
        """All greetings came back: end with 0, or with 1 if any failed."""
        self.shutdown_main_loop(1 if self._failures else 0)
