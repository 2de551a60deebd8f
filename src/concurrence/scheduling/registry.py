"""The registry of nodes: who is connected, under which key, and who fell silent. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from math import inf
from typing import NamedTuple, Protocol

from concurrence.errors import Refused
from concurrence.ids import NodeId
from concurrence.scheduling.circuit import Circuit
from concurrence.scheduling.deliveries import Deliveries
from concurrence.scheduling.load import SlaveLoad
from concurrence.transport.api import Origin
from concurrence.transport.security import Role
from concurrence.wire.messages import PROTOCOL_VERSION, Drain, Hello, PushRejected, SlaveDescription

MAX_REJECTIONS = 4_096
_MAX_FORMER = 8  # connections of a node
_LONGEST_NAME = 1_000  # characters; with a number behind them they are still a name on the wire

_KINDS_OF_ROLE = {
    Role.CLIENT: ("client",),
    Role.SLAVE: ("slave",),
    Role.ADMIN: ("admin", "client"),
    Role.HOST: ("host",),
}


class Node:
    """What every connected node has.

    Args:
        hello: How it introduced itself.
        origin: Who it is as authenticated by the transport.
        now: The time, in seconds of the master's clock.

    Attributes:
        name: What people see; of slaves no two have the same.
        former: Connections that it was on before: who says hello on one of them is another process.
        registration: Number of its registration, which no other one had; a node that names another one has not
            heard yet that it was forgotten meanwhile.
    """

    def __init__(self, hello: Hello, origin: Origin, now: float) -> None:
        self.id = NodeId(hello.node)
        self.name = hello.name
        self.hello = hello
        self.origin = origin
        self.peer: bytes | None = None
        self.former: deque[bytes] = deque(maxlen=_MAX_FORMER)
        self.joined = now
        self.heard = now
        self.registration = 0
        self.finished = 0

    @property
    def label(self) -> str:
        """What people see in a log."""
        return f"{self.hello.kind} {self.name}"

    def __repr__(self) -> str:
        state = "connected" if self.peer is not None else "away"
        return f"<{type(self).__name__} {self.hello.kind} {self.name} {self.id} {state}>"


class OwnerNode(Node):
    """A client or a host: something that owns tasks.

    Attributes:
        deliveries: What it has not acknowledged.
        accepted_push: The newest push that was answered.
        systems: Those of the task systems that it pushed; of a client also the one of its plain tasks.
        known: Digests of code that it was sent on this connection.
        rejections: Pushes that were not accepted, newest last: told again when it comes back.
        is_cancelled: Whether an administrator cancelled all of its tasks, and it has not answered that.
    """

    def __init__(self, hello: Hello, origin: Origin, now: float) -> None:
        super().__init__(hello, origin, now)
        self.deliveries = Deliveries()
        self.accepted_push = 0
        self.systems: set[int] = set()
        self.known: set[bytes] = set()
        self.rejections: deque[PushRejected] = deque(maxlen=MAX_REJECTIONS)
        self.is_cancelled = False


class SlaveNodeRecord(Node, SlaveLoad):
    """A slave, with what it runs: see :class:`~concurrence.scheduling.load.SlaveLoad`.

    Attributes:
        known: Digests of code that it was sent on this connection.
        circuit: Whether it is given work: not for a while if everything failed on it.
        number: Its number among all slaves; 0 until it takes work.
        stops: Whether it ends when it has nothing left.
        leaves_by_itself: Whether it drains because it was told so where it runs.
        order: The last order to drain or to work again, until the slave confirms it.
    """

    def __init__(self, hello: Hello, origin: Origin, now: float, description: SlaveDescription) -> None:
        Node.__init__(self, hello, origin, now)
        SlaveLoad.__init__(self, description)
        self.known: set[bytes] = set()
        self.circuit = Circuit(description.workers)
        self.number = 0
        self.stops = self.leaves_by_itself = False
        self.order: Drain | None = None


class Presence(Protocol):
    """Who is told of slaves that come and go; see :class:`~concurrence.scheduling.roster.Roster`."""

    def enter(self, slave: SlaveNodeRecord) -> None:
        """A slave is connected."""

    def leave(self, slave: SlaveNodeRecord) -> None:
        """It is not connected any more."""


class Greeting(NamedTuple):
    """What a hello led to.

    Attributes:
        node: The node.
        known: Whether it was known, as the same incarnation, and is not to be told otherwise.
        previous: The connection it had before, if any.
        replaced: The other incarnation whose place it took; whoever that was is gone for good.
    """

    node: Node
    known: bool
    previous: bytes | None = None
    replaced: Node | None = None


class Registry:
    """All nodes by id, and by the connection they are on.

    Args:
        lease: Seconds of silence after which a node is given up.
        package: This version of Concurrent, for the text of a refusal.
        presence: Is told of slaves that come and go.
        first: Number of the first registration, higher than any that a predecessor gave out.
    """

    def __init__(self, *, lease: float, package: str, presence: Presence | None = None, first: int = 1) -> None:
        self.lease = lease
        self._next_registration = first
        self._package = package
        self._presence = presence
        self._nodes: dict[str, Node] = {}
        self._by_peer: dict[bytes, Node] = {}
        self._names: dict[str, str] = {}  # of slaves, with the node id
        self._numbers: dict[str, int] = {}  # the lowest that may be free behind a name
        self._slaves: list[SlaveNodeRecord] | None = None
        self.slave_count = 0
        """How many slaves are connected."""
        self.version = 0
        """Another number whenever a slave connected or was disconnected."""
        self._heard_least = -inf  # nobody was heard before this

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, node: str) -> bool:
        return node in self._nodes

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._nodes.values()))

    def at(self, peer: bytes) -> Node | None:
        """The node on a connection; None if it has not said hello."""
        return self._by_peer.get(peer)

    def get(self, node: str | None) -> Node | None:
        """The node with an id."""
        return self._nodes.get(node) if node is not None else None

    def owner(self, node: str | None) -> OwnerNode | None:
        """The owner with an id."""
        found = self.get(node)
        return found if isinstance(found, OwnerNode) else None

    def slave(self, node: str | None) -> SlaveNodeRecord | None:
        """The slave with an id."""
        found = self.get(node)
        return found if isinstance(found, SlaveNodeRecord) else None

    def slaves(self) -> Sequence[SlaveNodeRecord]:
        """All connected slaves, in the order in which they joined; for what happens seldom: there may be many."""
        if self._slaves is None:
            nodes = self._nodes.values()
            self._slaves = [n for n in nodes if isinstance(n, SlaveNodeRecord) and n.peer is not None]
        return self._slaves

    def working(self) -> list[SlaveNodeRecord]:
        """Those of them that take work: all that do not drain."""
        return [slave for slave in self.slaves() if not slave.is_draining]

    def greet(self, peer: bytes, hello: Hello, origin: Origin, now: float) -> Greeting:
        """Bind a connection to a node.

        Args:
            peer: The connection.
            hello: What came on it first.
            origin: Who it is as authenticated.
            now: The time.

        Returns:
            Who it is, and what changed for others.

        Raises:
            Refused: It may not come in; the text says why.
        """
        self._check(hello, origin)
        node = self._nodes.get(hello.node)
        if node is not None and node.hello.session != hello.session:
            is_alive = node.peer is not None or node.origin.key != origin.key
            if is_alive and now - node.heard < self.lease:
                raise Refused(
                    f"the identity {hello.node} is in use by {node.name} at {node.origin.address}",
                    hint="Two nodes were started from one copy of an identity: give each its own environment.",
                )
            previous = node.peer
            return Greeting(self._bind(self._make(hello, origin, now), peer, now), False, previous, node)
        if node is not None:
            if node.origin.key != origin.key:
                raise Refused(
                    f"the identity {hello.node} belongs to another key", hint="Use the key it began with."
                )
            if node.hello.kind != hello.kind:
                raise Refused(f"the identity {hello.node} is that of a {node.hello.kind}, not of a {hello.kind}")
            if peer in node.former:
                raise Refused(
                    f"the identity {hello.node} is in use by another process at {node.origin.address}",
                    hint="A machine was cloned while a node ran on it: start that node anew on each of them.",
                )
            previous = node.peer
            node.hello = hello
            node.origin = origin
            is_aware = hello.registration in (0, node.registration)
            return Greeting(self._bind(node, peer, now), is_aware, previous)
        return Greeting(self._bind(self._make(hello, origin, now), peer, now), False)

    def is_outdated(self, hello: Hello, origin: Origin) -> bool:
        """Whether a newer greeting of the same incarnation has come: this one was sent before, and is late."""
        node = self._nodes.get(hello.node)
        if node is None or node.hello.session != hello.session or node.origin.key != origin.key:
            return False
        return 0 < hello.greeting < node.hello.greeting

    def disconnect(self, peer: bytes) -> Node | None:
        """The connection is gone; the node stays until its lease runs out."""
        node = self._by_peer.pop(peer, None)
        if node is not None and node.peer == peer:
            self._leave(node)
        return node

    def remove(self, node: Node) -> None:
        """The node is gone for good."""
        if self._nodes.get(node.id) is node:
            del self._nodes[node.id]
        heir = self._nodes.get(node.id)  # another incarnation, which may go by the same name
        if heir is None or heir.name != node.name:
            self._release_name(node)
        if node.peer is not None:
            self._by_peer.pop(node.peer, None)
            self._leave(node)

    def silent(self, now: float) -> list[Node]:
        """The nodes whose lease has run out."""
        if now < self._heard_least + self.lease:
            return []  # none can have: who has spoken since, or come, has a longer lease still
        self._heard_least = min((node.heard for node in self._nodes.values()), default=now)
        return [node for node in self._nodes.values() if now - node.heard > self.lease]

    def _check(self, hello: Hello, origin: Origin) -> None:
        if hello.protocol != PROTOCOL_VERSION:
            raise Refused(
                f"{hello.kind} {hello.name} speaks protocol {hello.protocol} (concurrence {hello.package}), the "
                f"master speaks {PROTOCOL_VERSION} (concurrence {self._package})",
                hint=f"Install the same version on both: pip install concurrence=={self._package}",
            )
        if hello.kind not in _KINDS_OF_ROLE[origin.role]:
            raise Refused(
                f"a key with the role {origin.role} cannot be used by a {hello.kind}",
                hint=f"Use the connect file for the role {'slave' if hello.kind == 'slave' else 'client'}.",
            )
        if (hello.kind == "slave") != (hello.slave is not None):
            raise Refused(f"a {hello.kind} must{'' if hello.kind == 'slave' else ' not'} describe a slave")

    def _make(self, hello: Hello, origin: Origin, now: float) -> Node:
        if hello.slave is None:
            node: Node = OwnerNode(hello, origin, now)
        else:
            node = SlaveNodeRecord(hello, origin, now, hello.slave)
            node.name = self._free_name(node)
        node.registration = self._next_registration
        self._next_registration += 1
        return node

    def _free_name(self, slave: SlaveNodeRecord) -> str:
        """Its name, or with a number behind it: several slaves of one machine call themselves by its name."""
        if self._names.get(slave.name, slave.id) == slave.id:
            return slave.name
        short = slave.name[:_LONGEST_NAME]
        number = self._numbers.get(short, 2)
        while self._names.get(f"{short}-{number}", slave.id) != slave.id:
            number += 1
        self._numbers[short] = number
        return f"{short}-{number}"

    def _release_name(self, node: Node) -> None:
        if self._names.get(node.name) != node.id:
            return
        del self._names[node.name]
        short, _, number = node.name.rpartition("-")
        if number.isdecimal() and short in self._numbers:
            self._numbers[short] = min(self._numbers[short], max(2, int(number)))

    def _leave(self, node: Node) -> None:
        was_connected, node.peer = node.peer is not None, None
        if isinstance(node, SlaveNodeRecord):
            self._slaves = None
            self.version += 1
            self.slave_count -= was_connected
            if self._presence is not None:
                self._presence.leave(node)

    def _bind(self, node: Node, peer: bytes, now: float) -> Node:
        other = self._by_peer.get(peer)
        if other is not None and other is not node:
            self._leave(other)  # one connection is one node
        for former in (node, self._nodes.get(node.id)):
            if former is not None and former.peer is not None:
                if former.peer != peer:
                    node.former.append(former.peer)
                self._by_peer.pop(former.peer, None)
                self._leave(former)
        node.peer = peer
        node.heard = now
        self._nodes[node.id] = node
        self._by_peer[peer] = node
        if isinstance(node, SlaveNodeRecord):
            self._slaves = None
            self.version += 1
            self.slave_count += 1
            self._names[node.name] = node.id
            if self._presence is not None:
                self._presence.enter(node)
        return node
