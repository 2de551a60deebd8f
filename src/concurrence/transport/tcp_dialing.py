"""What the connecting ends have in common: one connection, made anew when it is lost, and its messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from concurrence.errors import ProtocolError
from concurrence.transport.tcp_connector import Connector, Destination, Outcome
from concurrence.transport.tcp_link import ConnectionLost, Link
from concurrence.transport.tcp_poll import READ, WRITE, AlarmClock, Bell, Ready
from concurrence.transport.tcp_stream import Stream, read_buffer
from concurrence.wire.codec import Frame


class DialingEnd:
    """An end that connects.

    Args:
        destination: Whom to connect to.
        alarm: Tells when it is time to try again.
        max_frame_bytes: The largest frame that is sent or taken.
        on_close: Called once, after the sockets are closed.
    """

    def __init__(
        self,
        destination: Destination,
        alarm: AlarmClock,
        max_frame_bytes: int,
        on_close: Callable[[Any], None],
    ) -> None:
        self._on_close = on_close
        self._address = destination.address
        self._max_frame_bytes = max_frame_bytes
        self._is_closed = False
        self._ready = Ready()
        self._bell = Bell()
        self._stream: Stream | None = None
        self._inbox: deque[list[Frame]] = deque()
        self._is_readable = False
        self._buffer = read_buffer()
        self._connector = Connector(destination, self._ready, alarm, self._bell, self._connected, self._failed)
        self._ready.watch(self._bell.fileno(), self._on_bell)

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "connected" if self._stream is not None else "not connected"
        return f"{type(self).__name__}({self._address}, {state})"

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame that is sent or taken."""
        return self._max_frame_bytes

    def receive(self) -> list[Frame] | None:
        """The next message, or None if there is none now."""
        while not self._is_closed:
            if self._inbox:
                frames = self._inbox.popleft()
                if self._inbox or self._is_readable:
                    self._bell.ring()  # the sockets alone do not tell what was read already
                return frames
            self._drained()
            if not self._ready.run() and not self._is_readable:
                return None
            if self._is_readable:
                self._read()
        return None

    def tend(self) -> None:
        """Bring the connection further without taking a message; :meth:`receive` does that too."""
        if self._is_closed:
            return
        self._drained()
        self._ready.run()
        if self._is_readable and not self._inbox:
            self._read()  # which also finds out that the connection ended
        if self._inbox or self._is_readable:
            self._bell.ring()

    # --- for subclasses ---

    def _opened(self, link: Link) -> None:
        """There is a connection."""

    def _lost(self) -> None:
        """The connection ended by itself; another will be made."""

    def _failed(self, outcome: Outcome) -> None:
        """An attempt to connect failed; unless it was a refusal, there will be another."""

    def _drained(self) -> None:
        """Everything that was read is taken."""

    def _took(self, count: int) -> None:
        """So many messages came."""

    def _send(self, parts: list[memoryview], size: int) -> bool:
        """Send on the connection; False if it takes no more or is lost."""
        if self._stream is None:
            return False
        link = self._stream.link
        was_waiting = link.waits_to_send
        try:
            taken = link.send(parts, size)
        except ConnectionLost:
            self._lose()
            return False
        if was_waiting != link.waits_to_send:
            self._watch(link)
        return taken

    def _drop(self, flush_until: float | None = None) -> None:
        """End the connection, if there is one."""
        stream, self._stream = self._stream, None
        self._is_readable = False
        if stream is not None:
            self._ready.unwatch(stream.link.fileno())
            self._closing(stream.link)
            stream.link.close(flush_until)

    def _closing(self, link: Link) -> None:
        """The connection is about to be closed."""

    def _close(self, *others: Ready | Bell) -> None:
        self._is_closed = True
        self._connector.rest()
        self._ready.close()
        self._bell.close()
        for each in others:
            each.close()
        self._on_close(self)

    # --- what is ready ---

    def _on_bell(self, events: int) -> None:
        self._bell.silence()
        self._connector.look()

    def _connected(self, link: Link) -> None:
        self._stream = Stream(link, self._max_frame_bytes)
        self._is_readable = True  # TLS may hold what came already
        self._watch(link)
        self._opened(link)

    def _watch(self, link: Link) -> None:
        self._ready.watch(link.fileno(), self._on_ready, READ | (WRITE if link.waits_to_send else 0))

    def _on_ready(self, events: int) -> None:
        if self._stream is None:
            return
        if events & ~WRITE:
            self._is_readable = True
        if events & WRITE:
            try:
                self._stream.link.flush()
            except ConnectionLost:
                self._lose()
            else:
                self._watch(self._stream.link)

    def _read(self) -> None:
        self._is_readable = False
        if self._stream is None:
            return
        try:
            messages, self._is_readable = self._stream.read(self._buffer)
        except (ConnectionLost, ProtocolError):
            self._lose()
            return
        if messages:
            self._took(len(messages))
            self._inbox.extend(messages)

    def _lose(self) -> None:
        self._drop()
        self._lost()
        self._connector.again()


def ignore(events: int) -> None:
    """A handler for descriptors that only wake somebody, who then sees to everything."""
