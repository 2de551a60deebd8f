"""The promises that a simulation checks: after each turn of the master, at each end of a task, and at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from concurrence.errors import TaskCancelled, TaskError
from concurrence.scheduling.ledger.jobs import Job
from concurrence.testing.simulation.api import Report, Violation
from concurrence.testing.simulation.client import SimulatedClient
from concurrence.testing.simulation.master import SimulatedMaster
from concurrence.testing.simulation.owner import SimulatedOwner
from concurrence.testing.simulation.workload import FAILS, FAILS_ONCE, ClientTasks, SystemPlan
from concurrence.testing.simulation.world import World
from concurrence.wire import faults
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Assign, Message, Results

_TASKS_A_TURN = 200


class Checks:
    """Watches the master and hears of all ends.

    Args:
        world: What it is part of.

    Attributes:
        was_restarted: Whether the master forgot everything at some time.
    """

    def __init__(self, world: World) -> None:
        self.was_restarted = False
        self.finished = self.failed = self.cancelled = self.systems = 0
        self.snapshot: list[float] | None = None
        self._world = world
        self._every = world.scenario.check_every
        self._next = 0
        self._delivered: dict[int, tuple[Job, int, bytearray]] = {}
        self._directed: dict[str, set[int]] = {}

    # --- the master ---

    def watch(
        self,
        master: SimulatedMaster,
        outgoing: dict[bytes, list[Parcel[Message]]],
        work: list[Parcel[Assign]],
    ) -> None:
        """Look at the master at the end of a cycle."""
        if not self._every:
            return
        swarm = master.core.swarm
        if master.cycles >= self._next:
            unfinished = sum(len(job.tasks) for job in swarm.ledger.jobs.values())
            self._next = master.cycles + self._every * (1 + unfinished // _TASKS_A_TURN)
            swarm.ledger.sanity_check()
        if work:
            credit = sum(slave.description.credit for slave in swarm.registry.slaves())
            if len(swarm.unclaimed) > credit:
                text = f"{len(swarm.unclaimed)} chunks are unclaimed, and the credit of all slaves is {credit}"
                raise Violation(text)
        for peer, parcels in outgoing.items():
            for parcel in parcels:
                if isinstance(parcel.message, Results):
                    self._check_delivery(parcel.message, swarm.ledger.jobs)
            if any(isinstance(parcel.message, Assign) for parcel in parcels):
                self._check_credit(master, peer, parcels)

    def restarted(self) -> None:
        """The master forgot everything: what it delivers begins anew."""
        self.was_restarted = True
        self._delivered.clear()
        self._directed.clear()

    def _check_credit(self, master: SimulatedMaster, peer: bytes, parcels: Sequence[Parcel[Any]]) -> None:
        swarm = master.core.swarm
        node = swarm.registry.at(peer)
        slave = swarm.registry.slave(node.id if node is not None else None)
        if slave is None:
            return
        directed = self._directed.setdefault(slave.id, set())
        directed.update(parcel.message.chunk for parcel in parcels if isinstance(parcel.message, Assign))
        assignments = swarm.ledger.assignments
        directed &= {chunk for chunk in directed if chunk in assignments and assignments[chunk].slave == slave.id}
        if len(directed) > slave.description.credit:
            raise Violation(
                f"{len(directed)} chunks were sent to {slave.name}, which announced a credit of "
                f"{slave.description.credit}: {sorted(directed)}"
            )

    def _check_delivery(self, message: Results, jobs: dict[int, Job]) -> None:
        tasks = self._world.workload.by_system[message.system]
        job = jobs.get(message.system)
        if job is None:
            return  # its system was closed in the same turn: nobody is told any more
        known, newest, told = self._delivered.get(message.system, (None, 0, bytearray()))
        if known is not job:  # its client was forgotten, and came again with what it had heard nothing of
            newest, told = 0, bytearray(tasks.count)
        if message.delivery <= newest:
            return  # again, after a reconnect
        for counter in message.counters:
            if told[counter]:
                raise Violation(f"the master ended task {counter} of system {message.system:x} twice")
            told[counter] = 1
        self._delivered[message.system] = (job, message.delivery, told)

    # --- the owners ---

    def told(self, client: SimulatedOwner, number: int, result: Any, error: TaskError | None) -> None:
        """An owner's handler hears of the end of a task."""
        tasks = client.work
        if tasks.ended[number]:
            raise Violation(f"{client.name} heard twice of the end of task {number}")
        tasks.ended[number] = 1
        tasks.left -= 1
        tasks.client.served += tasks.seconds[number]
        self._world.last_end = self._world.timeline.now
        if error is None:
            self.finished += 1
            if result != number:
                raise Violation(f"task {number} of {client.name} has the result of task {result}")
            if not tasks.completed[number]:
                raise Violation(f"task {number} of {client.name} finished, and never ran to its end")
        elif isinstance(error, TaskCancelled):
            self.cancelled += 1
            if number not in tasks.cancelled:
                raise Violation(f"task {number} of {client.name} was cancelled, and nobody wanted that")
        else:
            self.failed += 1
            self._check_failure(client, tasks, number, error)
        if tasks.left == 0 and tasks.client is tasks:
            self.note_shares()

    def system_told(self, owner: SimulatedOwner, plan: SystemPlan, result: Any, error: TaskError | None) -> None:
        """An owner's handler hears of the end of a task system; that it hears so once is seen to by the owner."""
        self._world.last_end = self._world.timeline.now
        what = f"{plan.name} of {owner.name}"
        if error is None:
            self.systems += 1
            if result != (plan.number, 0):
                raise Violation(f"{what} has the result {result}: of another one, or before all its tasks ended")
            return
        is_excused = plan.is_cancelled or plan.was_lost or self.was_restarted or owner.was_silent
        if not is_excused:
            raise Violation(f"{what} failed for no reason: {error.kind}: {error}")

    def _check_failure(self, client: SimulatedOwner, tasks: ClientTasks, number: int, error: TaskError) -> None:
        group = tasks.group_of(number)
        what = f"task {number} of {client.name}"
        if error.kind == faults.KIND_EXCEPTION:
            if tasks.fates[number] not in (FAILS, FAILS_ONCE):
                raise Violation(f"{what} failed, and does not raise")
            if tasks.tries[number] <= group.max_retries and tasks.fates[number] == FAILS:
                raise Violation(f"{what} failed after {tasks.tries[number]} of {1 + group.max_retries} attempts")
        elif error.kind == faults.KIND_TIMEOUT:
            if group.timeout is None:
                raise Violation(f"{what} took too long, and has no time-out")
        elif error.kind == faults.KIND_WORKER:
            if tasks.deaths[number] < 3:
                died = tasks.deaths[number]
                raise Violation(f"{what} is said to have killed 3 workers, and {died} died while it was running")
        elif error.kind != faults.KIND_LOST or not (self.was_restarted or client.was_silent):
            raise Violation(f"{what} failed for no reason: {error.kind}: {error}")

    def note_shares(self) -> None:
        """From now on not all clients have work: what each got is compared up to here."""
        if self.snapshot is None:
            self.snapshot = _shares(self._world)

    # --- the end ---

    def check_end(self, master: SimulatedMaster, clients: Sequence[SimulatedClient]) -> None:
        """All is done, and long enough ago: nothing is left behind.

        Raises:
            Violation: Something is.
        """
        swarm = master.core.swarm
        swarm.ledger.sanity_check()
        if swarm.ledger.assignments:
            raise Violation(f"all tasks ended, and chunks are left: {list(swarm.ledger.assignments.values())}")
        if swarm.unclaimed:
            raise Violation(f"all tasks ended, and chunks are unclaimed: {list(swarm.unclaimed)}")
        for slave in swarm.registry.slaves():
            if slave.chunks:
                held = sorted(slave.chunks)
                raise Violation(f"all tasks ended, and the master believes {slave.name} has {held}")
        alive = {client.work.system for client in clients if not client.is_gone}
        for job in swarm.ledger.jobs.values():
            if job.function:
                raise Violation(f"all ended, and the job of a task system is kept: {job}")
            if job.system not in alive:
                raise Violation(f"the client of {job} is gone, and its job is kept")
            if job.tasks:
                raise Violation(f"all tasks ended, and {job} keeps {len(job.tasks)}")
            owner = swarm.registry.owner(job.owner)
            if owner is not None and len(owner.deliveries):
                kept = len(owner.deliveries)
                raise Violation(f"{owner.name} handled everything, and {kept} deliveries are kept")


def fairness(served: Sequence[float]) -> float:
    """Jain's index: 1 if all got the same, 1/n if one of n got all."""
    squares = sum(each * each for each in served)
    return sum(served) ** 2 / (len(served) * squares) if squares > 0 else 1.0


def _shares(world: World) -> list[float]:
    """What each client got, by its weight."""
    return [client.served / client.weight for client in world.workload.clients]


def summarise(world: World, checks: Checks, master: SimulatedMaster, bound: float) -> Report:
    """What is reported whether or not something is wrong."""
    snapshot = checks.snapshot or _shares(world)
    executed = world.executed
    return Report(
        seed=world.scenario.seed,
        policy=world.scenario.policy,
        makespan=world.last_end,
        bound=bound,
        utilisation=world.useful / world.workers if world.workers > 0 else 0.0,
        fairness=fairness(snapshot),
        finished=checks.finished,
        failed=checks.failed,
        cancelled=checks.cancelled,
        systems=checks.systems,
        messages=world.network.messages,
        bytes=world.network.bytes,
        executed=executed,
        lost=max(0, executed - checks.finished),
        events=world.timeline.events,
        cycles=master.cycles,
    )
