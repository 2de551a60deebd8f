"""What tests of the simulator share."""

from __future__ import annotations

import pytest

from concurrence.component import Component
from concurrence.scheduling.generic import GenericTaskScheduler
from concurrence.scheduling.pushpull import ZMQTaskScheduler
from concurrence.scheduling.strategies import (
    GenericTaskScheduleStrategy,
    LeastLoadedStrategy,
    RoundRobinStrategy,
)


@pytest.fixture
def components() -> list[type[Component]]:
    """The built-in policies and strategies."""
    return [
        GenericTaskScheduler,
        ZMQTaskScheduler,
        GenericTaskScheduleStrategy,
        LeastLoadedStrategy,
        RoundRobinStrategy,
    ]
