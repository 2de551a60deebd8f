"""What nodes ask of a transport: servers, clients and work queues, all driven by somebody else's poll loop.

Nothing here blocks. Whoever owns the poll loop registers ``pollable`` for reading and drains with ``receive``
until it returns None. No thread of the transport ever handles a payload; ZeroMQ's has one that only answers
which keys may connect, so that a handshake does not wait for a busy loop.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from concurrence.component import Interface
from concurrence.transport.security import Credentials, KeyRing, Role
from concurrence.wire.codec import Frame

PeerId: TypeAlias = bytes
"""The server's own name for one connection; never chosen by the peer, never used again."""


LARGE_FRAME_BYTES = 32 * 1024
"""Smaller frames are handed out as ``bytes``, others as ``memoryview``, and must not change once they are sent."""


class SplitPollable(NamedTuple):
    """A pollable of an end with many sockets: one descriptor for either direction. Both are polled for reading.

    Attributes:
        readable: Readable when there is something to receive, or to be done by receiving.
        writable: Readable when more can be sent.
    """

    readable: int
    writable: int


class Origin(NamedTuple):
    """Who is at the other end of a connection, as authenticated by the transport.

    Attributes:
        role: What its key allows.
        key: Its public key, in Z85.
        address: Its network address, without port.
    """

    role: Role
    key: str
    address: str


class IServer(Protocol):
    """The master's end of the compute channel."""

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame that is sent or taken."""
        ...

    @property
    def pollable(self) -> Any:
        """What a poll loop waits on: a ZeroMQ socket, a file descriptor or a :class:`SplitPollable`."""
        ...

    @property
    def address(self) -> str:
        """Where it really listens, as ``tcp://host:port``."""
        ...

    def receive(self) -> tuple[PeerId, list[Frame]] | None:
        """The next message, or None if there is none now."""
        ...

    def send(self, peer: PeerId, frames: Sequence[Frame]) -> bool:
        """Send without blocking; False if the peer is gone, takes no more, or lost its role.

        Raises:
            MessageTooLarge: A frame exceeds the transport's limit.
        """
        ...

    def hung_up(self) -> list[PeerId]:
        """The peers whose connections have ended since this was asked last, as far as is known.

        Of what they had sent before, something may be still to be received.
        """
        ...

    def origin(self, peer: PeerId) -> Origin:
        """Who the peer is. Known from its first message until :meth:`forget`.

        Raises:
            UsageError: It has sent nothing yet, or was forgotten.
        """
        ...

    def admit(self, peer: PeerId) -> None:
        """The peer has introduced itself: its connection is kept.

        Who does not, within some seconds after it connected or was forgotten, may be cut off.
        """
        ...

    def forget(self, peer: PeerId) -> None:
        """Drop what is kept about a connection that ended, or whose peer is not wanted."""
        ...

    def close(self) -> None:
        """Stop listening; what was sent to live peers is still flushed for a moment."""
        ...


class IClient(Protocol):
    """A client's, host's or slave's end of the compute channel; reconnects below by itself."""

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame that is sent or taken."""
        ...

    @property
    def pollable(self) -> Any:
        """What a poll loop waits on."""
        ...

    @property
    def events_pollable(self) -> Any:
        """What a poll loop waits on for :meth:`connection_events`; only for reading."""
        ...

    def receive(self) -> list[Frame] | None:
        """The next message, or None if there is none now."""
        ...

    def send(self, frames: Sequence[Frame]) -> bool:
        """Send without blocking; False if nothing more is taken now, as without a connection.

        Nothing is taken while ``disconnected`` has not been read from :meth:`connection_events`: the first
        message on a new connection is one that was meant for it. What a lost connection held is gone.

        Raises:
            MessageTooLarge: A frame exceeds the transport's limit.
        """
        ...

    def connection_events(self) -> list[str]:
        """What befell the connection since the last call: ``connected``, ``disconnected``, ``auth_failed``.

        After ``auth_failed`` (the server turned the key away, or hung up again and again during the first
        handshake, as one with another key does) the client rests until :meth:`reconnect`.
        """
        ...

    def reconnect(self) -> None:
        """Drop the connection and make a new one, which the server sees as a new peer."""
        ...

    def close(self) -> None:
        """Close; what was sent is still flushed for a moment."""
        ...


class IWorkQueue(Protocol):
    """The master's end of the global work socket: whoever pulls first gets the work."""

    @property
    def pollable(self) -> Any:
        """What a poll loop waits on: for reading, to call ``tend``; for writing, after ``send`` returned False."""
        ...

    @property
    def address(self) -> str:
        """Where it really listens."""
        ...

    def send(self, frames: Sequence[Frame]) -> bool:
        """Push without blocking; False if no slave pulls or the queue is full.

        What was pushed may be lost with a connection: it is safe when a slave says that it has it.

        Raises:
            MessageTooLarge: A frame exceeds the transport's limit.
        """
        ...

    def tend(self) -> None:
        """Let slaves come and go: whatever there is to do besides sending, without blocking."""
        ...

    def close(self) -> None:
        """Close, dropping what nobody pulled."""
        ...


class IWorkSource(Protocol):
    """A slave's end of the work socket."""

    @property
    def pollable(self) -> Any:
        """What a poll loop waits on."""
        ...

    def receive(self) -> list[Frame] | None:
        """The next piece of work, or None if there is none now."""
        ...

    def pause(self) -> None:
        """Disconnect, so that no more work is queued towards this slave.

        What arrives within a moment is still handed out by :meth:`receive`: call it afterwards until None.
        """
        ...

    def resume(self) -> None:
        """Connect again."""
        ...

    def close(self) -> None:
        """Close."""
        ...


class ITransport(Interface):
    """Makes the ends of the compute channel; chosen by ``[node] transport``."""

    @abstractmethod
    def server(self, address: str, keys: KeyRing) -> IServer:
        """Listen.

        Args:
            address: ``tcp://host:port``; port 0 picks a free one.
            keys: The master's own key and the keys that may connect, with their roles.

        Raises:
            AddressInUse: Another process listens there.
            UsageError: The address is malformed or not this machine's.
        """

    @abstractmethod
    def client(self, credentials: Credentials) -> IClient:
        """Connect to ``credentials.address``; returns at once, whether or not the server is there."""

    @abstractmethod
    def work_queue(self, address: str, keys: KeyRing) -> IWorkQueue:
        """Listen for slaves that pull; only keys with the role ``slave`` may connect."""

    @abstractmethod
    def work_source(self, address: str, credentials: Credentials) -> IWorkSource:
        """Pull work from ``address``, with the keys in ``credentials``."""


class ITimer(Protocol):
    """A call in the future."""

    def cancel(self) -> None:
        """Do not call; harmless afterwards."""
        ...


class IReactor(Protocol):
    """The poll loop of a node, as lower floors see it. All of it is for the loop's own thread but ``post``."""

    def now(self) -> float:
        """The loop's clock, in seconds."""
        ...

    def register(self, pollable: Any, on_readable: Callable[[], None]) -> None:
        """Call whenever the pollable is readable (level-triggered)."""
        ...

    def watch_writable(self, pollable: Any, on_writable: Callable[[], None] | None) -> None:
        """Also call whenever it is writable; None ends that."""
        ...

    def unregister(self, pollable: Any) -> None:
        """Stop watching, before the pollable is closed; harmless if it is not watched."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> ITimer:
        """Call once after ``delay`` seconds."""
        ...

    def post(self, callback: Callable[[], None]) -> None:
        """From any thread: call on the loop's thread soon."""
        ...
