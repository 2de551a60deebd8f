"""What every schedule strategy has to keep; see :mod:`concurrence.testing.conformance`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import pytest

from concurrence.component import Component, identity
from concurrence.scheduling.api import ITaskScheduleStrategy, SlaveView, WorkView
from concurrence.scheduling.generic import GenericTaskScheduler
from concurrence.testing.api import environment
from concurrence.testing.scheduler_conformance import SchedulerConformance


class StrategyConformance(SchedulerConformance):
    """Inherit it under a name that begins with ``Test``, and say which strategy.

    With it the scheduler for slaves of different speed has to keep all that every scheduler has to keep. So it is
    for strategies that let every kind of work run somewhere: one that refuses all slaves has it wait.

    Attributes:
        strategy: The strategy's class.
        components: Further components that it needs.
        overrides: Options, as texts ``section.name=value``.
    """

    policy = GenericTaskScheduler
    strategy: ClassVar[type[Component]]
    components: ClassVar[Sequence[type[Component]]] = ()
    overrides: ClassVar[Sequence[str]] = ()

    @pytest.fixture(autouse=True)
    def _with_environment(self) -> Iterator[None]:
        chosen = f"generictaskscheduler.strategy={identity(self.strategy)}"
        with environment(
            self.policy, self.strategy, *self.components, overrides=(*self.overrides, chosen)
        ) as opened:
            self._environment = opened
            yield

    def test_it_rates_every_slave_for_every_work(self) -> None:
        """A number, never ``nan``, for whatever is known of a slave and of the work, and no exception."""
        strategy = self._environment.component(self.strategy)
        assert isinstance(strategy, ITaskScheduleStrategy)
        assert strategy.draws >= 0
        slaves = [
            SlaveView("attic", workers, chunks, backlog, labels, speed, seconds, turn)
            for workers, chunks, backlog, labels, speed, seconds, turn in itertools.product(
                (0, 1, 64), (0, 200), (0.0, 1e6), ({}, {"gpu": 1.0}), (0.0, 5.0), (None, 0.0, 3.0), (0, 7)
            )
        ]
        works = [
            WorkView(1, name, tasks, seconds, speed, resources, priority)
            for name, tasks, seconds, speed, resources, priority in itertools.product(
                ("", "square"), (1, 10**6), (None, 0.0, 0.1), (0.0, 4.0), ((), (("gpu", 1.0),)), (-1, 9)
            )
        ]
        for slave, work in itertools.product(slaves, works):
            assert not math.isnan(float(strategy.rate(slave, work)))
