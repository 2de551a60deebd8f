"""Both policies keep what every scheduler has to keep; and one that does not is found out."""

from __future__ import annotations

import pytest

from concurrence.scheduling.generic import GenericTaskScheduler
from concurrence.scheduling.pushpull import ZMQTaskScheduler
from concurrence.testing.conformance import SchedulerConformance


class TestPushPull(SchedulerConformance):
    policy = ZMQTaskScheduler


class TestAimed(SchedulerConformance):
    policy = GenericTaskScheduler


@pytest.mark.parametrize("strategy", ["LeastLoadedStrategy", "RoundRobinStrategy", "BestOfTwoStrategy"])
class TestAimedByOtherStrategies(SchedulerConformance):
    policy = GenericTaskScheduler

    @pytest.fixture(autouse=True)
    def _choose(self, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self), "overrides", [f"generictaskscheduler.strategy={strategy}"])
