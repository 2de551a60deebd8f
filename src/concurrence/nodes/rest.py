"""How long an owner's run took, and how long its main thread had nothing to do meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from concurrence.nodes.owner_channel import Notification


class INews(Protocol):
    """What it needs of the owner's compute channel."""

    @property
    def arrived(self) -> float:
        """When the newest ends of tasks or of a task system came, by the monotonic clock; 0 before any."""
        ...

    def receive(self, timeout: float | None) -> Notification | None:
        """The next notification; None if none came in time."""
        ...


class Taken(NamedTuple):
    """What a run took.

    Attributes:
        wall: Seconds from the first push to the arrival of the last end, whenever that was handled.
        work: Seconds of it in which the owner's main thread was at work itself.
        after: Seconds since then.
    """

    wall: float
    work: float
    after: float


class Rest:
    """Waits for an owner's notifications, and measures how long that takes.

    Args:
        channel: The owner's compute channel.
        clock: Tells the time, in seconds.

    Attributes:
        seconds: How long it has been waiting, all together.
    """

    def __init__(self, channel: INews, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = 0.0
        self._channel = channel
        self._clock = clock
        self._began: float | None = None
        self._rested_before = 0.0
        self._arrived = self._rested = 0.0  # when the newest end came, and how long it had been waiting by then

    def begin(self) -> None:
        """Something is pushed. Only the first time counts."""
        if self._began is None:
            self._began = self._clock()
            self._rested_before = self.seconds

    def until(self, timeout: float | None) -> Notification | None:
        """The next notification; None if none came in time.

        Args:
            timeout: Seconds to wait; None for as long as it takes.
        """
        self._look()  # what came while handlers ran came before it begins to wait
        began = self._clock()
        notification = self._channel.receive(timeout)
        self.seconds += self._clock() - began
        self._look()
        return notification

    def taken(self, *, started: float, is_over: bool, now: float | None = None) -> Taken:
        """What the run took.

        Args:
            started: When it started, by the same clock: its beginning if nothing was pushed.
            is_over: Whether nothing is unfinished; if something is, all time until now counts.
            now: When it ended, by the same clock; the present by default.
        """
        self._look()
        now = self._clock() if now is None else now
        began = started if self._began is None else self._began
        is_known = is_over and self._began is not None and self._arrived >= began
        end, rested = (self._arrived, self._rested) if is_known else (now, self.seconds)
        wall = max(0.0, end - began)
        return Taken(wall, min(wall, max(0.0, wall - (rested - self._rested_before))), max(0.0, now - end))

    def _look(self) -> None:
        arrived = self._channel.arrived
        if arrived != self._arrived:
            self._arrived, self._rested = arrived, self.seconds
