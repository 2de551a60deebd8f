"""Messages over a socket pair: whole, in order, within limits; ends are told."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from concurrence.errors import MessageTooLarge, ProtocolError
from concurrence.wire.codec import Frame
from concurrence.workers.link import BlockingLink, LinkState, NonBlockingLink

Ends = tuple[NonBlockingLink, BlockingLink]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    slave, worker = NonBlockingLink(ours), BlockingLink(theirs)
    yield slave, worker
    slave.close()
    worker.close()


def plain(frames: list[Frame]) -> list[bytes]:
    return [bytes(frame) for frame in frames]


def test_small_messages_both_ways(ends: Ends) -> None:
    slave, worker = ends
    slave.send([b"header", b"", b"body"])
    slave.send([b"second"])
    assert plain(worker.receive() or []) == [b"header", b"", b"body"]
    assert plain(worker.receive() or []) == [b"second"]
    worker.send([b"a"])
    worker.send([b"b", memoryview(b"c")])
    assert [plain(message) for message in slave.receive()] == [[b"a"], [b"b", b"c"]]
    assert slave.receive() == []
    assert slave.state is LinkState.OPEN


def test_many_messages_of_all_sizes(ends: Ends) -> None:
    slave, worker = ends
    chance = random.Random(1)
    sizes = [0, 1, 100, 20_000, 65_535, 300_000, 3_000_000]
    messages = [[chance.randbytes(chance.choice(sizes)) for _ in range(chance.randint(1, 4))] for _ in range(100)]

    def echo() -> None:
        while (frames := worker.receive()) is not None:
            worker.send(frames)

    thread = threading.Thread(target=echo)
    thread.start()
    received: list[list[bytes]] = []
    sent = 0
    while len(received) < len(messages):
        if sent < len(messages) and not slave.wants_write:
            slave.send(messages[sent])
            sent += 1
        slave.flush()
        received += [plain(message) for message in slave.receive()]
    slave.close()
    thread.join(60)
    assert received == messages


def test_very_many_frames(ends: Ends) -> None:
    slave, worker = ends
    frames = [b"%d" % number for number in range(65_000)]
    thread = threading.Thread(target=lambda: worker.send(frames))
    thread.start()
    received: list[list[Frame]] = []
    while not received:
        received = slave.receive()
    thread.join(60)
    assert plain(received[0]) == frames


def test_arrays_of_other_items_are_sent_as_bytes(ends: Ends) -> None:
    slave, worker = ends
    numbers: Any = memoryview(struct.pack("<4d", 1, 2, 3, 4)).cast("d")
    worker.send([b"head", numbers])
    assert plain(slave.receive()[0])[1] == numbers.tobytes()


def test_what_the_kernel_does_not_take_is_kept(ends: Ends) -> None:
    slave, worker = ends
    slave.send([b"x" * 3_000_000])
    slave.send([b"after"])
    assert slave.wants_write
    received: list[list[bytes]] = []
    thread = threading.Thread(
        target=lambda: received.extend([plain(worker.receive() or []), plain(worker.receive() or [])])
    )
    thread.start()
    while slave.wants_write:
        slave.flush()
    thread.join(60)
    assert [len(message[0]) for message in received] == [3_000_000, 5]


def test_the_end_is_told_after_what_came_before_it(ends: Ends) -> None:
    slave, worker = ends
    worker.send([b"last words"])
    worker.close()
    slave.send([b"nobody reads this"])
    assert plain(slave.receive()[0]) == [b"last words"]
    slave.receive()
    assert slave.state is LinkState.ENDED
    slave.send([b"dropped"])
    assert not slave.wants_write


def test_a_worker_sees_its_slave_go(ends: Ends) -> None:
    slave, worker = ends
    slave.close()
    assert worker.receive() is None
    with pytest.raises(ConnectionError):
        worker.send([b"x"])


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack("<I", 0),
        struct.pack("<I", 2**31),
        struct.pack("<IQ", 1, 2**62),
        struct.pack("<IQQ", 2, 2**63, 2**63),
    ],
)
def test_announcements_beyond_the_limits_allocate_nothing(garbage: bytes) -> None:
    ours, theirs = socket.socketpair()
    link = NonBlockingLink(ours)
    theirs.sendall(garbage + b"\0" * 32)
    with pytest.raises(ProtocolError):
        link.receive()
    link.close()
    theirs.close()


def test_what_is_too_large_is_not_sent_at_all() -> None:
    ours, theirs = socket.socketpair()
    link, other = BlockingLink(ours, limit=1_000), NonBlockingLink(theirs)
    with pytest.raises(MessageTooLarge):
        link.send([b"x" * 600, b"y" * 600])
    link.send([b"fits"])
    assert [plain(message) for message in other.receive()] == [[b"fits"]]
    link.close()
    other.close()
