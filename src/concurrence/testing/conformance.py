"""What every part of a kind has to keep: classes of tests for its author to inherit. Concurrent's own parts pass.

.. code-block:: python

    class TestMine(SchedulerConformance):
        policy = MyScheduler


    class TestMyTransport(TransportConformance):
        transport = MyTransport

They need pytest.
"""

from __future__ import annotations

from concurrence.testing.manager_conformance import TaskManagerConformance
from concurrence.testing.scheduler_conformance import SchedulerConformance
from concurrence.testing.strategy_conformance import StrategyConformance
from concurrence.testing.transport_conformance import TransportConformance

__all__ = ["SchedulerConformance", "StrategyConformance", "TaskManagerConformance", "TransportConformance"]
