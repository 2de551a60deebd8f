"""The master's end of the compute channel over TCP: many connections behind one descriptor, drained in turn."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence

from concurrence.errors import ProtocolError
from concurrence.transport.api import Origin, PeerId
from concurrence.transport.origins import Origins
from concurrence.transport.tcp_frames import message_parts
from concurrence.transport.tcp_link import LINGER_SECONDS, ConnectionLost, Link
from concurrence.transport.tcp_listening import Connection, Listen, ListeningEnd
from concurrence.transport.tcp_poll import AlarmClock, Bell
from concurrence.transport.tcp_stream import Stream, read_buffer
from concurrence.wire.codec import Frame

HELLO_SECONDS = 10.0
"""A peer that has not introduced itself so long after it connected, or after it was forgotten, is cut off."""

_MAX_ENDED = 65_536
_MAX_DROPS_A_CALL = 64  # so that a peer that floods cannot keep the owner's loop in receive()


class _Peer(Connection):
    """A connection to somebody, whose messages come from its stream."""

    __slots__ = ("id", "stream")

    def __init__(self, identity: PeerId, origin: Origin, stream: Stream) -> None:
        super().__init__(stream.link, origin)
        self.id = identity
        self.stream = stream


class TCPServer(ListeningEnd[_Peer]):
    """A server that listens already; its arguments are those of every :class:`ListeningEnd`."""

    def __init__(
        self, listen: Listen, alarm: AlarmClock, max_frame_bytes: int, on_close: Callable[[TCPServer], None]
    ) -> None:
        self._peers: dict[PeerId, _Peer] = {}
        self._origins = Origins()
        self._inbox: deque[tuple[_Peer, list[Frame]]] = deque()
        self._buffer = read_buffer()
        self._numbers = itertools.count(1)
        self._ended: deque[PeerId] = deque(maxlen=_MAX_ENDED)
        self._strangers: dict[_Peer, float] = {}  # whose peer has not introduced itself, and until when it may
        self._hello_bell = Bell()
        super().__init__(listen, alarm, max_frame_bytes, on_close, (self._hello_bell,))
        self._ready.watch(self._hello_bell.fileno(), self._cut_strangers)

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{len(self._peers)} peers"
        return f"TCPServer({self.address}, {state})"

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame that is sent or taken."""
        return self._max_frame_bytes

    @property
    def pollable(self) -> int:
        """A descriptor that is readable when there is something to receive, or to be done by receiving."""
        return self._ready.fileno()

    def receive(self) -> tuple[PeerId, list[Frame]] | None:
        """The next message of a peer that may send one, or None if there is none now."""
        drops = 0
        while not self._is_closed:
            while self._inbox:
                peer, frames = self._inbox.popleft()
                if self._accepts(peer):
                    if self._inbox or self._readable:
                        self._bell.ring()
                    return peer.id, frames
                drops += 1
                if drops == _MAX_DROPS_A_CALL:
                    self._bell.ring()
                    return None
            # Each time, also while one peer has more to read: who else has something comes first then.
            if not self._ready.run() and not self._readable:
                return None
            if self._readable:
                peer = next(iter(self._readable))
                del self._readable[peer]
                self._read(peer)
        return None

    def tend(self) -> None:
        """Let nodes come and go without taking a message; :meth:`receive` does that too."""
        if not self._is_closed:
            self._ready.run()

    def send(self, peer: PeerId, frames: Sequence[Frame]) -> bool:
        """Send without blocking; False if the peer is gone, takes no more, or lost its role.

        Raises:
            MessageTooLarge: A frame exceeds the limit.
        """
        parts, size = message_parts(frames, self._max_frame_bytes)
        to = self._peers.get(peer)
        if to is None or not self._has_role(to.origin):
            return False
        try:
            taken = to.link.send(parts, size)
        except ConnectionLost:
            self._lose(to)
            return False
        if to.link.waits_to_send and not to.is_blocked:
            self._watch(to)
        return taken

    def hung_up(self) -> list[PeerId]:
        """The peers whose connections have ended since this was asked last."""
        found = list(self._ended)
        self._ended.clear()
        return found

    def origin(self, peer: PeerId) -> Origin:
        """Who the peer is; see :meth:`IServer.origin`."""
        return self._origins.of(peer)

    def admit(self, peer: PeerId) -> None:
        """The peer has introduced itself: its connection is kept."""
        found = self._peers.get(peer)
        if found is not None:
            self._strangers.pop(found, None)

    def forget(self, peer: PeerId) -> None:
        """Drop what is kept about a connection; it is cut unless the peer introduces itself again."""
        self._origins.pop(peer, None)
        found = self._peers.get(peer)
        if found is not None:
            self._estrange(found)

    def close(self) -> None:
        """Stop listening; what was sent to live peers is still flushed for a moment. Repeatable."""
        if self._is_closed:
            return
        self._close(self._peers.values(), time.monotonic() + LINGER_SECONDS)

    def _estrange(self, peer: _Peer) -> None:
        self._strangers.pop(peer, None)  # so that they stay in the order of their deadlines
        self._strangers[peer] = time.monotonic() + HELLO_SECONDS
        self._alarm.set(self._hello_bell, next(iter(self._strangers.values())))

    def _cut_strangers(self, events: int) -> None:
        self._hello_bell.silence()
        now = time.monotonic()
        for peer, deadline in list(self._strangers.items()):
            if deadline > now:
                break
            self.rejections.silent += 1
            self._listener.log.reject("it did not introduce itself in time", peer.origin.address)
            self._lose(peer)
        self._alarm.set(self._hello_bell, next(iter(self._strangers.values()), None))

    def _admit(self, link: Link, origin: Origin) -> None:
        identity = b"\0" + next(self._numbers).to_bytes(8, "big")
        peer = self._peers[identity] = _Peer(identity, origin, Stream(link, self._max_frame_bytes))
        self._welcome(peer)
        self._estrange(peer)

    def _read(self, peer: _Peer) -> None:
        try:
            messages, is_readable = peer.stream.read(self._buffer)
        except ConnectionLost:
            self._lose(peer)
        except ProtocolError as error:
            self._reject(peer, error.message)
        else:
            if is_readable:
                self._readable[peer] = None
            self._inbox.extend((peer, frames) for frames in messages)

    def _accepts(self, peer: _Peer) -> bool:
        if not self._has_role(peer.origin):
            self._reject(peer, "its key was revoked")
            return False
        self._origins[peer.id] = peer.origin  # also if it was forgotten and speaks again
        return True

    def _lose(self, connection: _Peer, flush_until: float | None = None) -> None:
        if self._peers.pop(connection.id, None) is not None:
            self._ended.append(connection.id)
        self._strangers.pop(connection, None)
        self._let_go(connection, flush_until)
