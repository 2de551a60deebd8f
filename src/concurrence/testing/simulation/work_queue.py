"""The global work socket: a PUSH at the master that hands out in turn, and buffers at each slave that hide work.

Whatever lies in a buffer is lost when its connection breaks, and stays there while its slave does not read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from concurrence.testing.simulation.network import Link, Network
from concurrence.wire.codec import Parcel

_BUFFER_MESSAGES = 2  # the high-water marks of both ends
_BUFFER_BYTES = 2 * 64 * 1024  # the kernel's buffers below them
_RETRY_SECONDS = 0.1


class Pipe:
    """One slave's connection to the work socket.

    Args:
        link: The slave's way to the master: work passes where its messages pass.
        readable: Called when something arrived.
    """

    def __init__(self, link: Link, readable: Callable[[], None]) -> None:
        self.link = link
        self.readable = readable
        self.is_closed = False
        self.is_dead = False
        self.is_known = False
        self.last = self.free = 0.0
        self.flying: deque[Any] = deque()
        self.arrived: deque[Any] = deque()
        self.bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether the buffers take another message."""
        return len(self.flying) + len(self.arrived) < _BUFFER_MESSAGES or self.bytes < _BUFFER_BYTES


class WorkQueue:
    """The PUSH socket.

    Args:
        network: What it is part of.
        writable: Called when there is room again.
    """

    def __init__(self, network: Network, writable: Callable[[], None]) -> None:
        self._network = network
        self._writable = writable
        self._pipes: list[Pipe] = []
        self._turn = 0
        self._is_full = False

    def attach(self, link: Link, readable: Callable[[], None]) -> Pipe:
        """A slave begins to pull; returns its connection, which it closes."""
        pipe = Pipe(link, readable)
        self._network.timeline.after(2 * link.delay(), self._connect, pipe)
        return pipe

    def _connect(self, pipe: Pipe) -> None:
        if pipe.is_closed:
            return
        if pipe.link.is_cut:
            self._network.timeline.after(_RETRY_SECONDS, self._connect, pipe)
            return
        pipe.is_dead = False
        pipe.is_known = True
        self._pipes.append(pipe)
        self._room()

    def close(self, pipe: Pipe) -> None:
        """The slave pulls no more; what is in its buffers is lost."""
        pipe.is_closed = True
        self._break(pipe)

    def reset(self, pipe: Pipe) -> None:
        """The connection breaks, what is in its buffers is lost, and another one follows."""
        if not pipe.is_closed and pipe.is_known:
            self._break(pipe)
            self._network.timeline.after(_RETRY_SECONDS * (1 + self._network.random.random()), self._connect, pipe)

    def _break(self, pipe: Pipe) -> None:
        pipe.is_dead = True
        pipe.arrived.clear()
        if pipe.is_known:
            # The master's end takes some work more before it hears of it.
            late = self._network.random.random() * 0.05 if self._network.random.random() < 0.5 else 0.0
            self._network.timeline.after(late, self._forget, pipe)

    def _forget(self, pipe: Pipe) -> None:
        if pipe.is_dead and pipe in self._pipes:
            self._pipes.remove(pipe)
        pipe.is_known = pipe in self._pipes
        pipe.bytes = sum(map(self._size, pipe.flying))

    def send(self, parcel: Parcel[Any]) -> bool:
        """Push to the next slave in turn whose buffers take it; False if there is none."""
        pipes = self._pipes
        for _ in range(len(pipes)):
            self._turn = (self._turn + 1) % len(pipes)
            pipe = pipes[self._turn]
            if pipe.has_room:
                self._bring(pipe, parcel)
                return True
        self._is_full = True
        return False

    def _bring(self, pipe: Pipe, parcel: Parcel[Any]) -> None:
        payload = self._network.encoded([parcel])
        pipe.free = max(pipe.free, self._network.timeline.now) + self._network.count(payload)
        pipe.bytes += self._size(payload)
        pipe.flying.append(payload)
        pipe.last = max(pipe.last, pipe.free + pipe.link.delay())
        self._network.timeline.at(pipe.last, self._arrived, pipe)

    def _size(self, payload: Any) -> int:
        frames = payload if self._network.codec else payload[0].frames
        return sum(map(len, frames))

    def _arrived(self, pipe: Pipe) -> None:
        payload = pipe.flying.popleft()
        if pipe.is_dead:
            return
        pipe.arrived.append(payload)
        if not pipe.link.is_cut:
            pipe.readable()

    def pull(self, pipe: Pipe) -> Any:
        """What lies there longest; None if there is nothing, or it cannot pass."""
        if pipe.is_dead or pipe.link.is_cut or not pipe.arrived:
            return None
        payload = pipe.arrived.popleft()
        pipe.bytes -= self._size(payload)
        self._room()
        return payload

    def _room(self) -> None:
        if self._is_full:
            self._is_full = False
            self._writable()
