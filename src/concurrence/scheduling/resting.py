"""What the core does about slaves on which everything fails, and where tasks that failed run again. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.circuit import NOT_BEGUN, CircuitState
from concurrence.scheduling.ledger.jobs import FailedOn, Job
from concurrence.scheduling.load import Needs
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Pause, TakeBack

PATIENCE_SECONDS = 1.0
"""A task that failed waits for so long for room on another slave."""

_LOOK_SECONDS = 0.1  # how often it is looked for meanwhile

_VAIN_SEARCHES = 8  # so many slaves on trial may find nothing in one cycle: each looks through all that waits


# --- slaves on which everything fails ---


def succeeded(swarm: SwarmState, slave: SlaveNodeRecord, function: int, now: float) -> None:
    """A task of a function succeeded on a slave, which may tell something of those where it failed."""
    if swarm.functions.is_known(function) and swarm.outcomes.succeed(function, slave.id):
        for other in swarm.roster.connected.all():
            if other is not slave and function in other.circuit.failing:
                _judge(swarm, other, now)
    if slave.circuit.succeed():
        swarm.outbox.tell(slave, "did well on trial and is given work again")
        _work_again(swarm, slave)


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


def lost(swarm: SwarmState, slave: SlaveNodeRecord) -> None:
    """A slave is gone."""
    swarm.outcomes.forget_slave(slave.id)
    swarm.resting.pop(slave.id, None)


def rest_now(swarm: SwarmState, slave: SlaveNodeRecord) -> None:
    """Tell a slave that is given nothing to pull nothing, and to give back what has not begun."""
    if slave.circuit.is_closed:
        return
    swarm.outbox.send(slave.peer, Parcel(Pause(slave.circuit.describe(slave.heard))))
    for chunk in sorted(slave.chunks):
        swarm.outbox.send(slave.peer, Parcel(TakeBack(chunk, kill=False)))


def tick(swarm: SwarmState, now: float) -> None:
    """Time passes: slaves have rested; if none is left that is given work, the first that rests is.

    One that alone could run some of what waits rests for a short while only: that is held up meanwhile.
    """
    waits = _only_resting_could(swarm) if swarm.resting else ()
    for slave in list(swarm.resting.values()):
        if any(slave.offers(what) for what in waits) and slave.circuit.hurry():
            swarm.outbox.tell(slave, "is tried earlier, because no other slave could run some of what waits")
        slave.circuit.tick(now)
        if not len(swarm.roster.connected) and slave.peer is not None and not slave.is_draining:
            swarm.outbox.tell(slave, "is given work again, because there is no other slave")
            slave.circuit.close()
            _work_again(swarm, slave)


def give_trials(swarm: SwarmState, now: float) -> None:
    """Give each slave that has rested one task; those that find nothing look again in turn, a few in a cycle."""
    in_vain = 0
    for slave in list(swarm.resting.values()):
        is_due = slave.circuit.state is CircuitState.TRIAL and slave.peer is not None
        if not is_due or slave.is_draining or slave.chunks or not slave.workers:
            continue
        looked_at: list[Job] = []
        job = swarm.next_job(lambda job, slave=slave, jobs=looked_at: _has_any_for(slave, job, jobs))
        if job is not None:
            swarm.direct(swarm.take(job, 1, now), slave)
        else:
            in_vain += 1
            swarm.resting[slave.id] = swarm.resting.pop(slave.id)  # the others come first next time
        for each in looked_at:
            each.queue.release()
        swarm.fairness.end_round()  # what this slave cannot run others may, now
        if in_vain >= _VAIN_SEARCHES:
            return


def _has_any_for(slave: SlaveNodeRecord, job: Job, looked_at: list[Job]) -> bool:
    """Whether a slave can run anything of a job; what it cannot is on hold then."""
    looked_at.append(job)
    while (spec := job.queue.head()) is not None and not slave.has_free(spec.resources):
        job.queue.hold(spec.resources)
    return spec is not None


def _only_resting_could(swarm: SwarmState) -> list[Needs]:
    """What queued tasks need and no slave offers that is given work."""
    queued = {what for job in swarm.ledger.jobs.values() if job.queued for what in job.queue.needs()}
    return [what for what in queued if not swarm.roster.offers(what)]


def _judge(swarm: SwarmState, slave: SlaveNodeRecord, now: float) -> None:
    """Break the circuit of a slave if enough failed there that succeeds elsewhere."""
    working = swarm.roster.connected

    def succeeds_elsewhere(function: int) -> bool:
        if function == NOT_BEGUN:
            return len(working) > (slave in working)
        others = (swarm.registry.slave(each) for each in swarm.outcomes.where(function) if each != slave.id)
        return any(other is not None and other in working for other in others)

    begun = NOT_BEGUN not in slave.circuit.failing
    if not slave.circuit.judge(now, succeeds_elsewhere):
        return
    rest = slave.circuit.rested_at - now
    why = "all that ran there failed, and succeeds elsewhere" if begun else "its workers die before they begin"
    swarm.outbox.tell(slave, f"is given nothing for {rest:.0f} s, and then one chunk on trial: {why}")
    swarm.resting[slave.id] = slave
    swarm.roster.leave(slave)
    rest_now(swarm, slave)


def _work_again(swarm: SwarmState, slave: SlaveNodeRecord) -> None:
    del swarm.resting[slave.id]
    if slave.peer is not None:
        swarm.roster.enter(slave)
    swarm.outbox.send(slave.peer, Parcel(Pause(paused=False)))


# --- tasks that failed ---


def preferred(job: Job, able: list[SlaveNodeRecord]) -> list[SlaveNodeRecord]:
    """Of slaves that could have the next task of a job, those where it did not fail; if there are none, all."""
    failure = _failure(job)
    if failure is None:
        return able
    return [slave for slave in able if slave.id != failure.slave] or able


def is_postponed(swarm: SwarmState, job: Job, able: Sequence[SlaveNodeRecord], now: float) -> bool:
    """Let the next task of a job wait a moment if it failed where there is room now, and could run elsewhere.

    Args:
        swarm: The state.
        job: Whose next task; if this returns True, that is another one.
        able: The slaves that have room for it.
        now: The time.
    """
    failure, spec = _failure(job), job.queue.head()
    if failure is None or spec is None or not able or any(slave.id != failure.slave for slave in able):
        return False
    offering = swarm.roster.offering(spec.resources)
    if not any(slave.id != failure.slave and slave.workers and slave.offers(spec.resources) for slave in offering):
        return False
    if failure.since is None:
        failure.since = now
    if now - failure.since >= PATIENCE_SECONDS:
        return False
    swarm.ledger.delays.postpone(job, now + _LOOK_SECONDS)
    return True


def _failure(job: Job) -> FailedOn | None:
    """Where the next task of a job failed; None if it did not."""
    record = job.queue.head_record() if job.failed_on else None
    return job.failed_on.get(record.counter) if record is not None else None
