"""What a slave names in its greeting after its connection broke, so that nothing runs twice without need."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from concurrence.nodes.slave_traffic import MAX_HELD_OUTPUT, MAX_PARTLY_SENT, SlaveTraffic
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import AttemptLost, ChunkResults, Output

HERE = {1: [10, 11], 2: [20]}
"""The chunks at the slave, with the tasks that are not answered."""


@pytest.fixture
def traffic() -> SlaveTraffic:
    return SlaveTraffic()


def say(traffic: SlaveTraffic, chunk: int, *counters: int) -> None:
    traffic.say(Parcel(ChunkResults(1, chunk, list(counters), bytes(len(counters)), 0.1), [b""]))


def held(traffic: SlaveTraffic) -> tuple[list[int], dict[int, list[int]]]:
    return traffic.held(HERE, HERE.get)


def test_what_is_here_and_what_waits_to_be_told(traffic: SlaveTraffic) -> None:
    say(traffic, 7, 70, 71)
    traffic.say(Parcel(Output(1, None, "stdout", "attic", "a line")))
    assert held(traffic) == ([1, 2, 7], {})


def test_of_what_was_partly_sent_the_tasks_that_are_not(traffic: SlaveTraffic) -> None:
    say(traffic, 1, 12, 13)
    say(traffic, 7, 70)
    say(traffic, 8, 80)
    traffic.take(list(HERE))
    say(traffic, 1, 14)
    say(traffic, 7, 71)
    assert held(traffic) == ([1, 2, 7], {1: [10, 11, 14], 7: [71]})


def test_a_manager_that_does_not_tell_has_all_of_it_run_again(traffic: SlaveTraffic) -> None:
    def unknown(chunk: int) -> Sequence[int] | None:
        return None

    say(traffic, 1, 12)
    traffic.take(list(HERE))
    assert traffic.held(HERE, unknown) == ([2], {})


def test_a_death_that_is_yet_to_be_told_is_told(traffic: SlaveTraffic) -> None:
    say(traffic, 7, 70)
    traffic.take(list(HERE))
    say(traffic, 7, 71)
    traffic.say(Parcel(AttemptLost(7, 72, "killed")))
    traffic.say(Parcel(AttemptLost(8, 80, "killed")))
    assert held(traffic) == ([1, 2, 7, 8], {})


def test_with_the_next_welcome_everything_is_settled(traffic: SlaveTraffic) -> None:
    say(traffic, 1, 12)
    traffic.take(list(HERE))
    traffic.welcomed(forgotten=False)
    assert held(traffic) == ([1, 2], {})


def test_while_nothing_can_be_sent_output_is_dropped_and_nothing_else(traffic: SlaveTraffic) -> None:
    line = Parcel(Output(1, None, "stdout", "attic", "a line"))
    say(traffic, 1, 12)
    for _ in range(MAX_HELD_OUTPUT - 1):
        traffic.say(line)
    traffic.trim()
    say(traffic, 2, 20)
    assert len(traffic.take(list(HERE))) == MAX_HELD_OUTPUT + 1
    say(traffic, 1, 13)
    for _ in range(MAX_HELD_OUTPUT):
        traffic.say(line)
    traffic.trim()
    (kept,) = traffic.take(list(HERE))
    assert isinstance(kept.message, ChunkResults)


def test_of_what_was_sent_before_only_what_is_still_here_is_remembered_for_ever(traffic: SlaveTraffic) -> None:
    say(traffic, 1, 12)
    traffic.take(list(HERE))
    for chunk in range(1_000, 1_000 + MAX_PARTLY_SENT):
        say(traffic, chunk, chunk)
        traffic.take(list(HERE))
    say(traffic, 1_000, 1)
    assert held(traffic) == ([1, 2, 1_000], {1: [10, 11]})
