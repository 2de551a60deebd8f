"""The master's end of the compute channel over TCP: many connections behind one descriptor, drained in turn."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence

from concurrence.errors import ProtocolError, UsageError
from concurrence.transport.api import Origin, PeerId
from concurrence.transport.rejections import Rejections
from concurrence.transport.tcp_frames import message_parts
from concurrence.transport.tcp_link import LINGER_SECONDS, ConnectionLost, Link
from concurrence.transport.tcp_listener import Listener
from concurrence.transport.tcp_poll import READ, WRITE, AlarmClock, Bell, Ready
from concurrence.transport.tcp_stream import Stream, read_buffer
from concurrence.wire.codec import Frame

HELLO_SECONDS = 10.0
"""A peer that has not introduced itself so long after it connected, or after it was forgotten, is cut off."""

_MAX_ENDED = 65_536
_MAX_DROPS_A_CALL = 64  # so that a peer that floods cannot keep the owner's loop in receive()


class _Peer:
    """A connection whose other end is known."""

    __slots__ = ("id", "is_blocked", "link", "origin", "stream")

    def __init__(self, identity: PeerId, origin: Origin, stream: Stream) -> None:
        self.id = identity
        self.link = stream.link
        self.origin = origin
        self.stream = stream
        self.is_blocked = False


class TCPServer:
    """A server that listens already.

    Args:
        listen: Makes the listener, given what it polls with, its bell and who is told of newcomers.
        alarm: Tells when time is over.
        max_frame_bytes: The largest frame that is sent or taken.
        on_close: Called once, after the sockets are closed.
    """

    def __init__(
        self,
        listen: Callable[[Ready, Bell, Callable[[Link, Origin], None]], Listener],
        alarm: AlarmClock,
        max_frame_bytes: int,
        on_close: Callable[[TCPServer], None],
    ) -> None:
        self._alarm = alarm
        self._max_frame_bytes = max_frame_bytes
        self._on_close = on_close
        self._is_closed = False
        self._ready = Ready()
        self._bell = Bell()
        self._peers: dict[PeerId, _Peer] = {}
        self._origins: dict[PeerId, Origin] = {}
        self._readable: dict[_Peer, None] = {}  # in the order of their turns
        self._inbox: deque[tuple[_Peer, list[Frame]]] = deque()
        self._buffer = read_buffer()
        self._numbers = itertools.count(1)
        self._ended: deque[PeerId] = deque(maxlen=_MAX_ENDED)
        self._strangers: dict[_Peer, float] = {}  # whose peer has not introduced itself, and until when it may
        self._hello_bell = Bell()
        self._ready.watch(self._bell.fileno(), self._on_bell)
        self._ready.watch(self._hello_bell.fileno(), self._cut_strangers)
        try:
            self._listener = listen(self._ready, self._bell, self._admit)
        except BaseException:
            for each in (self._bell, self._hello_bell, self._ready):
                each.close()
            raise

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{len(self._peers)} peers"
        return f"TCPServer({self.address}, {state})"

    @property
    def pollable(self) -> int:
        """A descriptor that is readable when there is something to receive, or to be done by receiving."""
        return self._ready.fileno()

    @property
    def address(self) -> str:
        """Where it really listens, as ``tcp://host:port``."""
        return self._listener.address

    @property
    def rejections(self) -> Rejections:
        """How often something was turned away here."""
        return self._listener.rejections

    @property
    def half_open(self) -> int:
        """How many connections have not proven yet who they are."""
        return self._listener.half_open

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
        """Who the peer is.

        Raises:
            UsageError: It has sent nothing yet, or was forgotten.
        """
        try:
            return self._origins[peer]
        except KeyError:
            raise UsageError(f"peer {peer.hex()} has sent nothing, or was forgotten") from None

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
        self._is_closed = True
        self._listener.close()
        deadline = time.monotonic() + LINGER_SECONDS
        for peer in list(self._peers.values()):
            self._lose(peer, deadline)
        for bell in (self._bell, self._hello_bell):
            self._alarm.set(bell, None)
            bell.close()
        self._ready.close()
        self._on_close(self)

    def _on_bell(self, events: int) -> None:
        self._bell.silence()
        self._listener.look()

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
        self._watch(peer)
        self._estrange(peer)
        self._readable[peer] = None  # TLS may hold what came already

    def _watch(self, peer: _Peer) -> None:
        peer.is_blocked = peer.link.waits_to_send
        events = READ | (WRITE if peer.is_blocked else 0)
        self._ready.watch(peer.link.fileno(), lambda events: self._on_ready(peer, events), events)

    def _on_ready(self, peer: _Peer, events: int) -> None:
        if events & ~WRITE:
            self._readable[peer] = None
        if events & WRITE:
            try:
                peer.link.flush()
            except ConnectionLost:
                self._lose(peer)
            else:
                self._watch(peer)

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

    def _has_role(self, origin: Origin) -> bool:
        return self._listener.keys.role_of(origin.key) is origin.role

    def _reject(self, peer: _Peer, reason: str) -> None:
        self.rejections.dropped += 1
        self._listener.log.reject(reason, peer.origin.address)
        self._lose(peer)

    def _lose(self, peer: _Peer, flush_until: float | None = None) -> None:
        if self._peers.pop(peer.id, None) is not None:
            self._ended.append(peer.id)
        self._readable.pop(peer, None)
        self._strangers.pop(peer, None)
        if peer.link.fileno() >= 0:
            self._ready.unwatch(peer.link.fileno())
        peer.link.close(flush_until)
