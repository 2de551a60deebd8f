"""A master, and a slave on a slow line, in words."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from swarm_story import hello, machine, make_policy

from concurrence.nodes.exchange import Exchange
from concurrence.nodes.master_link import LinkEvent, MasterLink
from concurrence.nodes.peer_traffic import PeerTraffic
from concurrence.nodes.sending import smaller_results
from concurrence.scheduling.api import Limits
from concurrence.scheduling.core import MasterCore
from concurrence.transport.api import Origin
from concurrence.transport.security import Role
from concurrence.wire.codec import Frame, Parcel, decoder_for_master, decoder_to_slave, encode_results, frame_size
from concurrence.wire.messages import (
    Assign,
    ChunkResults,
    Claimed,
    Hello,
    PackedResult,
    Piece,
    PieceTaken,
)

LEASE = 10.0
RATE = 100_000.0
"""Bytes a second: a piece takes a quarter of a lease."""
LIMIT = 8_000_000
LARGE = 5_000_000
"""Takes five leases."""
STEP = 0.25


class Line:
    """One direction of a connection: messages in order, at so many bytes a second."""

    def __init__(self) -> None:
        self.queue: deque[tuple[bytes, list[Frame]]] = deque()
        self.budget = 0.0
        self.rate = RATE
        self.is_dead = False

    def put(self, peer: bytes, frames: Sequence[Frame]) -> bool:
        self.queue.append((peer, list(frames)))
        return True

    def arriving(self) -> list[tuple[bytes, list[Frame]]]:
        self.budget = self.budget + self.rate * STEP if self.queue else 0.0
        arrived: list[tuple[bytes, list[Frame]]] = []
        while self.queue and sum(map(frame_size, self.queue[0][1])) <= self.budget:
            self.budget -= sum(map(frame_size, self.queue[0][1]))
            arrived.append(self.queue.popleft())
        return [] if self.is_dead else arrived


class Story:
    """A master, and a slave on a slow line."""

    max_frame_bytes = LIMIT

    def __init__(self, rate: float = RATE) -> None:
        self.now = 100.0
        self.up, self.down = Line(), Line()
        self.up.rate = self.down.rate = rate
        self.peer = b"1"
        self.is_full = False
        self.at_master: list[Any] = []
        self.at_slave: list[Parcel[Any]] = []
        self.to_say: list[Parcel[Any]] = []
        self.taken: list[int] = []
        self.events: list[LinkEvent] = []
        self.garbage: list[str] = []
        self.decoder = decoder_for_master()
        limits = Limits(lease=LEASE, heartbeat=2.0)
        self.core = MasterCore(
            make_policy("GenericTaskScheduler"), limits, master="m" * 16, package="1", new_ticket=str
        )
        self.traffic = PeerTraffic(self.core, self.decoder, LIMIT, self.down.put)
        self.link = MasterLink(self.hello, "the master", self.now, patience=None)
        self.exchange = Exchange(self, self.link, decoder_to_slave(), smaller_results)
        self.link.connection("connected", self.now)

    def hello(self, resumes: bool) -> Hello:
        return hello("slave", "s", slave=machine(), resumes=resumes)

    def send(self, frames: Sequence[Frame]) -> bool:
        return not self.is_full and self.up.put(self.peer, frames)

    @property
    def is_known(self) -> bool:
        return "s" in self.core.swarm.registry

    def ready(self) -> Story:
        self.until(lambda: self.link.ready)
        self.forget()
        return self

    def forget(self) -> None:
        self.at_master.clear()
        self.at_slave.clear()
        self.events.clear()

    def until(self, condition: Any, seconds: float = 200.0) -> None:
        end = self.now + seconds
        while not condition():
            assert self.now < end, (self.exchange, self.at_master, self.events)
            self.step()

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.step()

    def step(self) -> None:
        self.now += STEP
        for peer, frames in self.up.arriving():
            self.take(peer, frames)
        for _, frames in self.down.arriving():
            for parcel in self.exchange.received(frames, self.now):
                self.at_slave.append(parcel)
                self.link.message(parcel.message, self.now)
        self.core.tick(self.now)
        self.conclude()
        self.link.tick(self.now)
        self.events += self.link.events
        self.link.events.clear()
        if self.link.wants_reconnect:
            self.reconnect()
        self.exchange.send(self.collect, self.now, self.urgent)

    def collect(self) -> list[Parcel[Any]]:
        said, self.to_say = self.to_say, []
        return said

    def urgent(self) -> list[Claimed]:
        claims = [each.message for each in self.to_say if isinstance(each.message, Claimed)]
        self.to_say = [each for each in self.to_say if not isinstance(each.message, Claimed)]
        return claims

    def take(self, peer: bytes, frames: list[Frame]) -> None:
        for parcel in self.decoder.decode(frames):
            wholes: list[Parcel[Any]] = [parcel]
            if isinstance(parcel.message, Piece):
                self.taken.append(parcel.message.number)
            if isinstance(parcel.message, Hello | Piece | PieceTaken):
                wholes = self.traffic.take(peer, Parcel(parcel.message, parcel.frames), self.now)
            for whole in wholes:
                self.at_master.append(whole.message)
                self.core.receive(peer, whole, lambda: Origin(Role.SLAVE, "key", "10.0.0.1"), self.now)

    def conclude(self) -> None:
        outbox = self.core.outbox
        self.core.conclude(self.now)
        outgoing, dropped = outbox.messages, outbox.dropped
        outbox.clear()
        for peer, parcels in outgoing.items():
            if not self.traffic.send(peer, parcels, self.now):
                self.core.unreachable(peer, self.now)
        for peer in dropped:
            self.traffic.forget(peer)

    def reconnect(self) -> None:
        """The connection breaks, and there is another one; the master hears of it by the hello."""
        self.link.wants_reconnect = False
        self.up.queue.clear()
        self.down.queue.clear()
        self.peer = self.peer + b"1"
        self.link.connection("disconnected", self.now)
        self.link.connection("connected", self.now)
        self.exchange.lost()

    def of_kind(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.at_master if isinstance(each, kind)]

    @property
    def on_the_line(self) -> int:
        """Bytes in the fuller direction."""
        lines = self.up.queue, self.down.queue
        return max(sum(frame_size(frame) for _, frames in line for frame in frames) for line in lines)

    def assigned(self) -> list[Parcel[Assign]]:
        return [each for each in self.at_slave if isinstance(each.message, Assign)]


def result(number: int, size: int = LARGE) -> Parcel[ChunkResults]:
    body = encode_results([PackedResult(bytes(size))])
    return Parcel(ChunkResults(1, number, [number], b"\0", 0.1), [body])


def assign(number: int, size: int = LARGE) -> Parcel[Assign]:
    return Parcel(Assign(1, number, 1, 1, 1, 1), [bytes(size)])


def chunks(messages: Sequence[Any]) -> list[int]:
    return [message.chunk for message in messages]
