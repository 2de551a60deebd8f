"""A client's, host's or slave's end of the compute channel over TCP: it connects, and tells how it fares."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from concurrence.transport.api import SplitPollable
from concurrence.transport.tcp_connector import Destination, Outcome
from concurrence.transport.tcp_dialing import DialingEnd, ignore
from concurrence.transport.tcp_frames import message_parts
from concurrence.transport.tcp_link import LINGER_SECONDS, Link
from concurrence.transport.tcp_poll import WRITE, AlarmClock, Bell, Ready
from concurrence.wire.codec import Frame

# As over ZeroMQ: a port forwarder with nothing behind it hangs up for ever, and so does a program that is no
# master. To a client that was connected before, they mean that its master is starting anew.
_HANG_UPS_TO_GIVE_UP = 3


class TCPClient(DialingEnd):
    """A client that connects already.

    After ``auth_failed`` it rests until :meth:`reconnect`: the key is wrong and asking again will not help.
    Its arguments are those of every :class:`DialingEnd`.
    """

    def __init__(
        self,
        destination: Destination,
        alarm: AlarmClock,
        max_frame_bytes: int,
        on_close: Callable[[TCPClient], None],
    ) -> None:
        super().__init__(destination, alarm, max_frame_bytes, on_close)
        self._writable = Ready()
        self._events_ready = Ready()
        self._news = Bell()
        self._unread: list[str] = []
        self._hang_ups = 0
        self._was_connected = False
        self._events_ready.watch(self._news.fileno(), ignore)
        self._events_ready.watch(self._ready.fileno(), ignore)
        self._connector.start()

    @property
    def pollable(self) -> SplitPollable:
        """Two descriptors: one for receiving, one for sending."""
        return SplitPollable(self._ready.fileno(), self._writable.fileno())

    @property
    def events_pollable(self) -> int:
        """Readable when there are connection events, or when looking for them brings a connection further."""
        return self._events_ready.fileno()

    def send(self, frames: Sequence[Frame]) -> bool:
        """Send without blocking; False if nothing more is taken now.

        Nothing is taken while the owner has not read that a connection was lost. So the first message on a
        new connection is one that was meant for it.

        Raises:
            MessageTooLarge: A frame exceeds the limit.
        """
        parts, size = message_parts(frames, self._max_frame_bytes)
        return "disconnected" not in self._unread and self._send(parts, size)

    def connection_events(self) -> list[str]:
        """What befell the connection since the last call: ``connected``, ``disconnected``, ``auth_failed``."""
        self.tend()
        events, self._unread = self._unread, []
        self._news.silence()
        return events

    def reconnect(self) -> None:
        """Drop the connection and make a new one, which the server sees as a new peer."""
        self._drop()
        self._inbox.clear()
        self._unread.clear()
        self._news.silence()
        self._hang_ups = 0
        self._connector.start()

    def close(self) -> None:
        """Close; what was sent is still flushed for a moment. Repeatable."""
        if self._is_closed:
            return
        self._drop(time.monotonic() + LINGER_SECONDS)
        self._close(self._events_ready, self._writable, self._news)

    def _opened(self, link: Link) -> None:
        self._inbox.clear()  # what a lost connection held is gone: the new one begins with a greeting
        self._was_connected = True
        self._writable.watch(link.fileno(), ignore, WRITE)
        self._events_ready.unwatch(self._ready.fileno())  # what it tells from now on are messages, not events
        self._tell("connected")

    def _closing(self, link: Link) -> None:
        self._writable.unwatch(link.fileno())
        self._events_ready.watch(self._ready.fileno(), ignore)

    def _lost(self) -> None:
        self._tell("disconnected")

    def _failed(self, outcome: Outcome) -> None:
        self._hang_ups += outcome is Outcome.HUNG_UP and not self._was_connected
        if outcome is Outcome.REFUSED or self._hang_ups == _HANG_UPS_TO_GIVE_UP:
            self._hang_ups = 0
            self._connector.rest()
            self._tell("auth_failed")

    def _tell(self, event: str) -> None:
        self._unread.append(event)
        self._news.ring()
