"""What the MD5 sample sends to the swarm: ranges of numbers to try, and the task system that stops at the hit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from concurrence import ITaskMaster, ITaskSystem, Task, TaskError


def find_number(digest: bytes, numbers: range) -> int | None:
    """The first number whose decimal digits have this MD5 hash; None if none has.

    The same loop runs sequentially and in tasks.
    """
    md5 = hashlib.md5
    for number in numbers:
        if md5(b"%d" % number, usedforsecurity=False).digest() == digest:
            return number
    return None


def ranges(first: int, last: int, count: int) -> list[range]:
    """The numbers from ``first`` to ``last``, cut into pieces of nearly the same length."""
    total = last - first + 1
    count = min(count, total)
    bounds = [first + total * piece // count for piece in range(count + 1)]
    return [range(bounds[piece], bounds[piece + 1]) for piece in range(count)]


class TryNumbers(Task):
    """Tries some numbers.

    Args:
        digest: The hash.
        numbers: The numbers.
    """

    def __init__(self, digest: bytes, numbers: range) -> None:
        super().__init__(f"numbers {numbers.start}-{numbers.stop - 1}")
        self.digest = digest
        self.numbers = numbers

    def __call__(self) -> int | None:
        """The one that has the hash, or None."""
        return find_number(self.digest, self.numbers)


class Found(NamedTuple):
    """The task system's one result.

    Attributes:
        number: The number; None if no number has the hash.
        tried: How many numbers were tried for certain, by tasks that ended.
        finished: How many tasks ended with an answer.
        cancelled: How many were cancelled, or never pushed, because another one had found it.
        failures: Why tasks failed, in their own words.
    """

    number: int | None
    tried: int
    finished: int
    cancelled: int
    failures: list[str]


class ReverseHash(ITaskSystem):
    """Tries all pieces until one of them hits, and cancels the rest.

    Args:
        digest: The hash.
        pieces: What to try.
    """

    name = "md5"

    def __init__(self, digest: bytes, pieces: list[range]) -> None:
        self.digest = digest
        self.pieces = pieces
        self.number: int | None = None
        self.tried = self.finished = 0
        self.failures: list[str] = []

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        """A task for each piece, made as the swarm takes them."""
        return (TryNumbers(self.digest, piece) for piece in self.pieces)

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        """Count what was tried; with the hit all that is left is cancelled."""
        piece = cast("TryNumbers", task).numbers
        if error is not None:
            if self.number is None:  # afterwards they end because they were cancelled
                self.failures.append(f"{task.label}: {error}")
            return
        self.finished += 1
        self.tried += len(piece) if result is None else result - piece.start + 1
        master.report_progress(self.finished, len(self.pieces), "pieces tried")
        if result is not None and self.number is None:
            self.number = result
            master.cancel()

    def gather_result(self, master: ITaskMaster) -> Found:
        """The number, and what it took."""
        spared = len(self.pieces) - self.finished - len(self.failures)
        return Found(self.number, self.tried, self.finished, spared, self.failures)
