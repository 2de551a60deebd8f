"""What the ends of the memory transport share: who listens, who seeks, and pollables without a network."""

from __future__ import annotations

import itertools
import socket as sockets
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from concurrence.errors import AddressInUse
from concurrence.transport.addresses import split_address
from concurrence.transport.api import LARGE_FRAME_BYTES, PeerId
from concurrence.wire.codec import Frame

_FIRST_FREE_PORT = 49_152
_FILL = bytes(4096)


class Seeker(Protocol):
    """An end that connects."""

    def attach(self) -> None:
        """Connect if what it seeks is there by now; the network's lock is held."""
        ...


class MemoryNetwork:
    """Who listens and who seeks; its lock makes every end safe for any thread."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.listeners: dict[str, object] = {}
        self.seekers: dict[Seeker, None] = {}
        self._numbers = itertools.count(1)

    def new_peer(self) -> PeerId:
        """An identity that no connection had before."""
        return b"\0" + next(self._numbers).to_bytes(4, "big")

    def claim(self, address: str) -> str:
        """The address to listen on, where port 0 is replaced by a free one.

        Raises:
            AddressInUse: Somebody listens there.
            UsageError: It is malformed.
        """
        host, port = split_address(address)
        if port == 0:
            candidates = (f"tcp://{host}:{number}" for number in itertools.count(_FIRST_FREE_PORT))
            return next(free for free in candidates if free not in self.listeners)
        if address in self.listeners:
            raise AddressInUse(
                f"cannot listen on {address}: the address is in use",
                hint="Choose another port with --port, or stop what listens there.",
            )
        return address

    def listen(self, address: str, listener: object) -> None:
        """Let those that seek the address find the listener."""
        self.listeners[address] = listener
        for seeker in list(self.seekers):
            seeker.attach()

    def seek(self, seeker: Seeker) -> None:
        """Let an end connect, now or when what it seeks is there."""
        self.seekers[seeker] = None
        seeker.attach()


class Signal:
    """A file descriptor that is readable, and writable, exactly when it is told to be.

    It is one end of a socket pair: a byte waits in it while it is readable, and its way out is stuffed while
    it is not writable.
    """

    def __init__(self) -> None:
        self._watched, self._other = sockets.socketpair()
        self._watched.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, len(_FILL))
        self._watched.setblocking(False)
        self._other.setblocking(False)
        self._is_readable = False
        self._is_writable = True

    def fileno(self) -> int:
        """What to poll."""
        return self._watched.fileno()

    def set_readable(self, readable: bool) -> None:
        """Let it be readable or not."""
        if readable != self._is_readable and self.fileno() >= 0:
            self._is_readable = readable
            if readable:
                self._other.send(b"!")
            else:
                self._watched.recv(1)

    def set_writable(self, writable: bool) -> None:
        """Let it be writable or not."""
        if writable != self._is_writable and self.fileno() >= 0:
            self._is_writable = writable
            with suppress(BlockingIOError):  # that is the end: it is empty, or full
                while True:
                    if writable:
                        self._other.recv(1 << 20)
                    else:
                        self._watched.send(_FILL)

    def close(self) -> None:
        """Close it. Repeatable."""
        self._watched.close()
        self._other.close()


def copied(frames: Sequence[Frame]) -> list[Frame]:
    """What the other end is handed for the frames that this end sends."""
    # Large frames become views, as with the real transport: who mistakes them for bytes learns it here.
    copies = (bytes(frame) for frame in frames)
    return [copy if len(copy) < LARGE_FRAME_BYTES else memoryview(copy) for copy in copies]
