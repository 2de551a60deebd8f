"""How long a run took: from the first push to the arrival of the last end, with handlers in between."""

from __future__ import annotations

import pytest

from concurrence.nodes.owner_channel import Notification
from concurrence.nodes.rest import Rest
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Results

NEWS = Parcel(Results(1, 1, 1, [1], b"\0", 0.0), [b""])


class Clock:
    """A clock that goes on when the test says so, and a channel on which results arrive at times of it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.arrived = 0.0
        self.due: list[float] = []
        self.rest = Rest(self, clock=lambda: self.now)

    def receive(self, timeout: float | None) -> Notification | None:
        """What has arrived or arrives next; without any it waits for ten seconds."""
        self.arrive()
        if not self.due:
            self.now += 10.0
            return None
        at = self.due.pop(0)
        self.now = max(self.now, at)
        self.arrived = max(self.arrived, at)
        return NEWS

    def arrive(self) -> None:
        """The other thread stamps what has come by now, handled or not."""
        self.arrived = max([self.arrived, *(at for at in self.due if at <= self.now)])


def test_what_the_client_does_before_the_first_push_and_after_the_last_end_is_none_of_the_runs_time() -> None:
    clock = Clock()
    clock.now += 50.0  # it prepares something
    clock.rest.begin()
    clock.due = [155.0]
    clock.now += 1.0  # the rest of its start
    assert clock.rest.until(None) is NEWS
    clock.now += 7.0  # it compares what came back
    taken = clock.rest.taken(started=100.0, is_over=True)
    assert (taken.wall, taken.work, taken.after) == pytest.approx((5.0, 1.0, 7.0))


def test_a_handler_in_the_middle_counts() -> None:
    clock = Clock()
    clock.rest.begin()
    clock.due = [102.0, 120.0]
    clock.rest.until(None)
    clock.now += 10.0  # the swarm has nothing to do meanwhile
    clock.rest.begin()  # a second push is not the first
    clock.rest.until(None)
    clock.now += 3.0
    taken = clock.rest.taken(started=100.0, is_over=True)
    assert (taken.wall, taken.work, taken.after) == pytest.approx((20.0, 10.0, 3.0))


def test_slow_handlers_of_what_has_arrived_do_not_hold_up_the_swarm() -> None:
    clock = Clock()
    clock.rest.begin()
    clock.due = [102.0, 103.0, 104.0]
    for _ in range(3):
        clock.rest.until(None)
        clock.now += 10.0
    clock.rest.until(1.0)  # nothing more comes
    taken = clock.rest.taken(started=100.0, is_over=True)
    assert (taken.wall, taken.work) == pytest.approx((4.0, 2.0))


def test_of_an_unfinished_run_all_counts() -> None:
    clock = Clock()
    clock.rest.begin()
    clock.due = [102.0]
    clock.rest.until(None)
    clock.now += 5.0
    taken = clock.rest.taken(started=100.0, is_over=False)
    assert (taken.wall, taken.work, taken.after) == pytest.approx((7.0, 5.0, 0.0))


def test_without_any_push_it_is_the_time_of_the_application() -> None:
    clock = Clock()
    clock.now += 5.0
    taken = clock.rest.taken(started=101.0, is_over=True)
    assert (taken.wall, taken.work, taken.after) == pytest.approx((4.0, 4.0, 0.0))
