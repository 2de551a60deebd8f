"""The global work socket within one process."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from concurrence.transport.memory_network import MemoryNetwork, Signal, copied
from concurrence.transport.security import Credentials, KeyRing, Role
from concurrence.wire.codec import Frame

_QUEUE_MESSAGES = 2  # one in each end's queue, as the real one has


class MemoryWorkQueue:
    """The master's end of the work socket, which listens already.

    Args:
        network: Where slaves find it.
        address: Where it listens.
        keys: Who may connect.
    """

    def __init__(self, network: MemoryNetwork, address: str, keys: KeyRing) -> None:
        self.network = network
        self.keys = keys
        self._address = address
        self._sources: deque[MemoryWorkSource] = deque()
        self._signal = Signal()
        self._signal.set_writable(False)
        network.listen(address, self)

    @property
    def pollable(self) -> int:
        """A file descriptor that is writable when a slave pulls and has room."""
        return self._signal.fileno()

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._address

    def send(self, frames: Sequence[Frame]) -> bool:
        """Push without blocking, to each slave in turn; False if no slave pulls or the queue is full."""
        with self.network.lock:
            self._sources = deque(source for source in self._sources if self.admits(source.public))
            taker = next((source for source in self._sources if source.has_room), None)
            if taker is not None:
                self._sources.remove(taker)
                self._sources.append(taker)
                taker.deliver(frames)
            self.update()
            return taker is not None

    def tend(self) -> None:
        """Nothing: slaves come and go by themselves."""

    def close(self) -> None:
        """Close. Repeatable."""
        with self.network.lock:
            if self.network.listeners.get(self._address) is self:
                del self.network.listeners[self._address]
                self._sources.clear()
                self._signal.close()

    def update(self) -> None:
        """Take notice that a slave has more or less room."""
        self._signal.set_writable(any(source.has_room for source in self._sources))

    def admits(self, public: str) -> bool:
        """Whether a key may pull."""
        return self.keys.role_of(public) is Role.SLAVE

    def add(self, source: MemoryWorkSource) -> None:
        """Let a slave pull."""
        if source not in self._sources:
            self._sources.append(source)
            self.update()

    def remove(self, source: MemoryWorkSource) -> None:
        """Let a slave pull no more."""
        if source in self._sources:
            self._sources.remove(source)
            self.update()


class MemoryWorkSource:
    """A slave's end of the work socket.

    Args:
        network: Where work queues are found.
        address: Where the work comes from.
        credentials: The slave's keys.
    """

    def __init__(self, network: MemoryNetwork, address: str, credentials: Credentials) -> None:
        self.public = credentials.keys.public
        self._network = network
        self._address = address
        self._server_key = credentials.server_key
        self._signal = Signal()
        self._inbox: deque[list[Frame]] = deque()
        self.resume()

    @property
    def pollable(self) -> int:
        """A file descriptor that is readable when there is work."""
        return self._signal.fileno()

    @property
    def has_room(self) -> bool:
        """Whether it takes another piece of work."""
        return len(self._inbox) < _QUEUE_MESSAGES

    def receive(self) -> list[Frame] | None:
        """The next piece of work, or None if there is none now."""
        with self._network.lock:
            frames = self._inbox.popleft() if self._inbox else None
            self._signal.set_readable(bool(self._inbox))
            queue = self._queue()
            if queue is not None:
                queue.update()
            return frames

    def pause(self) -> None:
        """Disconnect, so that no more work is queued towards this slave."""
        with self._network.lock:
            self._network.seekers.pop(self, None)
            queue = self._queue()
            if queue is not None:
                queue.remove(self)

    def resume(self) -> None:
        """Connect again."""
        with self._network.lock:
            self._network.seek(self)

    def close(self) -> None:
        """Close. Repeatable."""
        with self._network.lock:
            self.pause()
            self._signal.close()

    def attach(self) -> None:
        """Connect if the queue is there by now and lets this slave in."""
        queue = self._queue()
        if queue is not None and queue.keys.keys.public == self._server_key and queue.admits(self.public):
            queue.add(self)

    def deliver(self, frames: Sequence[Frame]) -> None:
        """Take a piece of work."""
        self._inbox.append(copied(frames))
        self._signal.set_readable(True)

    def _queue(self) -> MemoryWorkQueue | None:
        listener = self._network.listeners.get(self._address)
        return listener if isinstance(listener, MemoryWorkQueue) else None
