"""The network between nodes and the master: links that delay, break, fall silent, and are cut off and healed.

A connection keeps its messages in order and loses all that are under way when it breaks, as TCP does. Different
connections know nothing of each other: across them messages overtake.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Protocol

from concurrence.testing.simulation.timeline import Timeline
from concurrence.wire.codec import MessageDecoder, Parcel, encode, frame_size

_RETRY_SECONDS = 0.1  # what ZeroMQ waits before it tries again
_LONGEST_DELAY = 1.0
_LINGER_SHARE = 0.5  # of connections that a node gives up: what it had sent arrives, even after its next greeting
_STALE_SHARE = 0.25  # of broken connections: what was not written yet goes first on the next one


class INetworkNode(Protocol):
    """Whatever has a link with the master."""

    name: str

    def connection(self, event: str) -> None:
        """``connected`` or ``disconnected``."""
        ...

    def receive(self, payload: Any) -> None:
        """A message of the master."""
        ...

    def heard(self, now: float) -> None:
        """The master took a message of this node."""
        ...


class IMasterEnd(Protocol):
    """The master, as the network knows it."""

    def arrive(self, connection: Connection, payload: Any) -> None:
        """A message of a peer."""
        ...


class Connection:
    """One connection of a node; the next one has another number.

    Attributes:
        link: Whose.
        peer: What the master calls it.
        is_dead: Whether nothing is taken or arrives any more.
        lingers: Whether what was under way to the master arrives all the same.
        up: When the last message of the node arrives; the next one does not before.
        down: The same in the other direction.
        flying: Messages of the node that are under way.
        up_free: When the line has taken what the node sent last.
        down_free: The same in the other direction.
    """

    __slots__ = ("down", "down_free", "flying", "is_dead", "lingers", "link", "peer", "up", "up_free")

    def __init__(self, link: Link, peer: bytes) -> None:
        self.link = link
        self.peer = peer
        self.is_dead = self.lingers = False
        self.up = self.down = self.up_free = self.down_free = 0.0
        self.flying: list[Any] = []


class Network:
    """All links.

    Args:
        timeline: The time.
        random: What its whims are drawn from.
        codec: Whether messages are encoded.
        bandwidth: Bytes a second that pass each link in each direction; 0 for any number.

    Attributes:
        master: Who is at the other end of all links.
        open: The connections that the master may send on, by their numbers.
        messages: How many messages were sent.
        bytes: Their size.
    """

    def __init__(self, timeline: Timeline, random: Random, *, codec: bool, bandwidth: float = 0.0) -> None:
        self.timeline = timeline
        self.random = random
        self.codec = codec
        self.bandwidth = bandwidth
        self.master: IMasterEnd
        self.open: dict[bytes, Connection] = {}
        self._ended: list[bytes] = []
        self.messages = 0
        self.bytes = 0
        self._next = 1

    def new_peer(self) -> bytes:
        """The number of a connection, as a ROUTER assigns it."""
        self._next += 1
        return b"\0" + self._next.to_bytes(4, "big")

    def encoded(self, parcels: Sequence[Parcel[Any]]) -> Any:
        """What travels: the frames of a message, or the parcels themselves."""
        return encode(parcels) if self.codec else list(parcels)

    def decoded(self, decoder: MessageDecoder[Any], payload: Any) -> list[Parcel[Any]]:
        """The parcels of what travelled."""
        return decoder.decode(payload) if self.codec else payload

    def size(self, payload: Any) -> int:
        """Bytes of what travels; without the codec those of bodies."""
        if self.codec:
            return sum(map(frame_size, payload))
        return sum(frame_size(frame) for parcel in payload for frame in parcel.frames)

    def count(self, payload: Any) -> float:
        """Something is sent: the seconds that a line takes for it."""
        size = self.size(payload)
        self.messages += 1
        self.bytes += size
        return size / self.bandwidth if self.bandwidth else 0.0

    def closed(self, peer: bytes) -> None:
        """The master hears that a connection has ended."""
        if self.open.pop(peer, None) is not None:
            self._ended.append(peer)

    def hung_up(self) -> list[bytes]:
        """The connections that have ended since this was asked last."""
        found, self._ended = self._ended, []
        return found

    def send(self, peer: bytes, payload: Any) -> bool:
        """The master sends; False if it knows that nobody is there."""
        connection = self.open.get(peer)
        if connection is None:
            return False
        connection.link.bring_down(connection, payload)
        return True


class Link:
    """A node's way to the master, over all its connections.

    Args:
        network: The network.
        node: The node.
        latency: One way, in seconds.
    """

    def __init__(self, network: Network, node: INetworkNode, latency: float) -> None:
        self.network = network
        self.node = node
        self.latency = latency
        self.slowness = 1.0
        self.is_cut = False
        self.is_closed = False
        self.current: Connection | None = None
        self._held: list[tuple[bool, Connection, Any]] = []
        self._stale: list[Any] = []
        self._attempt = 0

    def delay(self) -> float:
        """Seconds that the next message takes."""
        return min(_LONGEST_DELAY, self.latency * self.slowness) * (1.0 + self.network.random.random())

    # --- connecting ---

    def connect(self, seconds: float = 0.0) -> None:
        """Try to connect; again and again while that is impossible."""
        self._attempt += 1
        self.network.timeline.after(seconds + 2 * self.delay(), self._connect, self._attempt)

    def _connect(self, attempt: int) -> None:
        if attempt != self._attempt or self.is_closed or self.current is not None:
            return
        if self.is_cut:
            pause = _RETRY_SECONDS * (1 + 4 * self.network.random.random())
            self.network.timeline.after(pause, self._connect, attempt)
            return
        connection = self.current = Connection(self, self.network.new_peer())
        self.network.open[connection.peer] = connection
        stale, self._stale = self._stale, []
        for payload in stale:
            self._bring_up(connection, payload)
        self.node.connection("connected")

    def reconnect(self) -> None:
        """The node gives its connection up and makes a new one; the master may not notice."""
        self.drop(told=not self.is_cut)
        self.connect()

    def drop(self, *, told: bool) -> None:
        """The node's end is gone, and with it what is under way to it; the node knows.

        Args:
            told: Whether the master's end hears of it, at some time.
        """
        connection, self.current = self.current, None
        self._attempt += 1
        if connection is None:
            return
        was_silent = connection.is_dead
        connection.is_dead = True
        if told and not was_silent:
            connection.lingers = self.network.random.random() < _LINGER_SHARE
            self._tell_master(connection)

    def leave(self) -> None:
        """The node closes its connection after what it sent last, which still arrives; nothing follows."""
        connection, self.current = self.current, None
        self.is_closed = True
        if connection is not None:
            self.network.timeline.at(connection.up + self.delay(), self._closed, connection)

    def close(self, *, told: bool) -> None:
        """The node is dead."""
        self.is_closed = True
        self.drop(told=told)

    # --- faults ---

    def reset(self) -> None:
        """The connection breaks; both ends hear of it, each in its own time."""
        connection = self.current
        if connection is None or connection.is_dead:
            return
        connection.is_dead = True
        if connection.flying and self.network.random.random() < _STALE_SHARE:
            self._stale = connection.flying[-self.network.random.randrange(1, 4) :]
        self._tell_master(connection)
        self.network.timeline.after(self.network.random.random() * 0.1, self._disconnected, connection)

    def fall_silent(self) -> None:
        """Nothing arrives any more on this connection, in either direction, and nobody is told."""
        if self.current is not None:
            self.current.is_dead = True

    def cut(self) -> None:
        """Nothing passes, and what is sent waits for its time."""
        self.is_cut = True

    def heal(self) -> None:
        """What waited passes now, as far as its connection is still there."""
        self.is_cut = False
        held, self._held = self._held, []
        for is_up, connection, payload in held:  # at once, because what is under way comes after it
            if is_up:
                self._take_up(connection, payload)
            else:
                self._take_down(connection, payload)

    def _tell_master(self, connection: Connection) -> None:
        random = self.network.random
        late = random.random() * 0.2 if random.random() < 0.5 else 0.0
        self.network.timeline.after(late + self.delay(), self._closed, connection)

    def _closed(self, connection: Connection) -> None:
        connection.is_dead = True
        self.network.closed(connection.peer)

    def _disconnected(self, connection: Connection) -> None:
        if self.current is connection and not self.is_closed:
            self.current = None
            self.node.connection("disconnected")
            self.connect(_RETRY_SECONDS)

    # --- messages ---

    def send(self, payload: Any) -> bool:
        """The node sends; False if there is no connection."""
        connection = self.current
        if connection is None:
            return False
        self._bring_up(connection, payload)
        return True

    def _bring_up(self, connection: Connection, payload: Any) -> None:
        seconds = self.network.count(payload)
        if connection.is_dead:
            return
        connection.up_free = max(connection.up_free, self.network.timeline.now) + seconds
        connection.up = max(connection.up, connection.up_free + self.delay())
        connection.flying.append(payload)
        self.network.timeline.at(connection.up, self._arrived_up, connection)

    def _arrived_up(self, connection: Connection) -> None:
        self._take_up(connection, connection.flying.pop(0))

    def _take_up(self, connection: Connection, payload: Any) -> None:
        if connection.is_dead and not connection.lingers:
            return
        if self.is_cut:
            self._held.append((True, connection, payload))
        else:
            self.network.master.arrive(connection, payload)

    def bring_down(self, connection: Connection, payload: Any) -> None:
        """The master sends on this connection."""
        seconds = self.network.count(payload)
        if connection.is_dead:
            return
        connection.down_free = max(connection.down_free, self.network.timeline.now) + seconds
        connection.down = max(connection.down, connection.down_free + self.delay())
        self.network.timeline.at(connection.down, self._arrived_down, (connection, payload))

    def _arrived_down(self, sent: tuple[Connection, Any]) -> None:
        self._take_down(*sent)

    def _take_down(self, connection: Connection, payload: Any) -> None:
        if connection.is_dead:
            return
        if self.is_cut:
            self._held.append((False, connection, payload))
        else:
            self.node.receive(payload)
