"""Both task managers keep what every task manager has to keep, and one that does not is found out."""

from __future__ import annotations

import pytest

from concurrence.testing import environment
from concurrence.testing.conformance import TaskManagerConformance
from concurrence.testing.manager_conformance import DrivenManager
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Drain, TakeBack, ToSlave
from concurrence.workers.generic import GenericTaskManager
from concurrence.workers.zmq import ZMQTaskManager


class TestGeneric(TaskManagerConformance):
    manager = GenericTaskManager


class TestPulling(TaskManagerConformance):
    manager = ZMQTaskManager


class NeverDrains(GenericTaskManager):
    def handle(self, parcel: Parcel[ToSlave]) -> None:
        if not isinstance(parcel.message, Drain):
            super().handle(parcel)


class NeverGivesBack(GenericTaskManager):
    def handle(self, parcel: Parcel[ToSlave]) -> None:
        if not isinstance(parcel.message, TakeBack):
            super().handle(parcel)


@pytest.mark.parametrize(
    ("manager", "test"),
    [
        (NeverDrains, "test_one_that_drains_takes_nothing_and_works_again_when_told"),
        (NeverGivesBack, "test_what_has_not_started_is_given_back"),
    ],
)
def test_who_forgets_something_is_found_out(manager: type[GenericTaskManager], test: str) -> None:
    suite = TaskManagerConformance()
    with environment(manager, overrides=["taskmanager.workers=2"]) as opened:
        suite.slave = DrivenManager(opened.component(manager))
        try:
            with pytest.raises(AssertionError):
                getattr(suite, test)()
        finally:
            suite.slave.close()
