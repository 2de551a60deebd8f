"""A node and its master over a slow line, in words: large messages, what passes by them, and what breaks them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest
from swarm_story import hello, machine, make_policy

from concurrence.errors import MessageTooLarge, ProtocolError
from concurrence.nodes.exchange import Exchange
from concurrence.nodes.master_link import LinkEvent, MasterLink
from concurrence.nodes.peer_traffic import MAX_WAITING, PeerTraffic
from concurrence.nodes.sending import smaller_results
from concurrence.scheduling.api import Limits
from concurrence.scheduling.core import MasterCore
from concurrence.transport.api import Origin
from concurrence.transport.security import Role
from concurrence.wire.codec import (
    Frame,
    Parcel,
    decoder_for_master,
    decoder_to_slave,
    encode,
    encode_results,
    frame_size,
)
from concurrence.wire.messages import (
    Assign,
    ChunkResults,
    Claimed,
    Hello,
    PackedResult,
    Piece,
    PieceTaken,
    Ping,
    Pong,
    Refusal,
    TakeBack,
    Welcome,
)
from concurrence.wire.pieces import FIRST_WINDOW, PIECE_BYTES

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
        self.is_dead = False

    def put(self, peer: bytes, frames: Sequence[Frame]) -> bool:
        self.queue.append((peer, list(frames)))
        return True

    def arriving(self) -> list[tuple[bytes, list[Frame]]]:
        self.budget = self.budget + RATE * STEP if self.queue else 0.0
        arrived: list[tuple[bytes, list[Frame]]] = []
        while self.queue and sum(map(frame_size, self.queue[0][1])) <= self.budget:
            self.budget -= sum(map(frame_size, self.queue[0][1]))
            arrived.append(self.queue.popleft())
        return [] if self.is_dead else arrived


class Story:
    """A master, and a slave on a slow line."""

    max_frame_bytes = LIMIT

    def __init__(self) -> None:
        self.now = 100.0
        self.up, self.down = Line(), Line()
        self.peer = b"1"
        self.at_master: list[Any] = []
        self.at_slave: list[Parcel[Any]] = []
        self.to_say: list[Parcel[Any]] = []
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
        return self.up.put(self.peer, frames)

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

    def assigned(self) -> list[Parcel[Assign]]:
        return [each for each in self.at_slave if isinstance(each.message, Assign)]


def result(number: int, size: int = LARGE) -> Parcel[ChunkResults]:
    body = encode_results([PackedResult(bytes(size))])
    return Parcel(ChunkResults(1, number, [number], b"\0", 0.1), [body])


def assign(number: int, size: int = LARGE) -> Parcel[Assign]:
    return Parcel(Assign(1, number, 1, 1, 1, 1), [bytes(size)])


def chunks(messages: Sequence[Any]) -> list[int]:
    return [message.chunk for message in messages]


def test_a_result_takes_five_leases() -> None:
    story = Story().ready()
    story.to_say = [result(1)]
    story.until(lambda: story.of_kind(ChunkResults))
    assert story.events == []
    assert not story.of_kind(Hello)
    assert story.is_known


def test_a_chunk_takes_five_leases() -> None:
    story = Story().ready()
    story.core.outbox.send(story.peer, assign(1))
    story.until(story.assigned)
    assert story.assigned()[0].frames == [bytes(LARGE)]
    assert story.events == []
    assert story.is_known


def test_both_at_once_many_times() -> None:
    """The answers to pieces pass by what leaves in pieces itself: else both ends would wait for each other."""
    story = Story().ready()
    for number in range(1, 5):
        story.to_say.append(result(number))
        story.core.outbox.send(story.peer, assign(number))
    story.until(lambda: len(story.of_kind(ChunkResults)) == len(story.assigned()) == 4, 1_000.0)
    assert chunks(story.of_kind(ChunkResults)) == [1, 2, 3, 4]
    assert chunks([each.message for each in story.assigned()]) == [1, 2, 3, 4]
    assert story.events == []


def test_what_is_said_later_comes_later_and_signs_of_life_pass_by() -> None:
    story = Story().ready()
    story.to_say = [result(1)]
    story.core.outbox.send(story.peer, assign(1))
    story.step()
    story.to_say = [result(2, 10)]
    for message in (Ping(7), TakeBack(1, kill=True)):
        story.core.outbox.send(story.peer, Parcel(message))
    story.until(lambda: any(isinstance(each.message, Ping) for each in story.at_slave))
    assert not story.assigned()
    story.until(lambda: len(story.of_kind(ChunkResults)) == 2 and len(story.at_slave) >= 3)
    kinds = [type(each.message) for each in story.at_slave if isinstance(each.message, Assign | TakeBack)]
    assert kinds == [Assign, TakeBack]
    assert chunks(story.of_kind(ChunkResults)) == [1, 2]


def test_an_answer_to_pieces_does_not_travel_within_a_large_message() -> None:
    """Else both ends could wait for each other's."""
    story = Story().ready()
    story.link.outgoing.append(PieceTaken(3))
    story.to_say = [result(1, PIECE_BYTES * 3)]
    story.exchange.send(story.collect, story.now)
    assert [type(parcel.message) for parcel in story.decoder.decode(story.up.queue[0][1])] == [PieceTaken]
    story.down.queue.clear()
    story.traffic.send(story.peer, [assign(1, PIECE_BYTES * 3), Parcel(PieceTaken(3))], story.now)
    assert [type(parcel.message) for parcel in decoder_to_slave().decode(story.down.queue[0][1])] == [PieceTaken]


def test_a_node_that_greets_again_is_not_sent_what_it_was_sent_before() -> None:
    story = Story().ready()
    story.core.outbox.send(story.peer, assign(1))
    story.step()
    story.core.outbox.send(story.peer, assign(2, 10))
    story.step()
    story.take(story.peer, encode([Parcel(story.hello(False))]))
    story.core.outbox.send(story.peer, assign(3))
    story.until(story.assigned)
    story.wait(2 * LEASE)
    assert chunks([each.message for each in story.assigned()]) == [3]


def test_a_welcome_does_not_wait_for_what_follows_it() -> None:
    """Its receiver would greet again meanwhile, and be sent everything again, for ever."""
    story = Story()
    follow = [assign(1), assign(2, 100_000)]
    story.until(lambda: story.core.swarm.registry.at(story.peer))
    welcome = Parcel(Welcome(1, "1", "m", True, 2.0, LEASE))
    story.down.queue.clear()
    story.traffic.send(story.peer, [welcome, *follow], story.now)
    story.until(lambda: story.link.ready, 1.0)
    story.until(lambda: len(story.assigned()) == 2)
    assert not story.of_kind(Hello)[1:]


def test_a_claim_passes_by_a_result_that_takes_long() -> None:
    story = Story().ready()
    story.to_say = [result(1)]
    story.step()
    story.to_say = [result(2, 10), Parcel(Claimed([7]))]
    story.until(lambda: story.of_kind(Claimed))
    assert not story.of_kind(ChunkResults)
    story.until(lambda: len(story.of_kind(ChunkResults)) == 2)


def test_a_node_answers_while_it_sends_much() -> None:
    story = Story().ready()
    story.to_say = [result(number) for number in range(1, 4)]
    story.step()
    story.core.outbox.send(story.peer, Parcel(Ping(7)))
    story.until(lambda: story.of_kind(Pong))
    assert len(story.of_kind(ChunkResults)) < 2


def test_few_pieces_are_under_way() -> None:
    story = Story().ready()
    story.to_say = [result(1)]
    most = 0
    while not story.of_kind(ChunkResults):
        story.step()
        most = max(most, sum(frame_size(frame) for _, frames in story.up.queue for frame in frames))
    assert PIECE_BYTES < most < (FIRST_WINDOW + 2) * PIECE_BYTES


def test_one_that_dies_in_the_middle_is_given_up_after_a_lease() -> None:
    story = Story().ready()
    story.to_say = [result(1)]
    story.wait(2 * LEASE)
    assert story.is_known
    story.up.is_dead = True
    story.wait(LEASE + 1.0)
    assert not story.is_known


def test_a_master_that_dies_in_the_middle_is_given_up_after_a_lease() -> None:
    story = Story().ready()
    story.to_say = [result(1)]
    story.wait(2 * LEASE)
    story.down.is_dead = True
    story.wait(LEASE / 2)
    assert story.events == []
    story.wait(LEASE / 2 + 1.0)
    assert story.events == [LinkEvent.LOST]


def test_after_a_loss_in_the_middle_both_begin_anew() -> None:
    story = Story().ready()
    story.to_say = [result(1)]
    story.core.outbox.send(story.peer, assign(1))
    story.wait(2 * LEASE)
    story.reconnect()
    story.ready()
    assert not story.exchange.is_blocked
    story.to_say = [result(2)]
    story.core.outbox.send(story.peer, assign(2))
    story.until(lambda: story.of_kind(ChunkResults) and story.assigned())
    assert chunks(story.of_kind(ChunkResults)) == [2]
    assert chunks([each.message for each in story.assigned()]) == [2]


def test_a_greeting_in_the_middle_of_a_connection_begins_anew() -> None:
    """As after the master gave the node up, and the node did not notice."""
    story = Story().ready()
    story.to_say = [result(1)]
    story.core.outbox.send(story.peer, assign(1))
    story.wait(LEASE)
    story.core.garbage(story.peer, ProtocolError("forget it"))
    story.core.outbox.messages.clear()  # it does not hear of that
    story.until(lambda: LinkEvent.LOST in story.events)
    story.until(lambda: story.link.ready)
    story.forget()
    story.to_say = [result(2)]
    story.core.outbox.send(story.peer, assign(2))
    story.until(lambda: story.of_kind(ChunkResults) and story.assigned())
    assert chunks(story.of_kind(ChunkResults)) == [2]
    assert chunks([each.message for each in story.assigned()]) == [2]


def test_a_greeting_that_is_repeated_drops_nothing_that_follows_it() -> None:
    story = Story()
    story.until(lambda: story.up.queue)
    (first,) = story.up.queue
    story.up.queue.append(first)  # the answer was late
    story.until(lambda: story.link.ready)
    story.to_say = [result(1)]
    story.until(lambda: story.of_kind(ChunkResults))
    assert story.events == [LinkEvent.READY]


def test_who_has_not_introduced_itself_sends_no_pieces() -> None:
    story = Story().ready()
    story.traffic.take(b"stranger", Parcel(Piece(1, 1, [100]), [b"x"]), story.now)
    (parcel,) = story.core.outbox.messages[b"stranger"]
    assert isinstance(parcel.message, Refusal)
    assert parcel.message.retry


def test_what_is_too_large_fails_alone() -> None:
    story = Story().ready()
    story.to_say = [result(1, 10), result(2, LIMIT), result(3, 10)]
    story.until(lambda: len(story.of_kind(ChunkResults)) == 3)
    assert chunks(story.of_kind(ChunkResults)) == [1, 2, 3]
    assert [message.statuses for message in story.of_kind(ChunkResults)] == [b"\0", b"\2", b"\0"]


def test_what_waits_for_a_large_message_is_bounded() -> None:
    story = Story().ready()
    assert story.traffic.send(story.peer, [assign(1)], story.now)
    small = [Parcel(TakeBack(1, kill=False))]
    assert all(story.traffic.send(story.peer, small, story.now) for _ in range(MAX_WAITING))
    assert not story.traffic.send(story.peer, small, story.now)


def test_pieces_within_pieces_are_refused() -> None:
    story = Story().ready()
    inner = encode([Parcel(Piece(1, 1, [2]), [b"ab"])])
    piece = Parcel(Piece(len(inner), 1, list(map(frame_size, inner))), inner)
    error = ProtocolError
    with pytest.raises(error):
        story.traffic.take(story.peer, piece, story.now)
    with pytest.raises(error):
        story.exchange.received(encode([piece]), story.now)


def test_results_that_are_told_one_by_one_keep_their_time() -> None:
    body = encode_results([PackedResult(b"1"), PackedResult(b"2")])
    whole = Parcel(ChunkResults(1, 7, [1, 2], b"\0\0", 3.0, cpu=2.0), [body])
    told = [each.message for each in smaller_results(whole, MessageTooLarge("it is too large"))]
    assert [(each.busy, each.cpu) for each in told if isinstance(each, ChunkResults)] == [(1.5, 1.0), (1.5, 1.0)]
    single = Parcel(ChunkResults(1, 7, [1], b"\0", 3.0, cpu=2.0), [encode_results([PackedResult(b"1")])])
    (alone,) = [each.message for each in smaller_results(single, MessageTooLarge("it is too large"))]
    assert isinstance(alone, ChunkResults)
    assert (alone.busy, alone.cpu) == (3.0, 2.0)
