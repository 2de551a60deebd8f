"""A master's core with peers made of words: every message passes through the real codec."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, TypeVar

from concurrence.journal.api import JournalEntry
from concurrence.journal.gate import DurabilityGate
from concurrence.scheduling.api import ITaskScheduler, Limits
from concurrence.scheduling.core import MasterCore
from concurrence.scheduling.ledger.sanity import SanityCheck
from concurrence.scheduling.outbox import HostOrder
from concurrence.transport.api import Origin
from concurrence.transport.security import Role
from concurrence.wire import faults
from concurrence.wire.codec import (
    Frame,
    MessageDecoder,
    Parcel,
    decode_results,
    decode_tasks,
    decoder_from_owner,
    decoder_from_slave,
    decoder_to_owner,
    decoder_to_slave,
    encode,
    encode_results,
    encode_tasks,
)
from concurrence.wire.digests import function_digest
from concurrence.wire.messages import (
    PROTOCOL_VERSION,
    Assign,
    AttemptLost,
    ChunkResults,
    Claimed,
    DefineFunction,
    Hello,
    PackedResult,
    PackedTask,
    PushSystem,
    PushTasks,
    Results,
    SlaveDescription,
    SystemResult,
)

T = TypeVar("T")
SYSTEM = 77
"""The system of a driven client's plain tasks."""


def hello(kind: str, node: str, **more: Any) -> Hello:
    """How a node introduces itself."""
    fields: dict[str, Any] = {"session": f"session of {node}", "name": f"the {node}", "pid": 1, **more}
    return Hello(PROTOCOL_VERSION, "1.0", kind, node, python="3.11", **fields)


def machine(workers: int = 2, credit: int = 4, **labels: float) -> SlaveDescription:
    """A machine with so many workers, which takes so many chunks at once."""
    return SlaveDescription(workers, credit, 8, 1 << 30, "cpu", 1.0, "Linux", labels)


def definition(number: int = 1, blob: bytes = b"blob", *bundles: bytes, kind: int = 0) -> DefineFunction:
    """What is said before the blob, which needs bundles with these digests."""
    digest = function_digest("f", kind, "3.11", list(bundles), [], blob)
    return DefineFunction(1, number, digest, "f", kind, "3.11", list(bundles), [])


class DrivenMaster:
    """A core, what drives it, and what its peers were sent.

    Args:
        scheduler: The policy.
        durable: Whether the journal has everything at once.
        limits: Fields of :class:`~concurrence.scheduling.api.Limits`.

    Attributes:
        now: The time; :meth:`wait` lets it pass.
        checked: Whether invariants are checked after each cycle.
        work: Chunks on the work queue.
    """

    def __init__(self, scheduler: ITaskScheduler, *, durable: bool = True, **limits: Any) -> None:
        self.core = MasterCore(
            scheduler,
            Limits(**limits),
            master="m" * 16,
            package="1.0",
            new_ticket=map("ticket {}".format, count()).__next__,
        )
        if self.core.scheduler.uses_work_queue:
            self.core.work_address = "tcp://work"
        self.now = 100.0
        self.durable = durable
        self.checked = True
        self.journal: list[JournalEntry] = []
        self.orders: list[HostOrder] = []
        self.stopped: list[int] = []
        self.dropped: list[bytes] = []
        self.news: list[str] = []
        self.work: list[Parcel[Assign]] = []
        self.peers: dict[bytes, DrivenPeer] = {}
        self._gate: DurabilityGate[tuple[bytes, Parcel[Any]]] = DurabilityGate()
        self._names = itertools.count(1)
        self._check = SanityCheck(self.ledger.jobs, self.ledger.assignments, self.ledger.story)
        self.core.tick(self.now)
        self.cycle()

    @property
    def ledger(self) -> Any:
        """The ledger of its tasks."""
        return self.core.swarm.ledger

    def cycle(self) -> None:
        """The end of a poll cycle, as the master node does it."""
        outbox = self.core.outbox
        self.core.conclude(self.now)
        self.journal += outbox.entries
        for promise in outbox.promises:
            self._gate.hold(len(self.journal), promise)
        if self.durable:
            self._gate.durable(len(self.journal))
        outgoing = outbox.messages
        for peer, parcel in self._gate.release():
            outgoing.setdefault(peer, []).append(parcel)
        self.work += outbox.work
        self.orders += outbox.hosts
        self.stopped += outbox.stopped_hosts
        self.dropped += outbox.dropped
        self.news += outbox.news
        outbox.clear()
        for name, parcels in outgoing.items():
            peer = self.peers[name]
            if peer.is_gone:
                self.core.unreachable(name, self.now)
            else:
                peer.inbox += peer.decoder.decode(encode(parcels))
        if self.checked:
            self._check()
            self.core.swarm.roster.sanity_check()

    def sync(self) -> None:
        """The disk has everything."""
        self._gate.durable(len(self.journal))
        self.cycle()

    def wait(self, seconds: float, *awake: DrivenPeer) -> None:
        """Time passes in small steps, in which these peers give signs of life."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.25)
            for peer in awake:
                node = self.core.swarm.registry.at(peer.name)
                if node is not None:
                    node.heard = self.now
            self.core.tick(self.now)
            self.cycle()

    def connect(self, greeting: Hello, role: Role | None = None, key: str = "") -> Any:
        """A connection on which this is said first."""
        name = f"{next(self._names)}".encode()
        origin = Origin(role or Role(greeting.kind), key or f"key of {greeting.node}", "10.0.0.1")
        kind = DrivenSlave if greeting.kind == "slave" else DrivenOwner
        peer = self.peers[name] = kind(self, name, origin)
        peer.say(greeting)
        return peer

    def client(self, node: str = "client", system: int = SYSTEM, **more: Any) -> DrivenOwner:
        """A client that connects."""
        return self.connect(hello("client", node, system=system, **more))

    def slave(self, node: str = "slave", description: SlaveDescription | None = None, **more: Any) -> DrivenSlave:
        """A slave that connects; by default with two workers."""
        return self.connect(hello("slave", node, slave=description or machine(), **more))


class DrivenPeer:
    """One connection."""

    decoder: MessageDecoder[Any]
    encoder: MessageDecoder[Any]

    def __init__(self, master: DrivenMaster, name: bytes, origin: Origin) -> None:
        self.master = master
        self.name = name
        self.origin = origin
        self.inbox: list[Parcel[Any]] = []
        self.is_gone = False

    def say(self, message: Any, frames: Iterable[Frame] = (), *, conclude: bool = True) -> None:
        """Send one message; unless told otherwise the master's cycle ends after it."""
        for parcel in self.encoder.decode(encode([Parcel(message, list(frames))])):
            self.master.core.receive(self.name, parcel, lambda: self.origin, self.master.now)
        if conclude:
            self.master.cycle()

    def take(self, kind: type[T]) -> list[Parcel[T]]:
        """Everything of one kind that came since it was asked for last."""
        found = [parcel for parcel in self.inbox if isinstance(parcel.message, kind)]
        self.inbox = [parcel for parcel in self.inbox if not isinstance(parcel.message, kind)]
        return found

    def messages(self, kind: type[T]) -> list[T]:
        """The same without their frames."""
        return [parcel.message for parcel in self.take(kind)]

    def one(self, kind: type[T]) -> T:
        """The only message of one kind that came since."""
        (message,) = self.messages(kind)
        return message

    def vanish(self) -> None:
        """The connection breaks; the master notices at once."""
        self.is_gone = True
        self.master.core.unreachable(self.name, self.master.now)
        self.master.cycle()


class DrivenOwner(DrivenPeer):
    """A client, or another peer that is no slave."""

    decoder = decoder_to_owner()
    encoder = decoder_from_owner()

    def define(self, number: int = 1, blob: bytes = b"blob", kind: int = 0) -> None:
        """Define a function."""
        self.say(definition(number, blob, kind=kind), [blob])

    def push(self, push: int, counters: Iterable[int], *, system: int = SYSTEM, **spec: Any) -> None:
        """Push tasks with these numbers, all alike.

        Args:
            push: The number of this push.
            counters: The numbers of the tasks.
            system: Whose tasks.
            spec: Further fields of the message, as ``priority``.
        """
        tasks = [PackedTask(counter, b"arg%d" % counter) for counter in counters]
        fields: dict[str, Any] = {"function": 1, **spec}
        self.say(PushTasks(1, push, system, **fields), [encode_tasks(tasks)])

    def push_system(self, push: int, system: int) -> None:
        """Push a task system."""
        self.say(PushSystem(push, system, 9, f"system {system}"))


class DrivenSlave(DrivenPeer):
    """A slave without workers: it does what the test says."""

    decoder = decoder_to_slave()
    encoder = decoder_from_slave()

    def pull(self, count: int = 1_000) -> list[Parcel[Assign]]:
        """Take chunks off the work queue, say so, and also take what was sent directly."""
        pulled, self.master.work[:] = self.master.work[:count], self.master.work[count:]
        if pulled:
            self.say(Claimed([parcel.message.chunk for parcel in pulled]))
        return pulled + self.take(Assign)

    def answer(
        self, chunk: Parcel[Assign], *, status: int | Callable[[int], int] = 0, only: Iterable[int] | None = None,
        busy: float = 0.001,
    ) -> None:  # fmt: skip
        """Results of a chunk's tasks, or of only some of them."""
        counters = [task.counter for task in decode_tasks(chunk.frames)] if only is None else list(only)
        statuses = bytes(status(counter) if callable(status) else status for counter in counters)
        body = encode_results([PackedResult(b"result %d" % counter) for counter in counters])
        self.say(ChunkResults(1, chunk.message.chunk, counters, statuses, busy), [body])

    def lose(self, chunk: Parcel[Assign], running: int | None) -> None:
        """The worker that had a chunk died; one task was running, or none."""
        self.say(AttemptLost(chunk.message.chunk, running, "killed by signal 9", 1_000_000, "last words"))

    def work_off(self, status: int | Callable[[int], int] = 0, busy: float = 0.001) -> list[int]:
        """Pull and answer until nothing is left; the counters in the order of execution."""
        done: list[int] = []
        while chunks := self.pull():
            for chunk in chunks:
                done += counters_of(chunk)
                self.answer(chunk, status=status, busy=busy)
        return done


def counters_of(chunk: Parcel[Assign]) -> list[int]:
    """The numbers of the tasks in a chunk."""
    return [task.counter for task in decode_tasks(chunk.frames)]


def fault_of(parcel: Parcel[Results] | Parcel[SystemResult], entry: int = 0) -> faults.Fault:
    """What a result says went wrong."""
    return faults.decode_fault(decode_results(parcel.frames)[entry].payload)


def ends(results: list[Results]) -> dict[int, int]:
    """How tasks ended, by number.

    Raises:
        AssertionError: One of them ended twice.
    """
    told = [pair for message in results for pair in zip(message.counters, message.statuses, strict=True)]
    assert len(told) == len(dict(told)), "a task ended twice"
    return dict(told)
