"""Messages that are not large, but many, on a slow line: one after the other, they take as long as a large one."""

from __future__ import annotations

import pytest
from line_story import LARGE, Story, assign, chunks, result

from concurrence.wire.codec import Parcel, decoder_to_slave
from concurrence.wire.messages import (
    ChunkResults,
    Ping,
    Pong,
)
from concurrence.wire.pieces import FIRST_WINDOW, PIECE_BYTES, WHOLE_BYTES


@pytest.mark.parametrize(
    ("rate", "sizes"),
    [
        (30_000.0, [400_000]),  # one that is not large, on the thinnest line that is promised
        (30_000.0, [190_000] * 6),
        (30_000.0, [20_000] * 60),
        (1_000_000.0, [500_000] * 64),
        (30_000.0, [200] * 5_000),
    ],
)
def test_many_that_are_not_large_leave_together(rate: float, sizes: list[int]) -> None:
    """What is said behind them, as a ping, comes within a lease: both ends know that the other one lives."""
    story = Story(rate).ready()
    story.to_say = [result(number, size) for number, size in enumerate(sizes)]
    for number, size in enumerate(sizes):
        story.core.outbox.send(story.peer, assign(number, size))
    while len(story.of_kind(ChunkResults)) < len(sizes) or len(story.assigned()) < len(sizes):
        story.step()
        assert story.is_known
        assert story.events == []
        assert story.on_the_line < (FIRST_WINDOW + 2) * PIECE_BYTES
    assert chunks(story.of_kind(ChunkResults)) == list(range(len(sizes)))
    assert chunks([each.message for each in story.assigned()]) == list(range(len(sizes)))


def test_many_that_are_not_large_leave_one_after_the_other() -> None:
    story = Story(30_000.0).ready()
    for number in range(30):
        story.to_say.append(result(number, 100_000))
        story.core.outbox.send(story.peer, assign(number, 100_000))
        story.step()
    while len(story.of_kind(ChunkResults)) < 30 or len(story.assigned()) < 30:
        assert story.is_known
        assert story.events == []
        assert story.on_the_line < (FIRST_WINDOW + 2) * PIECE_BYTES
        story.step()
    assert chunks(story.of_kind(ChunkResults)) == list(range(30))
    assert chunks([each.message for each in story.assigned()]) == list(range(30))


def test_small_messages_are_answered_once_in_a_while() -> None:
    story = Story(1e9).ready()
    for number in range(400):
        story.to_say = [result(number, 1_000)]
        story.step()
    story.until(lambda: len(story.of_kind(ChunkResults)) == 400)
    assert len(story.taken) == 400_000 // WHOLE_BYTES


def test_signs_of_life_are_never_pieces() -> None:
    """Also when so much has left whole that whatever follows has to be."""
    story = Story(1e9).ready()
    story.to_say = [result(1, WHOLE_BYTES - 200)]
    story.step()
    story.link.outgoing += [Pong(number) for number in range(200)]
    story.down.queue.clear()
    story.traffic.send(story.peer, [assign(1, WHOLE_BYTES - 200)], story.now)
    story.traffic.send(story.peer, [Parcel(Ping(number)) for number in range(200)], story.now)
    _, (_, pings) = story.down.queue
    assert [parcel.message for parcel in decoder_to_slave().decode(pings)] == list(map(Ping, range(200)))
    story.until(lambda: story.of_kind(Pong))
    assert len(story.of_kind(Pong)) >= 200
    assert story.taken == []


def test_what_has_left_is_settled_when_it_has_come() -> None:
    """Of small messages nothing tells it, unless it is asked."""
    story = Story(30_000.0).ready()
    story.to_say = [result(1, 150_000), result(2, 10)]
    story.step()
    assert not story.exchange.is_blocked
    assert not story.exchange.settle(story.now)
    assert not story.exchange.settle(story.now)
    story.until(lambda: story.exchange.settle(story.now))
    assert chunks(story.of_kind(ChunkResults)) == [1, 2]
    assert len(story.taken) == 1, "it was asked once"
    assert story.exchange.settle(story.now), "and is not asked again"
    story.wait(1.0)
    assert len(story.taken) == 1


def test_who_asks_while_something_waits_loses_nothing_of_it() -> None:
    story = Story(30_000.0).ready()
    for number in range(30):
        story.to_say.append(result(number, 100_000))
        story.step()
        assert not story.exchange.settle(story.now)
    story.until(lambda: story.exchange.settle(story.now))
    assert chunks(story.of_kind(ChunkResults)) == list(range(30))


def test_what_keeps_a_line_busy_is_known() -> None:
    """Work that was not claimed is then waited for longer: not because many small results come."""
    story = Story(1e7).ready()
    for number in range(10):
        story.to_say = [result(number, 150_000)]
        story.core.outbox.send(story.peer, assign(number, 150_000))
        story.step()
    assert story.taken
    assert story.core.swarm.moving_at < 0
    story.to_say = [result(11, 1_000_000)]
    story.until(lambda: chunks(story.of_kind(ChunkResults))[-1] == 11)
    assert story.core.swarm.moving_at > 0
    story.core.swarm.moving_at = -1.0
    story.core.outbox.send(story.peer, assign(11, LARGE))
    story.until(lambda: chunks([each.message for each in story.assigned()])[-1] == 11)
    assert story.core.swarm.moving_at > 0
