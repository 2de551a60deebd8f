"""What all parts of a simulation share."""

from __future__ import annotations

from random import Random

from concurrence.testing.simulation.api import Scenario
from concurrence.testing.simulation.network import Network
from concurrence.testing.simulation.story import Story
from concurrence.testing.simulation.timeline import Timeline
from concurrence.testing.simulation.workload import Workload


class World:
    """Time, chance, the network and the work.

    Args:
        scenario: What is simulated.

    Attributes:
        random: For everything but the network and the work, which have dice of their own: a change of one does not
            change the others.
        executed: Executions of tasks that began.
        useful: Seconds of workers in executions whose result counted.
        workers: Seconds for which workers were there.
        last_end: When a task ended last.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.random = Random(f"{scenario.seed} world")
        self.timeline = Timeline()
        self.story = Story(self.timeline, is_kept=scenario.check_every > 0)
        codec = scenario.codec or scenario.payload > 0  # sizes count then, and they are those of real messages
        random = Random(f"{scenario.seed} network")
        self.network = Network(self.timeline, random, codec=codec, bandwidth=scenario.bandwidth)
        self.workload = Workload(scenario, Random(f"{scenario.seed} workload"))
        self.executed = 0
        self.useful = 0.0
        self.workers = 0.0
        self.last_end = 0.0

    def identity(self) -> str:
        """A fresh id."""
        return f"{self.random.getrandbits(64):016x}"
