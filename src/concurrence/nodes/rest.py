"""How long an owner's main thread had nothing to do: the rest of its time it was at work itself."""

from __future__ import annotations

import time

from concurrence.nodes.owner_channel import IOwnerChannel, Notification


class Rest:
    """Waits for an owner's notifications, and measures how long that takes.

    Args:
        channel: The owner's compute channel.

    Attributes:
        seconds: How long it has been waiting, all together.
    """

    def __init__(self, channel: IOwnerChannel) -> None:
        self.seconds = 0.0
        self._channel = channel

    def until(self, timeout: float | None) -> Notification | None:
        """The next notification; None if none came in time.

        Args:
            timeout: Seconds to wait; None for as long as it takes.
        """
        began = time.perf_counter()
        notification = self._channel.receive(timeout)
        self.seconds += time.perf_counter() - began
        return notification
