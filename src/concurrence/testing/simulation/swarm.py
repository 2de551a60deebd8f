"""The slaves and clients of a simulation as they come and go."""

from __future__ import annotations

from concurrence.testing.simulation.checks import Checks
from concurrence.testing.simulation.client import SimulatedClient
from concurrence.testing.simulation.master import SimulatedMaster
from concurrence.testing.simulation.slave import SimulatedSlave
from concurrence.testing.simulation.workload import SlavePlan
from concurrence.testing.simulation.world import World

_SHOWN = 12


class Swarm:
    """Who is there.

    Args:
        world: What it is part of.
        master: The master.
        checks: What watches it.

    Attributes:
        slaves: Those that run.
        clients: All there ever were.
        quiet_since: When the last fault was over, as far as is known; in the future if it is not.
    """

    def __init__(self, world: World, master: SimulatedMaster, checks: Checks) -> None:
        self.master = master
        self.slaves: list[SimulatedSlave] = []
        self.clients: list[SimulatedClient] = []
        self.quiet_since = 0.0
        self._world = world
        self._checks = checks
        self._joined = 0

    def join(self, plan: SlavePlan) -> SimulatedSlave:
        """A slave is started."""
        self._joined += 1
        slave = SimulatedSlave(self._world, f"slave {self._joined}", plan, lambda: self.master.queue)
        self.slaves.append(slave)
        return slave

    def gone(self, client: SimulatedClient) -> None:
        """A client ends before its tasks: from now on not all have work."""
        self._checks.note_shares()
        self._world.story.tell("{} ends with {} tasks unfinished", client.name, client.work.left)

    def restart_master(self) -> None:
        """The master's process is killed and started again, and knows nothing."""
        self.master.start()
        self._checks.restarted()
        for node in (*self.slaves, *self.clients):
            node.link.reset()
        for slave in self.slaves:
            if slave.pipe is not None:
                self.master.queue.reset(slave.pipe)

    def count_time(self) -> None:
        """The simulation is over."""
        for slave in self.slaves:
            slave.count_time()

    def explain(self, now: float, patience: float) -> str:
        """Why nothing goes on, as far as it can be seen: where the unfinished tasks are."""
        swarm = self.master.core.swarm
        lines = [f"no task ended for {patience:g} s, and nothing is wrong any more; at {now:.3f} s:"]
        lines += [f"  {client!r}" for client in self.clients if not client.is_gone]
        for job in swarm.ledger.jobs.values():
            head = job.queue.head()
            lines.append(f"  master: {job!r}, next {head}, eligible {swarm.eligible(job)}")
        known = list(swarm.ledger.assignments.values())
        lines += [f"  master: {assignment!r} since {assignment.at:.3f} s" for assignment in known[:_SHOWN]]
        if len(known) > _SHOWN:
            lines.append(f"  master: and {len(known) - _SHOWN} chunks more")
        unclaimed = list(swarm.unclaimed.items())[:_SHOWN]
        lines += [f"  master: chunk {chunk} unclaimed since {at:.3f} s" for chunk, at in unclaimed]
        for node in swarm.registry.slaves():
            lines.append(f"  master: {node!r} chunks {sorted(node.chunks)} credit {node.description.credit}")
        lines += [f"  {slave!r}" for slave in self.slaves[:_SHOWN]]
        return "\n".join(lines)
