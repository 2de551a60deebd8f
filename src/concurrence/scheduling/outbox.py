"""What the pure core wants done: messages to peers, work for the queue, hosts to start. Pure data."""

from __future__ import annotations

from msgspec import Struct

from concurrence.journal.api import JournalEntry
from concurrence.scheduling.api_calls import Call
from concurrence.scheduling.registry import Node
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Assign, Message


class HostOrder(Struct, frozen=True):
    """A task system's host to start.

    Attributes:
        system: The system it is to run.
        client: Node id of the client that pushed it.
        name: What people see.
        ticket: What it must show in its hello.
    """

    system: int
    client: str
    name: str
    ticket: str


class News(str):
    """A line for the log, and what it is about.

    Attributes:
        about: Fields of the log record, as in ``{"slave": "vm"}``.
    """

    __slots__ = ("about",)

    about: dict[str, str]


class Outbox:
    """Collects the instructions of one cycle; whoever drives the core empties it.

    Attributes:
        messages: Per peer, in order; they leave at once.
        promises: Messages that leave when the entries of this cycle are durable.
        work: Chunks for the work queue.
        entries: What the journal must keep.
        hosts: Hosts to start.
        stopped_hosts: Systems whose hosts are to end.
        news: What people may want to read in the master's log.
        asides: What only somebody who looks for a fault wants to read there.
        calls: Calls of the API to be answered.
        admitted: Peers that introduced themselves.
        dropped: Peers whose connection is to be forgotten after the messages are sent.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin a new cycle."""
        self.messages: dict[bytes, list[Parcel[Message]]] = {}
        self.promises: list[tuple[bytes, Parcel[Message]]] = []
        self.work: list[Parcel[Assign]] = []
        self.entries: list[JournalEntry] = []
        self.hosts: list[HostOrder] = []
        self.stopped_hosts: list[int] = []
        self.news: list[str] = []
        self.asides: list[str] = []
        self.calls: list[Call] = []
        self.admitted: list[bytes] = []
        self.dropped: list[bytes] = []

    def tell(self, node: Node, text: str) -> None:
        """News of a node; whoever only asks how the master is comes and goes all the time, and is no news."""
        news = News(f"{node.label} {text}")
        news.about = {node.hello.kind: node.name}
        (self.asides if node.hello.kind == "admin" else self.news).append(news)

    def send(self, peer: bytes | None, parcel: Parcel[Message]) -> None:
        """A message that promises nothing; without a peer it is dropped, because its node is not connected."""
        if peer is not None:
            self.messages.setdefault(peer, []).append(parcel)

    def promise(self, peer: bytes | None, parcel: Parcel[Message]) -> None:
        """A message that may leave only when what it promises is durable."""
        if peer is not None:
            self.promises.append((peer, parcel))
