"""The transport within one process: for tests, and for swarms that run in one process.

It keeps the contract of the real one: keys and roles are checked, peers come and go, queues are bounded,
and pollables are file descriptors that one poll loop can watch beside others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeVar

from concurrence.component import Component, ComponentManager
from concurrence.transport.addresses import split_address
from concurrence.transport.api import ITransport, Origin, PeerId
from concurrence.transport.memory_network import MemoryNetwork, Signal, copied
from concurrence.transport.memory_work import MemoryWorkQueue, MemoryWorkSource
from concurrence.transport.origins import Origins
from concurrence.transport.security import Credentials, KeyRing
from concurrence.wire.codec import Frame

_QUEUE_MESSAGES = 1000
_MAX_FRAME_BYTES = 1 << 40  # memory is the limit
_MAX_ENDED = 65_536

_EndT = TypeVar("_EndT", "MemoryServer", "MemoryClient", MemoryWorkQueue, MemoryWorkSource)


class MemoryServer:
    """The master's end of the compute channel, which listens already.

    Args:
        network: Where clients find it.
        address: Where it listens.
        keys: Who may connect.
    """

    def __init__(self, network: MemoryNetwork, address: str, keys: KeyRing) -> None:
        self.network = network
        self.keys = keys
        self._address = address
        self._signal = Signal()
        self._inbox: deque[tuple[PeerId, MemoryClient, Origin, list[Frame]]] = deque()
        self._peers: dict[PeerId, MemoryClient] = {}
        self._origins = Origins()
        self._ended: deque[PeerId] = deque(maxlen=_MAX_ENDED)
        network.listen(address, self)

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame that is sent or taken."""
        return _MAX_FRAME_BYTES

    @property
    def pollable(self) -> int:
        """A file descriptor that is readable when there is a message."""
        return self._signal.fileno()

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._address

    def receive(self) -> tuple[PeerId, list[Frame]] | None:
        """The next message of a peer that may send one, or None if there is none now."""
        with self.network.lock:
            while self._inbox:
                peer, client, origin, frames = self._inbox.popleft()
                client.taken(peer)
                self._signal.set_readable(bool(self._inbox))
                if self._is_valid(origin):
                    self._origins[peer] = origin
                    return peer, frames
                if peer in self._peers:
                    client.detach()
            return None

    def send(self, peer: PeerId, frames: Sequence[Frame]) -> bool:
        """Send without blocking; False if the peer is gone, takes no more, or lost its role."""
        with self.network.lock:
            client = self._peers.get(peer)
            return client is not None and self._is_valid(client.origin) and client.deliver(copied(frames))

    def hung_up(self) -> list[PeerId]:
        """The peers whose connections have ended since this was asked last."""
        with self.network.lock:
            found = list(self._ended)
            self._ended.clear()
            return found

    def origin(self, peer: PeerId) -> Origin:
        """Who the peer is; see :meth:`IServer.origin`."""
        return self._origins.of(peer)

    def admit(self, peer: PeerId) -> None:
        """The peer has introduced itself; here nobody is cut off who does not."""

    def forget(self, peer: PeerId) -> None:
        """Drop what is kept about a connection that ended."""
        self._origins.pop(peer, None)

    def close(self) -> None:
        """Stop listening. Repeatable."""
        with self.network.lock:
            if self.network.listeners.get(self._address) is self:
                del self.network.listeners[self._address]
                for client in list(self._peers.values()):
                    client.detach()
                self._signal.close()

    def add(self, peer: PeerId, client: MemoryClient) -> None:
        """Let a client in."""
        self._peers[peer] = client

    def remove(self, peer: PeerId) -> None:
        """Let a client go."""
        if self._peers.pop(peer, None) is not None:
            self._ended.append(peer)

    def accept(self, peer: PeerId, client: MemoryClient, frames: list[Frame]) -> None:
        """Take a client's message."""
        self._inbox.append((peer, client, client.origin, frames))
        self._signal.set_readable(True)

    def _is_valid(self, origin: Origin) -> bool:
        return self.keys.role_of(origin.key) is origin.role


class MemoryClient:
    """A client's, host's or slave's end of the compute channel.

    Args:
        network: Where servers are found.
        credentials: Where to connect to, and with which keys.
    """

    def __init__(self, network: MemoryNetwork, credentials: Credentials) -> None:
        self.origin = Origin(credentials.role, credentials.keys.public, "127.0.0.1")
        self._network = network
        self._credentials = credentials
        self._signal = Signal()
        self._events_signal = Signal()
        self._inbox: deque[list[Frame]] = deque()
        self._events: list[str] = []
        self._server: MemoryServer | None = None
        self._peer: PeerId = b""
        self._waiting = 0
        self._signal.set_writable(False)
        network.seek(self)

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame that is sent or taken."""
        return _MAX_FRAME_BYTES

    @property
    def pollable(self) -> int:
        """A file descriptor: readable when there is a message, writable when one is taken."""
        return self._signal.fileno()

    @property
    def events_pollable(self) -> int:
        """A file descriptor that is readable when there are connection events."""
        return self._events_signal.fileno()

    def receive(self) -> list[Frame] | None:
        """The next message, or None if there is none now."""
        with self._network.lock:
            frames = self._inbox.popleft() if self._inbox else None
            self._signal.set_readable(bool(self._inbox))
            return frames

    def send(self, frames: Sequence[Frame]) -> bool:
        """Send without blocking; False if nothing more is taken now."""
        with self._network.lock:
            if self._server is None or "disconnected" in self._events or self._waiting >= _QUEUE_MESSAGES:
                return False
            self._waiting += 1
            self._signal.set_writable(self._waiting < _QUEUE_MESSAGES)
            self._server.accept(self._peer, self, copied(frames))
            return True

    def connection_events(self) -> list[str]:
        """What befell the connection since the last call: ``connected``, ``disconnected``, ``auth_failed``."""
        with self._network.lock:
            events, self._events = self._events, []
            self._events_signal.set_readable(False)
            return events

    def reconnect(self) -> None:
        """Drop the connection and make a new one, which the server sees as a new peer."""
        with self._network.lock:
            self._leave()
            self._inbox.clear()
            self._signal.set_readable(False)
            self.connection_events()
            self._network.seek(self)

    def close(self) -> None:
        """Close. Repeatable."""
        with self._network.lock:
            self._leave()
            self._network.seekers.pop(self, None)
            self._signal.close()
            self._events_signal.close()

    def attach(self) -> None:
        """Connect if the server is there by now."""
        server = self._network.listeners.get(self._credentials.address)
        if not isinstance(server, MemoryServer) or self._server is not None:
            return
        role = server.keys.role_of(self._credentials.keys.public)
        if role is None or server.keys.keys.public != self._credentials.server_key:
            del self._network.seekers[self]  # rests, as the real one does
            self._tell("auth_failed")
            return
        self.origin = self.origin._replace(role=role)
        self._server, self._peer, self._waiting = server, self._network.new_peer(), 0
        server.add(self._peer, self)
        self._signal.set_writable(True)
        self._tell("connected")

    def detach(self) -> None:
        """Lose the connection, and try again at once."""
        if self._server is not None:
            self._leave()
            self._tell("disconnected")
            self.attach()

    def deliver(self, frames: list[Frame]) -> bool:
        """Take the server's message unless too many wait."""
        if len(self._inbox) >= _QUEUE_MESSAGES:
            return False
        self._inbox.append(frames)
        self._signal.set_readable(True)
        return True

    def taken(self, peer: PeerId) -> None:
        """The server has taken one of the messages that were sent with an identity."""
        if peer == self._peer and self._server is not None:
            self._waiting -= 1
            self._signal.set_writable(True)

    def _leave(self) -> None:
        if self._server is not None:
            self._server.remove(self._peer)
            self._server = None
            self._signal.set_writable(False)

    def _tell(self, event: str) -> None:
        self._events.append(event)
        self._events_signal.set_readable(True)


_process_network = MemoryNetwork()  # one, as the loopback device is one: nodes have a manager each


class MemoryTransport(Component, ITransport):
    """Connects nodes of one process without any socket to the outside."""

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self.network = _process_network
        self._ends: list[MemoryServer | MemoryClient | MemoryWorkQueue | MemoryWorkSource] = []

    def server(self, address: str, keys: KeyRing) -> MemoryServer:
        """Listen; see :meth:`ITransport.server`."""
        with self.network.lock:
            return self._kept(MemoryServer(self.network, self.network.claim(address), keys))

    def client(self, credentials: Credentials) -> MemoryClient:
        """Connect; see :meth:`ITransport.client`."""
        split_address(credentials.address)
        with self.network.lock:
            return self._kept(MemoryClient(self.network, credentials))

    def work_queue(self, address: str, keys: KeyRing) -> MemoryWorkQueue:
        """Listen for slaves that pull; see :meth:`ITransport.work_queue`."""
        with self.network.lock:
            return self._kept(MemoryWorkQueue(self.network, self.network.claim(address), keys))

    def work_source(self, address: str, credentials: Credentials) -> MemoryWorkSource:
        """Pull work; see :meth:`ITransport.work_source`."""
        split_address(address)
        with self.network.lock:
            return self._kept(MemoryWorkSource(self.network, address, credentials))

    def close(self) -> None:
        """Close all ends that were made here. Repeatable."""
        while self._ends:
            self._ends.pop().close()

    def _kept(self, end: _EndT) -> _EndT:
        self._ends.append(end)
        return end
