"""What the core does about slaves on which everything fails, and where tasks that failed run again. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.circuit import NOT_BEGUN, CircuitState
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Pause, TakeBack

PATIENCE_SECONDS = 1.0
"""A task that failed waits for so long for room on another slave."""


def succeeded(swarm: SwarmState, slave: SlaveNodeRecord, function: int, now: float) -> None:
    """A task of a function succeeded on a slave, which may tell something of those where it failed."""
    if swarm.functions.is_known(function) and swarm.outcomes.succeed(function, slave.id):
        for other in swarm.takers():
            if other is not slave and function in other.circuit.failing:
                _judge(swarm, other, now)
    if slave.circuit.succeed():
        swarm.outbox.tell(slave, "did well on trial and is given work again")
        swarm.outbox.send(slave.peer, Parcel(Pause(paused=False)))


def failed(swarm: SwarmState, slave: SlaveNodeRecord, function: int, now: float, *, begun: bool = True) -> None:
    """A chunk failed on a slave.

    Args:
        swarm: The state.
        slave: The slave.
        function: Whose tasks.
        now: The time.
        begun: Whether a task ran; if not, it is the slave that failed.
    """
    swarm.outcomes.fail(function, slave.id)
    slave.circuit.fail(now, function if begun else NOT_BEGUN)
    _judge(swarm, slave, now)


def rest_now(swarm: SwarmState, slave: SlaveNodeRecord) -> None:
    """Tell a slave that is given nothing to pull nothing, and to give back what has not begun."""
    if slave.circuit.is_closed:
        return
    swarm.outbox.send(slave.peer, Parcel(Pause(slave.circuit.describe(slave.heard))))
    for chunk in sorted(slave.chunks):
        swarm.outbox.send(slave.peer, Parcel(TakeBack(chunk, kill=False)))


def _judge(swarm: SwarmState, slave: SlaveNodeRecord, now: float) -> None:
    """Break the circuit of a slave if enough failed there that succeeds elsewhere."""

    def succeeds_elsewhere(function: int) -> bool:
        if function == NOT_BEGUN:
            return any(other is not slave for other in swarm.takers())
        others = (swarm.registry.slave(each) for each in swarm.outcomes.where(function) if each != slave.id)
        return any(other is not None and other.peer is not None and other.circuit.is_closed for other in others)

    begun = NOT_BEGUN not in slave.circuit.failing
    if not slave.circuit.judge(now, succeeds_elsewhere):
        return
    rest = slave.circuit.rested_at - now
    why = "all that ran there failed, and succeeds elsewhere" if begun else "its workers die before they begin"
    swarm.outbox.tell(slave, f"is given nothing for {rest:.0f} s, and then one chunk on trial: {why}")
    rest_now(swarm, slave)


def tick(swarm: SwarmState, now: float) -> None:
    """Time passes: slaves have rested; if none is left that is given work, all are."""
    slaves = swarm.registry.slaves()
    broken = [slave for slave in slaves if not slave.circuit.is_closed]
    for slave in broken:
        if len(broken) == len(slaves):
            slave.circuit.close()
            swarm.outbox.tell(slave, "is given work again, because there is no other slave")
            swarm.outbox.send(slave.peer, Parcel(Pause(paused=False)))
        else:
            slave.circuit.tick(now)


def give_trials(swarm: SwarmState, now: float) -> None:
    """Give each slave that has rested one task."""
    for slave in swarm.registry.slaves():
        if slave.circuit.state is not CircuitState.TRIAL or slave.chunks or not slave.workers:
            continue
        job = swarm.next_job(lambda job, slave=slave: swarm.can_run(slave, job))
        if job is not None:
            swarm.direct(swarm.take(job, 1, now), slave)


def elsewhere(
    swarm: SwarmState, job: Job, able: list[SlaveNodeRecord], slaves: Sequence[SlaveNodeRecord], now: float
) -> list[SlaveNodeRecord]:
    """Leave out the slave on which the next task of a job failed, if another one can have it, at once or soon.

    Args:
        swarm: The state.
        job: Whose next task.
        able: The slaves that could be given it now.
        slaves: All that are given work.
        now: The time.

    Returns:
        Those that should be; none if it should wait a moment for another one to have room.
    """
    if not job.failed_on:
        return able
    record = job.queue.head_record()
    shunned = job.failed_on.get(record.counter) if record is not None else None
    spec = job.queue.head()
    if shunned is None or spec is None:
        return able
    others = [slave for slave in able if slave.id != shunned]
    if others:
        job.shunned_since = None
        return others
    if not any(slave.id != shunned and slave.workers and slave.offers(spec.resources) for slave in slaves):
        return able
    if job.shunned_since is None:
        job.shunned_since = now
    return able if now - job.shunned_since >= PATIENCE_SECONDS else []
