"""Every kind of swarm that a sample must run on: both policies, both transports, one slave or two, one killed.

A test of a sample takes the argument ``cluster`` with ``@on_every_cluster`` and lets it run the sample; what
came out is its own to check. The two clusters that differ most run always, the others are slow tests.
"""

from __future__ import annotations

import itertools
import signal
from typing import NamedTuple

import pytest
from faultkit import gone
from swarmkit import Program, Swarm, until

POLICIES = {
    "generic": ("masternode.task_scheduler=GenericTaskScheduler", "slavenode.task_manager=GenericTaskManager"),
    "pushpull": ("masternode.task_scheduler=ZMQTaskScheduler", "slavenode.task_manager=ZMQTaskManager"),
}
_ALWAYS = {("generic", "TCPTransport", 2, True), ("pushpull", "ZMQTransport", 1, False)}


class Cluster(NamedTuple):
    """One kind of swarm.

    Attributes:
        policy: Which scheduler and task manager: a key of POLICIES.
        transport: The name of the transport of all its processes.
        slaves: How many slaves, with one worker each, or two if it is alone.
        kills: Whether a slave is killed, with signal 9, while the sample is in the middle of its work.
    """

    policy: str
    transport: str
    slaves: int
    kills: bool

    def run(self, swarm: Swarm, app: str, *settings: str, middle: int = 1, seconds: float = 120.0) -> Program:
        """Run a sample to its end, which must be a good one.

        Args:
            swarm: The test's processes.
            app: The name of the application.
            settings: What is set for it.
            middle: How many tasks have ended when a slave is killed, if one is.
            seconds: How long it may take.
        """
        swarm.transport = self.transport
        scheduler, manager = POLICIES[self.policy]
        swarm.master(scheduler)
        names = ("attic", "cellar")[: self.slaves]
        slaves = [swarm.slave(name, manager, workers=3 - self.slaves) for name in names]
        run = swarm.run(app, *settings)
        if self.kills:
            until(lambda: _finished(swarm) >= middle or not run.runs, seconds, "a task to end")
            assert run.runs, f"it ended before a slave could be killed: {run}"
            workers = slaves[0].children()
            slaves[0].send(signal.SIGKILL)
            gone(*workers)
        assert run.finish(seconds) == 0, str(run)
        return run


def _finished(swarm: Swarm) -> int:
    return sum(node.finished for node in swarm.status().nodes if node.kind == "slave")


def _clusters() -> list[object]:
    made: list[object] = []
    for policy, transport, (slaves, kills) in itertools.product(
        POLICIES, ("ZMQTransport", "TCPTransport"), ((1, False), (2, False), (2, True))
    ):
        cluster = Cluster(policy, transport, slaves, kills)
        name = f"{policy}-{transport.removesuffix('Transport').lower()}-{slaves}{'-killed' if kills else ''}"
        made.append(pytest.param(cluster, id=name, marks=() if cluster in _ALWAYS else pytest.mark.slow))
    return made


on_every_cluster = pytest.mark.parametrize("cluster", _clusters())
