"""A master's core with peers made of words, and one of the two policies."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from concurrence.component import ComponentManager
from concurrence.env.config import Config
from concurrence.scheduling.api import ITaskScheduler
from concurrence.scheduling.generic import GenericTaskScheduler
from concurrence.scheduling.pushpull import ZMQTaskScheduler
from concurrence.scheduling.strategies import (
    BestOfTwoStrategy,
    GenericTaskScheduleStrategy,
    LeastLoadedStrategy,
    RoundRobinStrategy,
)
from concurrence.testing.driven import (
    SYSTEM,
    DrivenMaster,
    counters_of,
    definition,
    ends,
    fault_of,
    hello,
    machine,
)
from concurrence.testing.driven import DrivenOwner as Owner
from concurrence.testing.driven import DrivenPeer as Peer
from concurrence.testing.driven import DrivenSlave as Slave

__all__ = [
    "POLICIES",
    "SYSTEM",
    "Components",
    "Master",
    "Owner",
    "Peer",
    "Slave",
    "counters_of",
    "definition",
    "each_policy",
    "ends",
    "fault_of",
    "hello",
    "machine",
    "make_policy",
]

POLICIES = ["ZMQTaskScheduler", "GenericTaskScheduler"]


class Components(ComponentManager):
    """Built-in policies and strategies, and the options that choose among them."""

    def __init__(self, *overrides: str) -> None:
        super().__init__()
        self.config = Config.from_layers(environ={}, overrides=overrides)
        for component in (GenericTaskScheduleStrategy, LeastLoadedStrategy, RoundRobinStrategy, BestOfTwoStrategy):
            self.register(component)


def make_policy(name: str, *overrides: str) -> ITaskScheduler:
    """A scheduling policy with what it needs."""
    kinds = {"ZMQTaskScheduler": ZMQTaskScheduler, "GenericTaskScheduler": GenericTaskScheduler}
    return kinds[name](Components(*overrides))


@pytest.fixture(params=POLICIES)
def each_policy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test's masters have this policy; a story that uses it holds under both."""
    monkeypatch.setattr(Master, "policy", request.param)
    return request.param


class Master(DrivenMaster):
    """A master with the policy of the test."""

    policy: ClassVar[str] = "ZMQTaskScheduler"

    def __init__(self, *, durable: bool = True, scheduler: ITaskScheduler | None = None, **limits: Any) -> None:
        super().__init__(scheduler or make_policy(self.policy), durable=durable, **limits)
