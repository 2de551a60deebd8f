"""The pushes of an owner that the master has not answered yet. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from concurrence.tasks.ownership import Push
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Message, PushSystem, PushTasks


class PushesUnderWay:
    """What was handed over, what it belongs to, and how much of it waits for an answer."""

    def __init__(self) -> None:
        self._pushed: dict[int, object] = {}
        self._parcels: dict[int, Parcel[Message]] = {}
        self._last = 0
        self._answered = 0

    def __len__(self) -> int:
        return len(self._pushed) + len(self._parcels)

    def add(self, push: Push, pushed: object) -> None:
        """A push was handed over.

        Args:
            push: The push.
            pushed: What the author is told of when it is accepted; None for nothing.
        """
        self._last = push.number
        self._pushed[push.number] = pushed
        self._parcels[push.number] = push.parcels[-1]

    def unanswered(self, accepted: int) -> int:
        """How many wait for an answer, if those up to ``accepted`` are known to be accepted."""
        return self._last - max(accepted, self._answered)

    def accept(self, number: int) -> Iterator[object]:
        """All pushes up to this one are accepted; what the author is told of."""
        while self._pushed and (first := next(iter(self._pushed))) <= number:
            pushed = self._pushed.pop(first)
            self._parcels.pop(first, None)
            if pushed is not None:
                yield pushed

    def reject(self, number: int) -> Parcel[Message] | None:
        """A push is not accepted; its parcel, unless it was answered before."""
        self._answered = max(self._answered, number)
        self._pushed.pop(number, None)
        return self._parcels.pop(number, None)

    def forget(self) -> list[int]:
        """The master forgot this owner: nothing will be answered any more.

        Returns:
            The systems that something was pushed for without an answer, or that were themselves.
        """
        messages = [parcel.message for parcel in self._parcels.values()]
        systems = {each.system: None for each in messages if isinstance(each, PushTasks | PushSystem)}
        self._pushed.clear()
        self._parcels.clear()
        self._answered = self._last
        return list(systems)
