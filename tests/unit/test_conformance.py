"""Both policies keep what every scheduler has to keep; and one that does not is found out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from concurrence.component import Component
from concurrence.scheduling.api import ITaskScheduler, ITaskScheduleStrategy, SlaveView, SwarmState, WorkView
from concurrence.scheduling.generic import GenericTaskScheduler
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.pushpull import ZMQTaskScheduler
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.scheduling.strategies import (
    BestOfTwoStrategy,
    GenericTaskScheduleStrategy,
    LeastLoadedStrategy,
    RoundRobinStrategy,
)
from concurrence.testing import environment
from concurrence.testing.conformance import SchedulerConformance, StrategyConformance


class TestPushPull(SchedulerConformance):
    policy = ZMQTaskScheduler


class TestAimed(SchedulerConformance):
    policy = GenericTaskScheduler


class TestLeastLoaded(StrategyConformance):
    strategy = LeastLoadedStrategy


class TestRoundRobin(StrategyConformance):
    strategy = RoundRobinStrategy


class TestBestOfTwo(StrategyConformance):
    strategy = BestOfTwoStrategy


class TestByExpectedEnd(StrategyConformance):
    strategy = GenericTaskScheduleStrategy


class Careless(Component, ITaskScheduler, abstract=True):
    """Gives each slave what it has room for; the classes below forget one thing each."""

    @property
    def uses_work_queue(self) -> bool:
        return False

    def dispatch(self, swarm: SwarmState, now: float) -> None:
        while job := self.next_job(swarm):
            able = [slave for slave in swarm.registry.working() if self.is_able(swarm, slave, job)]
            spec = job.queue.head()
            if spec is None:
                swarm.set_aside(job)
            elif not able:
                swarm.hold(job, spec.resources, now)
            else:
                swarm.direct(swarm.form_chunk(job, swarm.roster.credit, now), able[0])

    def next_job(self, swarm: SwarmState) -> Job | None:
        return swarm.next_job()

    def is_able(self, swarm: SwarmState, slave: SlaveNodeRecord, job: Job) -> bool:
        return slave.room > 0 and swarm.can_run(slave, job)

    def claimed(self, swarm: SwarmState, slave: SlaveNodeRecord, chunks: Sequence[int], now: float) -> None:
        """Nothing is claimed."""

    def tick(self, swarm: SwarmState, now: float) -> None:
        """Nothing gets stuck."""


class Careful(Careless):
    pass


class IgnoresCredit(Careless):
    def is_able(self, swarm: SwarmState, slave: SlaveNodeRecord, job: Job) -> bool:
        return swarm.can_run(slave, job)


class IgnoresNeeds(Careless):
    def is_able(self, swarm: SwarmState, slave: SlaveNodeRecord, job: Job) -> bool:
        return slave.room > 0


class IgnoresFairness(Careless):
    def next_job(self, swarm: SwarmState) -> Job | None:
        there = swarm.next_job()
        return max((job for job in swarm.ledger.jobs.values() if job.queue.head()), default=there, key=urgency)


class ForgetsRetries(Careless):
    def is_able(self, swarm: SwarmState, slave: SlaveNodeRecord, job: Job) -> bool:
        return super().is_able(swarm, slave, job) and job.queue.head_attempt() == 1


def urgency(job: Job) -> int:
    spec = job.queue.head()
    return spec.priority if spec is not None else 0


def judge(policy: type[Component], test: str) -> None:
    """Run one test of the suite."""
    suite = type("Suite", (SchedulerConformance,), {"policy": policy})()
    with environment(policy) as opened:
        setattr(suite, "_environment", opened)  # noqa: B010  what its fixture does
        getattr(suite, test)()


@pytest.mark.parametrize(
    ("policy", "test"),
    [
        (IgnoresCredit, "test_what_is_sent_and_queued_stays_within_the_credit"),
        (IgnoresNeeds, "test_labels_lead_to_the_slaves_that_have_them"),
        (IgnoresNeeds, "test_a_task_has_the_workers_that_it_needs"),
        (IgnoresFairness, "test_clients_share_fairly_before_any_priority"),
        (ForgetsRetries, "test_what_fails_is_tried_again_as_often_as_it_may"),
        (ForgetsRetries, "test_what_a_lost_slave_had_runs_elsewhere_and_late_results_do_not_count"),
    ],
)
def test_who_forgets_something_is_found_out(policy: type[Component], test: str) -> None:
    judge(Careful, test)
    with pytest.raises(AssertionError):
        judge(policy, test)


class Divides(Component, ITaskScheduleStrategy):
    def rate(self, slave: SlaveView, work: WorkView) -> float:
        return slave.chunks / slave.workers


class Measures(Component, ITaskScheduleStrategy):
    def rate(self, slave: SlaveView, work: WorkView) -> float:
        return float("nan") if slave.task_seconds is None else slave.task_seconds


@pytest.mark.parametrize("strategy", [Divides, Measures])
def test_a_strategy_that_does_not_rate_everything_is_found_out(strategy: type[Component]) -> None:
    suite = type("Suite", (StrategyConformance,), {"strategy": strategy})()
    with environment(GenericTaskScheduler, strategy) as opened:
        setattr(suite, "_environment", opened)  # noqa: B010  what its fixture does
        with pytest.raises((AssertionError, ZeroDivisionError)):
            suite.test_it_rates_every_slave_for_every_work()
