"""How slaves are rated, and what the policy for heterogeneous swarms makes of it in virtual time."""

from __future__ import annotations

from collections import Counter
from math import inf

import pytest
from swarm_story import Master, machine, make_policy
from timed_story import TimedSwarm

from concurrence.component import ComponentManager
from concurrence.scheduling.api import SlaveView, WorkView
from concurrence.scheduling.strategies import (
    BestOfTwoStrategy,
    GenericTaskScheduleStrategy,
    LeastLoadedStrategy,
    RoundRobinStrategy,
)
from concurrence.testing.simulation.workload import SlavePlan

GENERIC = "GenericTaskScheduler"
MANAGER = ComponentManager()
EXPECTED = GenericTaskScheduleStrategy(MANAGER)


class TestExpectedCompletion:
    def test_no_workers_is_worst(self) -> None:
        for kind in (GenericTaskScheduleStrategy, LeastLoadedStrategy, RoundRobinStrategy, BestOfTwoStrategy):
            strategy = kind(MANAGER)
            assert strategy.rate(SlaveView("none", 0), WorkView(1)) == -inf

    def test_the_measured_rate_counts_more_than_the_speed_score(self) -> None:
        work = WorkView(1, task_seconds=1.0, speed=10.0)
        measured = SlaveView("a", 1, speed=1.0, task_seconds=0.5)
        assert EXPECTED.rate(measured, work) > EXPECTED.rate(SlaveView("b", 1, speed=15.0), work)

    def test_without_a_measurement_the_mean_is_scaled_by_speed(self) -> None:
        work = WorkView(1, task_seconds=1.0, speed=10.0)
        assert work.seconds_on(SlaveView("a", 1, speed=20.0)) == 0.5
        assert work.seconds_on(SlaveView("b", 1)) == 1.0, "no score"
        assert WorkView(1, task_seconds=1.0).seconds_on(SlaveView("c", 1, speed=20.0)) == 1.0
        assert WorkView(1).seconds_on(SlaveView("d", 1, speed=20.0)) is None

    def test_a_wait_counts_only_when_no_worker_is_idle(self) -> None:
        work = WorkView(1, task_seconds=1.0)
        free = SlaveView("free", 8, chunks=7, backlog=70.0, task_seconds=2.0)
        full = SlaveView("full", 8, chunks=8, backlog=80.0, task_seconds=1.0)
        assert (EXPECTED.rate(free, work), EXPECTED.rate(full, work)) == (-2.0, -11.0)

    def test_before_anything_is_measured_load_and_speed_decide(self) -> None:
        work = WorkView(1)
        views = [
            SlaveView("a", 2, 1, speed=10.0),
            SlaveView("b", 4, 1, speed=10.0),
            SlaveView("c", 2, 1, speed=30.0),
        ]
        assert [view.name for view in sorted(views, key=lambda each: -EXPECTED.rate(each, work))] == [
            "c",
            "b",
            "a",
        ]


def test_the_least_loaded_has_the_fewest_chunks_per_worker() -> None:
    rate = LeastLoadedStrategy(MANAGER).rate
    assert rate(SlaveView("a", 4, 4), WorkView(1)) > rate(SlaveView("b", 1, 2), WorkView(1))


def race(
    tasks: int, *seconds: float, strategy: str = "GenericTaskScheduleStrategy", policy: str = GENERIC
) -> tuple[float, list[int]]:
    """Equal tasks on slaves of one worker that take so many seconds for one; the time, and what each executed."""
    machines = [SlavePlan(1, 1.0 / each, 0.0) for each in seconds]
    swarm = TimedSwarm(policy, machines, f"generictaskscheduler.strategy={strategy}", checked=tasks <= 100)
    took = swarm.wait(swarm.push([1.0] * tasks))
    executed = [slave.executed.total() for slave in swarm.slaves]
    assert sum(executed) == tasks, "what is taken back has not run"
    return took, executed


class TestHeterogeneousSwarm:
    @pytest.mark.parametrize("second", [0.002, 0.05, 1.0])
    def test_a_slave_that_is_four_times_slower_gets_a_fifth(self, second: float) -> None:
        took, (fast, slow) = race(500, second, 4 * second)
        assert 80 <= slow <= 120
        assert fast + slow == 500
        bound = 500 * second / 1.25
        assert 0.999 * bound <= took <= 1.1 * bound

    @pytest.mark.parametrize("tasks", [1, 2, 3, 5, 8, 13])
    def test_the_end_does_not_wait_for_the_slow_one(self, tasks: int) -> None:
        # Measured by now: what is left is a matter of who should have it.
        took, _ = race(100 + tasks, 0.1, 1.0)
        bound = (100 + tasks) * 0.1 / 1.1
        assert took <= bound + 0.1 * 2 + 0.25

    def test_what_waits_at_the_slow_slave_is_taken_back(self) -> None:
        # Cold: nothing is measured yet when the slow slave is given two tasks, and one has to wait for 10 s.
        took, executed = race(4, 0.1, 10.0)
        assert executed == [3, 1]
        assert took == pytest.approx(10.0, abs=0.5)

    def test_equal_slaves_share_equally(self) -> None:
        took, executed = race(400, 0.01, 0.01, 0.01, 0.01)
        assert max(executed) - min(executed) <= 20
        assert took <= 1.25 * 1.0

    def test_it_beats_the_work_queue_at_the_end(self) -> None:
        assert race(21, 0.01, 0.2)[0] < 0.6 * race(21, 0.01, 0.2, policy="ZMQTaskScheduler")[0]


class TestOtherStrategies:
    def test_round_robin_gives_to_all_in_turn(self) -> None:
        took, executed = race(90, 0.01, 0.01, 0.01, strategy="RoundRobinStrategy")
        assert max(executed) - min(executed) <= 12
        assert took <= 0.45

    def test_the_best_of_two_shares_almost_evenly(self) -> None:
        took, executed = race(400, *[0.01] * 8, strategy="BestOfTwoStrategy")
        assert max(executed) - min(executed) <= 10
        assert took <= 0.65

    def test_draws_are_the_same_for_the_same_seed(self) -> None:
        first, again, other = (self.drawn(seed) for seed in (1, 1, 2))
        assert first == again != other
        assert len(set(first)) > 5

    @staticmethod
    def drawn(seed: int) -> list[str | None]:
        """To whom the first chunks go, of ten slaves that are alike."""
        words = ["generictaskscheduler.strategy=BestOfTwoStrategy", f"generictaskscheduler.seed={seed}"]
        master = Master(scheduler=make_policy(GENERIC, *words))
        client = master.client()
        for number in range(10):
            master.slave(f"{number}", machine(2, 4))
        client.define()
        client.push(1, range(20))
        chunks = sorted(master.ledger.assignments.items())
        loads: Counter[str | None] = Counter(assignment.slave for _, assignment in chunks)
        assert max(loads.values()) <= 4
        return [assignment.slave for _, assignment in chunks]

    @pytest.mark.parametrize("strategy", ["RoundRobinStrategy", "LeastLoadedStrategy", "BestOfTwoStrategy"])
    def test_all_of_them_finish_on_unequal_slaves(self, strategy: str) -> None:
        assert race(60, 0.01, 0.3, strategy=strategy)[0] < 1.5
