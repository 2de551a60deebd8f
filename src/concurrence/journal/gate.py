"""The durability gate: holds back messages that promise something until the journal has it. Pure."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class DurabilityGate(Generic[T]):
    """Messages in order of the sequence number they wait for."""

    def __init__(self) -> None:
        self._held: deque[tuple[int, T]] = deque()
        self._durable = 0

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, sequence: int, item: T) -> None:
        """Keep an item until ``sequence`` is durable.

        Args:
            sequence: Never lower than that of an item held before.
            item: What waits.
        """
        self._held.append((sequence, item))

    def durable(self, sequence: int) -> None:
        """The journal has everything up to ``sequence``; an older number changes nothing."""
        self._durable = max(self._durable, sequence)

    def release(self) -> list[T]:
        """The items that need not wait any more, in order."""
        released: list[T] = []
        while self._held and self._held[0][0] <= self._durable:
            released.append(self._held.popleft()[1])
        return released
