"""The slaves and clients of a simulation as they come and go."""

from __future__ import annotations

from concurrence.scheduling.outbox import HostOrder
from concurrence.testing.simulation.checks import Checks
from concurrence.testing.simulation.client import SimulatedClient
from concurrence.testing.simulation.host import SimulatedHost
from concurrence.testing.simulation.master import SimulatedMaster
from concurrence.testing.simulation.slave import SimulatedSlave
from concurrence.testing.simulation.workload import SlavePlan
from concurrence.testing.simulation.world import World

_SHOWN = 12
_REPLACED_SECONDS = 0.5
_HOST_SECONDS = 0.05
_GRACE_SECONDS = 0.5


class Swarm:
    """Who is there.

    Args:
        world: What it is part of.
        master: The master.
        checks: What watches it.

    Attributes:
        slaves: Those that run.
        clients: All there ever were.
        hosts: The hosts of task systems that run, by system.
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
        self.hosts: dict[int, SimulatedHost] = {}
        master.hosting = self

    def join(self, plan: SlavePlan) -> SimulatedSlave:
        """A slave is started."""
        self._joined += 1
        slave = SimulatedSlave(self._world, f"slave {self._joined}", plan, lambda: self.master.queue, self._left)
        self.slaves.append(slave)
        return slave

    def _left(self, slave: SimulatedSlave) -> None:
        """A slave has ended, as it was to when nothing was left there; another one takes its place."""
        if slave in self.slaves:
            self._world.story.tell("{} has drained and ends", slave.name)
            self.slaves.remove(slave)
            self.quiet_since = max(self.quiet_since, self._world.timeline.now + _REPLACED_SECONDS)
            self._world.timeline.after(_REPLACED_SECONDS, self._replace, slave.plan)

    def _replace(self, plan: SlavePlan) -> None:
        self.join(plan)

    # --- hosts ---

    def start_host(self, order: HostOrder) -> None:
        """The master wants a host; its process takes a moment to start."""
        delay = _HOST_SECONDS * (1.0 + self._world.random.random())
        self._world.timeline.after(delay, self._start_host, (order, self.master.incarnations))

    def _start_host(self, wanted: tuple[HostOrder, int]) -> None:
        order, incarnation = wanted
        if incarnation != self.master.incarnations:
            return  # its master died before
        plan = self._world.workload.systems[order.system]
        self.hosts[order.system] = SimulatedHost(
            self._world, order, plan, self._checks.told, self._checks.system_told, self._host_exited
        )

    def stop_host(self, system: int) -> None:
        """A system has ended: its host goes, or is killed after a moment."""
        self._world.timeline.after(_GRACE_SECONDS, self._stop_host, system)

    def _stop_host(self, system: int) -> None:
        host = self.hosts.get(system)
        if host is not None:
            host.stop()
            self._host_exited(host, "it was killed")

    def kill_host(self, host: SimulatedHost) -> None:
        """Somebody kills a host."""
        host.stop()
        self._host_exited(host, "it was killed by signal 9")

    def _host_exited(self, host: SimulatedHost, how: str) -> None:
        if self.hosts.get(host.plan.work.system) is host:
            del self.hosts[host.plan.work.system]
            self._world.story.tell("{} ends: {}", host.name, how)
            self.master.host_exited(host.plan.work.system, how)

    # --- clients and the master ---

    def gone(self, client: SimulatedClient) -> None:
        """A client ends before its tasks: from now on not all have work."""
        self._checks.note_shares()
        self._world.story.tell("{} ends with {} tasks unfinished", client.name, client.work.left)

    def restart_master(self) -> None:
        """The master's process is killed and started again, and knows nothing."""
        self.master.start()
        for host in self.hosts.values():
            host.stop()  # with their master
        self.hosts.clear()
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
        lines += [f"  {host!r}" for host in self.hosts.values()]
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
