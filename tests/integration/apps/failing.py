"""Tasks that go wrong in every way, among tasks that do not."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from reporting import Reporting, leave, probe

from concurrence import Backpressure, ConcurrenceError, Task, TaskError


class Odd(Exception):
    """Cannot be rebuilt from its arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Call(Task):
    """Calls a function of this module with the folder in which tasks leave files."""

    def __init__(self, function: Callable[[str], Any], name: str = "", **fields: Any) -> None:
        super().__init__(name or function.__name__)
        self.function = function
        self.folder = str(probe())
        for field, value in fields.items():
            setattr(self, field, value)

    def __call__(self) -> Any:
        return self.function(self.folder)


def raise_value_error(folder: str) -> None:
    def inner() -> None:
        raise ValueError("the author's own text")

    inner()


def raise_odd(folder: str) -> None:
    raise Odd(1, 2)


def raise_from(folder: str) -> None:
    try:
        {}["first"]
    except KeyError as error:
        raise RuntimeError("second") from error


def leave_with_system_exit(folder: str) -> None:
    sys.exit(3)


def interrupt_itself(folder: str) -> None:
    raise KeyboardInterrupt


def end_the_process(folder: str) -> None:
    sys.stdout.write("the last words\n")
    leave(folder, "ended")
    os._exit(7)


def crash(folder: str) -> None:
    leave(folder, "crashed")
    ctypes.string_at(0)


def return_a_lock(folder: str) -> Any:
    return threading.Lock()


def fail_the_first_time(folder: str) -> str:
    leave(folder, "first")
    if len(list(Path(folder).glob("first.*"))) == 1:
        raise RuntimeError("the first time")
    return "the second time"


def fail_always(folder: str) -> None:
    leave(folder, "always")
    raise RuntimeError("always")


def fail_once(folder: str) -> None:
    leave(folder, "once")
    raise RuntimeError("once")


class Square(Task):
    def __init__(self, n: int) -> None:
        super().__init__(f"square {n}")
        self.n = n

    def __call__(self) -> int:
        return self.n * self.n


class Failing(Reporting):
    """Everything that can go wrong with a task alone."""

    def start_processing(self) -> None:
        calls = [
            Call(raise_value_error),
            Call(raise_odd),
            Call(raise_from),
            Call(leave_with_system_exit),
            Call(interrupt_itself),
            Call(end_the_process),
            Call(crash),
            Call(return_a_lock),
            Call(fail_the_first_time, max_retries=2),
            Call(fail_always, max_retries=2),
            Call(fail_once),
        ]
        squares = [Square(n) for n in range(100)]
        self.push_tasks(task for pair in zip(squares[: len(calls)], calls, strict=True) for task in pair)
        self.push_tasks(squares[len(calls) :])


class Mirror(Task):
    """Takes an array there and back."""

    def __init__(self, array: Any) -> None:
        super().__init__("mirror")
        self.array = array

    def __call__(self) -> Any:
        return self.array + 1


class Arrays(Reporting):
    """Large arrays travel out of band."""

    def start_processing(self) -> None:
        self.array = np.arange(2_500_000, dtype=np.float64)
        for _ in range(4):
            self.push_task(Mirror(self.array))

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        super().task_finished(task, None, error)
        same = error is None and np.array_equal(result, self.array + 1)
        self.extra["same"] = self.extra.get("same", 0) + same


class Bytes(Task):
    def __init__(self, size: int, argument: bytes = b"") -> None:
        super().__init__(f"{size} out, {len(argument)} in")
        self.size = size
        self.argument = argument

    def __call__(self) -> bytes:
        return bytes(self.size)


class TooLarge(Reporting):
    """Results and arguments beyond the limit of one frame."""

    def start_processing(self) -> None:
        refused: list[str] = []
        for size, argument in [(10, b""), (3_000_000, b""), (20, bytes(3_000_000)), (30, b"")]:
            try:
                self.push_task(Bytes(size, argument))
            except (ConcurrenceError, Backpressure) as error:
                refused.append(f"{type(error).__name__}: {error}")
        self.extra["refused"] = refused
        self.push_tasks(Square(n) for n in range(50))

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        super().task_finished(task, len(result) if isinstance(result, bytes) else result, error)
