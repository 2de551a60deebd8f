"""What waits at a master for a large message to one peer: kept in order, bounded, and no more than is news."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from swarm_story import hello, make_policy

from concurrence.errors import MessageTooLarge, ProtocolError
from concurrence.nodes.peer_traffic import MAX_WAITING, MAX_WAITING_OUTPUT, PeerTraffic
from concurrence.scheduling.api import Limits
from concurrence.scheduling.core import MasterCore
from concurrence.transport.api import Origin
from concurrence.transport.security import Role
from concurrence.wire.codec import Frame, Parcel, decoder_for_master, decoder_to_owner
from concurrence.wire.messages import (
    Cancel,
    Output,
    Piece,
    PieceTaken,
    Progress,
    PushAccepted,
    Results,
    SlaveList,
)
from concurrence.wire.pieces import WHOLE_BYTES, PieceReceiver

LIMIT = 16_000_000
LARGE = 15_000_000
PEER = b"1"
NOW = 100.0
NOBODY = "PeerTraffic(0 peers, 0 large messages come)"


class Master:
    """A master with a client, and what the client was sent."""

    def __init__(self) -> None:
        self.sent: list[list[Frame]] = []
        self.core = MasterCore(
            make_policy("GenericTaskScheduler"), Limits(), master="m" * 16, package="1", new_ticket=str
        )
        self.traffic = PeerTraffic(self.core, decoder_for_master(), LIMIT, self._send)
        greeting = Parcel(hello("client", "c", system=77))
        (whole,) = self.traffic.take(PEER, greeting, NOW)
        self.core.receive(PEER, whole, lambda: Origin(Role.CLIENT, "key", "10.0.0.1"), NOW)
        self._receiver = PieceReceiver(LIMIT)
        self._decoder = decoder_to_owner()

    def _send(self, peer: bytes, frames: Sequence[Frame]) -> bool:
        assert peer == PEER
        self.sent.append(list(frames))
        return True

    def says(self, *parcels: Parcel[Any]) -> bool:
        return self.traffic.send(PEER, parcels, NOW)

    def arrived(self) -> list[Any]:
        """What arrives when the client answers all pieces."""
        messages: list[Any] = []
        while self.sent:
            for parcel in self._decoder.decode(self.sent.pop(0)):
                if not isinstance(parcel.message, Piece):
                    messages.append(parcel.message)
                    continue
                whole = self._receiver.take(Parcel(parcel.message, parcel.frames))
                messages += [each.message for each in self._decoder.decode(whole)] if whole else []
                self.traffic.take(PEER, Parcel(PieceTaken(parcel.message.number)), NOW)
        return messages


@pytest.fixture
def master() -> Master:
    """One that is sending something large."""
    master = Master()
    assert master.says(results(1, LARGE))
    return master


def results(delivery: int, size: int = 20) -> Parcel[Results]:
    return Parcel(Results(1, delivery, 77, [delivery], b"\0", 0.0, "s", 1), [bytes(size)])


def progress(system: int, finished: int) -> Parcel[Progress]:
    return Parcel(Progress(system, finished=finished))


def output(text: str) -> Parcel[Output]:
    return Parcel(Output(77, None, "stdout", "s", text))


def test_results_that_end_meanwhile_wait_in_order(master: Master) -> None:
    """However many cycles the large one takes: their number is bounded by the windows of their owner."""
    count = MAX_WAITING + 10
    for number in range(2, count):
        assert master.says(results(number), Parcel(PushAccepted(number)))
    arrived = master.arrived()
    assert [each.delivery for each in arrived if isinstance(each, Results)] == list(range(1, count))
    assert [each.push for each in arrived if isinstance(each, PushAccepted)] == list(range(2, count))


def test_they_leave_together(master: Master) -> None:
    """Not as one message for each cycle in which there were some."""
    for number in range(2, 1_002):
        assert master.says(results(number))
    together: list[int] = []
    while master.sent:
        parcels = decoder_to_owner().decode(master.sent.pop(0))
        if isinstance(parcels[0].message, Piece):
            master.traffic.take(PEER, Parcel(PieceTaken(parcels[0].message.number)), NOW)
        else:
            together.append(len(parcels))
    assert together == [1_000]


def test_of_progress_the_newest_waits_behind_what_it_counts(master: Master) -> None:
    assert master.says(progress(77, 0), progress(78, 0), Parcel(SlaveList([])))
    for number in range(2, MAX_WAITING + 10):
        assert master.says(progress(77, number), Parcel(SlaveList([])))
    assert master.says(results(2), progress(77, 1_000_000))
    _, of_other, slaves, second, newest = master.arrived()
    assert of_other == Progress(78)
    assert isinstance(slaves, SlaveList)
    assert isinstance(second, Results)
    assert newest == Progress(77, finished=1_000_000)


def test_what_tasks_print_is_dropped_beyond_a_bound(master: Master) -> None:
    for number in range(MAX_WAITING_OUTPUT + 10):
        assert master.says(output(str(number)))
    assert master.says(results(2))
    arrived = master.arrived()
    texts = [each.text for each in arrived if isinstance(each, Output)]
    assert texts == list(map(str, range(MAX_WAITING_OUTPUT)))
    assert isinstance(arrived[-1], Results)
    assert master.says(results(3, LARGE), output("again"))
    assert master.arrived()[-1].text == "again", "there is room again"


def test_other_messages_are_bounded(master: Master) -> None:
    answer = Parcel(Cancel(1))
    assert all(master.says(answer) for _ in range(MAX_WAITING))
    assert not master.says(answer)


def test_what_must_not_travel_is_refused_when_it_is_said(master: Master) -> None:
    with pytest.raises(MessageTooLarge):
        master.says(results(2, LIMIT + 1))
    assert master.says(results(3))
    assert [each.delivery for each in master.arrived()] == [1, 3]


def test_a_greeting_begins_anew(master: Master) -> None:
    for number in range(MAX_WAITING):
        master.says(results(number), Parcel(Cancel(1)))
    master.sent.clear()
    master.traffic.take(PEER, Parcel(hello("client", "c", system=77)), NOW)
    assert master.says(results(1, LARGE))
    assert all(master.says(Parcel(Cancel(2))) for _ in range(MAX_WAITING))
    _, *others = master.arrived()
    assert others == [Cancel(2)] * MAX_WAITING


@pytest.mark.parametrize("is_coming", [False, True])
def test_a_peer_that_is_gone_is_forgotten(master: Master, is_coming: bool) -> None:
    if is_coming:
        master.traffic.take(PEER, Parcel(Piece(1, 1, [100]), [b"a"]), NOW)
    master.says(results(2))
    assert repr(master.traffic) == f"PeerTraffic(1 peers, {is_coming:d} large messages come)"
    master.traffic.forget(PEER)
    assert repr(master.traffic) == NOBODY


def test_of_strangers_nothing_is_kept() -> None:
    master = Master()
    master.core.unreachable(PEER, NOW)
    master.traffic.forget(PEER)
    for _ in range(3):
        assert master.says(output("x" * 100_000))
    assert len(master.sent) == 3
    assert WHOLE_BYTES < 300_000
    assert repr(master.traffic) == NOBODY


def test_after_a_greeting_nothing_that_came_before_goes_on(master: Master) -> None:
    assert master.traffic.take(PEER, Parcel(Piece(1, 1, [4]), [b"ab"]), NOW) == []
    master.traffic.take(PEER, Parcel(hello("client", "c", system=77)), NOW)
    with pytest.raises(ProtocolError, match="not the next one"):
        master.traffic.take(PEER, Parcel(Piece(1, 2), [b"cd"]), NOW)
