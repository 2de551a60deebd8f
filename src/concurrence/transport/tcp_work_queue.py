"""The master's end of the global work socket over TCP: slaves ask for work, and get it a piece at a time.

A slave sends a byte for each piece that it has room for, and others when it pauses and goes on. So no more than
:data:`ASKED_FOR` pieces wait at one slave, however small they are, and a slave that does not read gets none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from concurrence.transport.api import Origin, SplitPollable
from concurrence.transport.tcp_dialing import ignore
from concurrence.transport.tcp_frames import message_parts
from concurrence.transport.tcp_link import ConnectionLost, Link
from concurrence.transport.tcp_listening import Connection, Listen, ListeningEnd
from concurrence.transport.tcp_poll import AlarmClock, Bell, Ready
from concurrence.wire.codec import Frame

ASKED_FOR = 2
"""Pieces that a slave asks for ahead: one that it looks at, and one that is on its way meanwhile."""

ASK = 1
PAUSE = 2
RESUME = 3


class _Puller(Connection):
    """A slave that is connected."""

    __slots__ = ("asked", "is_paused")

    def __init__(self, link: Link, origin: Origin) -> None:
        super().__init__(link, origin)
        self.asked = 0
        self.is_paused = False

    @property
    def has_room(self) -> bool:
        return self.asked > 0 and not self.is_paused


class TCPWorkQueue(ListeningEnd[_Puller]):
    """The master's end, which listens already; its arguments are those of every :class:`ListeningEnd`."""

    def __init__(
        self, listen: Listen, alarm: AlarmClock, max_frame_bytes: int, on_close: Callable[[TCPWorkQueue], None]
    ) -> None:
        self._room = Bell()
        self._writable = Ready()
        self._pullers: deque[_Puller] = deque()  # whose turn it is comes first
        self._buffer = memoryview(bytearray(4096))
        super().__init__(listen, alarm, max_frame_bytes, on_close, (self._writable, self._room))
        for descriptor in (self._room.fileno(), self._ready.fileno()):
            self._writable.watch(descriptor, ignore)
        self._revision = self._listener.keys.revision

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{len(self._pullers)} slaves"
        return f"TCPWorkQueue({self.address}, {state})"

    @property
    def pollable(self) -> SplitPollable:
        """Two descriptors: one for :meth:`tend`, one for sending."""
        return SplitPollable(self._ready.fileno(), self._writable.fileno())

    def send(self, frames: Sequence[Frame]) -> bool:
        """Hand it to the next slave that asked; False if none did.

        Raises:
            MessageTooLarge: A frame exceeds the limit.
        """
        parts, size = message_parts(frames, self._max_frame_bytes)
        self.tend()
        self._drop_revoked()
        while (puller := next((each for each in self._pullers if each.has_room), None)) is not None:
            self._pullers.remove(puller)
            self._pullers.append(puller)
            try:
                taken = puller.link.send(parts, size)
            except ConnectionLost:
                self._lose(puller)
                continue
            puller.asked -= 1  # also if it took nothing: the bounds of a link are far beyond what one asks for
            self._watch(puller)
            if taken:
                self._update()
                return True
        self._update()
        return False

    def tend(self) -> None:
        """Let slaves come and go, and take notice of who asks."""
        while not self._is_closed and (self._ready.run() or self._readable):
            while self._readable:
                puller = next(iter(self._readable))
                del self._readable[puller]
                self._read(puller)
        self._update()

    def close(self) -> None:
        """Close, dropping what nobody pulled. Repeatable."""
        if not self._is_closed:
            self._close(self._pullers)

    def _admit(self, link: Link, origin: Origin) -> None:
        puller = _Puller(link, origin)
        self._pullers.append(puller)
        self._welcome(puller)

    def _read(self, puller: _Puller) -> None:
        try:
            count = puller.link.receive_into(self._buffer)
        except ConnectionLost:
            self._lose(puller)
            return
        if count is None:
            return
        if not self._obey(puller, self._buffer[:count]):
            self._reject(puller, "it asked for work in another way than slaves do")
        elif puller.link.may_hold_more(count, len(self._buffer)):
            self._readable[puller] = None

    def _obey(self, puller: _Puller, orders: memoryview) -> bool:
        for order in orders:
            if order == ASK:
                puller.asked += 1
            elif order == PAUSE:
                puller.is_paused = True
            elif order == RESUME:
                puller.is_paused = False
            if order not in (ASK, PAUSE, RESUME) or puller.asked > ASKED_FOR:
                return False
        return True

    def _drop_revoked(self) -> None:
        keys = self._listener.keys
        if self._revision == keys.revision:
            return
        self._revision = keys.revision
        for puller in list(self._pullers):
            if not self._has_role(puller.origin):
                self._reject(puller, "its key was revoked")

    def _update(self) -> None:
        if any(puller.has_room for puller in self._pullers):
            self._room.ring()
        else:
            self._room.silence()

    def _lose(self, connection: _Puller, flush_until: float | None = None) -> None:
        if connection in self._pullers:
            self._pullers.remove(connection)
        self._let_go(connection, flush_until)
