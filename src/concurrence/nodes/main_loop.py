"""What an application's main thread does between handlers: timers, and calls that others leave for it."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count

from concurrence.clock import IClock, MonotonicClock
from concurrence.errors import ConcurrenceError
from concurrence.nodes.owner_channel import IOwnerChannel, Notification
from concurrence.nodes.reactor import Timer
from concurrence.tasks.ownership import Push
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Message, Welcome


class MainLoop:
    """Timers and a mailbox for a thread that otherwise waits for notifications.

    Args:
        clock: What tells the time; the machine's monotonic clock by default.

    Attributes:
        wake: Ends the thread's waiting; nothing by default.
    """

    def __init__(self, clock: IClock | None = None) -> None:
        self.wake: Callable[[], None] = lambda: None
        self._clock = clock or MonotonicClock()
        self._calls: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()

    def post(self, callback: Callable[[], None]) -> None:
        """From any thread, also from a signal handler: call on the main thread soon."""
        self._calls.append(callback)
        self.wake()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call once after ``delay`` seconds."""
        timer = Timer(self._clock.now() + delay, callback)
        heapq.heappush(self._timers, (timer.at, next(self._order), timer))
        return timer

    def call_every(self, period: float, callback: Callable[[], None]) -> None:
        """Call every ``period`` seconds."""

        def again() -> None:
            self.call_later(period, again)
            callback()

        self.call_later(period, again)

    def run_due(self) -> None:
        """Make the calls that were left, and those whose time has come."""
        for _ in range(len(self._calls)):
            self._calls.popleft()()
        now = self._clock.now()
        while self._timers and self._timers[0][0] <= now:
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                callback()

    def seconds_left(self) -> float | None:
        """Seconds until something is due; None if nothing is."""
        if self._calls:
            return 0.0
        return max(0.0, self._timers[0][0] - self._clock.now()) if self._timers else None


class LoopedChannel:
    """A compute channel whose owner does what is due whenever it waits for a notification, thus between handlers.

    Args:
        channel: The channel.
        loop: What is due.
    """

    def __init__(self, channel: IOwnerChannel, loop: MainLoop) -> None:
        self._channel = channel
        self._loop = loop

    @property
    def accepted_push(self) -> int:
        """The number of the newest push that the master accepted."""
        return self._channel.accepted_push

    @property
    def arrived(self) -> float:
        """When the newest ends came."""
        return self._channel.arrived

    @property
    def error(self) -> ConcurrenceError | None:
        """Why the channel gave up."""
        return self._channel.error

    @property
    def welcome(self) -> Welcome | None:
        """The master's newest welcome."""
        return self._channel.welcome

    def submit(self, push: Push) -> None:
        """Send a push."""
        self._channel.submit(push)

    def send(self, message: Parcel[Message]) -> None:
        """Send a message once."""
        self._channel.send(message)

    def acknowledge(self, delivery: int) -> None:
        """Everything up to this delivery was handled."""
        self._channel.acknowledge(delivery)

    def receive(self, timeout: float | None) -> Notification | None:
        """The next notification; None if there is none yet, also when something else was due."""
        if timeout == 0:
            return self._channel.receive(0)
        self._loop.run_due()
        waits = [seconds for seconds in (timeout, self._loop.seconds_left()) if seconds is not None]
        return self._channel.receive(min(waits) if waits else None)

    def wake(self) -> None:
        """From any thread: let :meth:`receive` return None at once."""
        self._channel.wake()

    def close(self, reason: str) -> None:
        """Say goodbye and end."""
        self._channel.close(reason)
