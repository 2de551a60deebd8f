"""The push/pull policy, for homogeneous swarms: one global work queue, from which idle slaves help themselves.

A PUSH socket can neither aim nor recall. So whose turn it is is decided before the socket; no more is on it
than the slaves announced credit for; slaves report what they claimed; what nobody claims although a slave
idles is pushed again, and the late copy is fenced by its chunk number; retries, large tasks and work with resource
labels go to a slave directly. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from concurrence.component import Component, ComponentManager
from concurrence.scheduling.api import ITaskScheduler, SwarmState
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.ledger.story import Event
from concurrence.scheduling.load import Needs
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.scheduling.resting import is_postponed, preferred
from concurrence.scheduling.tails import Tails
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import TakeBack

UNCLAIMED_SECONDS = 0.25
"""A chunk that lies on the socket for longer, while a slave idles, is stuck in a busy slave's buffers."""

LARGE_BYTES = 256 * 1024
"""A task with larger arguments is sent to a slave: the work queue hands a message to whoever is next, and who that
is shows only when all of it has come."""

MOVING_SECONDS = 2.0
"""The same while large messages pass to or from slaves, behind which work and claims wait."""

SPEAKS_SECONDS = 0.5
"""What was given out before, and got lost or failed, goes to who has spoken since, as long as anybody has."""

SILENT_HEARTBEATS = 1.5
"""Labelled work goes to who has spoken within so many heartbeats: idle slaves speak once in each."""


class ZMQTaskScheduler(Component, ITaskScheduler):
    """Pushes chunks onto the global work queue.

    Args:
        manager: The manager that the component belongs to.
    """

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self._tails = Tails()

    @property
    def uses_work_queue(self) -> bool:
        """Slaves pull."""
        return True

    def dispatch(self, swarm: SwarmState, now: float) -> None:
        """Fill the announced credit, fairly."""
        roster = swarm.roster
        credit, unclaimed = roster.credit, swarm.unclaimed
        while roster.held + len(unclaimed) < credit:
            job = swarm.next_job()
            if job is None:
                return
            spec = job.queue.head()
            if spec is None or (len(unclaimed) >= roster.idle_workers and swarm.rates.is_long(spec.function)):
                swarm.set_aside(job)
            elif not spec.resources and _may_be_pulled(job):
                swarm.offer(swarm.form_chunk(job, credit, now), now)
            elif not self._direct(swarm, job, spec.resources, now):
                if spec.resources:
                    swarm.hold(job, spec.resources, now)  # what is behind it may find room
                else:
                    swarm.set_aside(job)

    def _direct(self, swarm: SwarmState, job: Job, needs: Needs, now: float) -> bool:
        """Send what is next of a job to a slave, or let it wait for another one; False if nobody has room."""
        able = swarm.roster.able(needs)
        if is_postponed(swarm, job, able, now):
            return True
        able = preferred(job, able)
        is_again = job.queue.head_attempt() > 1
        patience = SPEAKS_SECONDS if is_again else SILENT_HEARTBEATS * swarm.limits.heartbeat
        sure = [slave for slave in able if now - slave.heard <= patience]
        if not sure and able and any(now - slave.heard <= patience for slave in swarm.roster.sample()[0]):
            # What nobody claimed lies at a slave that does not read: it must not be sent to that one of all.
            for slave in able:
                swarm.ask(slave, now)
            return False
        if not able:
            return False

        def fitness(slave: SlaveNodeRecord) -> tuple[float, float, str]:
            load = len(slave.chunks) / max(1, slave.workers)
            return (0.0 if sure else now - slave.heard, load, slave.id)

        swarm.direct(swarm.form_chunk(job, swarm.roster.credit, now), min(sure or able, key=fitness))
        return True

    def claimed(self, swarm: SwarmState, slave: SlaveNodeRecord, chunks: Sequence[int], now: float) -> None:
        """Note who has the chunks; a copy that was given up meanwhile is taken back."""
        for chunk in chunks:
            swarm.unclaimed.pop(chunk, None)
            assignment = swarm.ledger.assignments.get(chunk)
            if assignment is None or assignment.slave not in (None, slave.id):
                swarm.outbox.send(slave.peer, Parcel(TakeBack(chunk, kill=True)))
                continue
            swarm.define(slave, assignment.spec.function)
            swarm.give(assignment, slave)
            swarm.ledger.story.tell(Event.CLAIMED, assignment.job.system, chunk, who=slave.name)
            if not slave.circuit.is_closed:
                swarm.outbox.send(slave.peer, Parcel(TakeBack(chunk, kill=False)))

    def tick(self, swarm: SwarmState, now: float) -> None:
        """Push again what nobody claimed although somebody could, or nobody will because all slaves drain.

        And take back what is stuck at a slave behind a task that takes long.

        A master that does not keep up has claims that it has not read: pushed again, what they are of would be
        done twice, and leave the master further behind.
        """
        self._tails.take_back(swarm, now)
        if not swarm.unclaimed or (len(swarm.roster.connected) and not len(swarm.roster.idle)):
            return
        patience = MOVING_SECONDS if now - swarm.moving_at < MOVING_SECONDS else UNCLAIMED_SECONDS
        stuck: list[int] = []
        is_behind = now - swarm.behind_at < UNCLAIMED_SECONDS
        if is_behind:
            patience = max(patience, swarm.limits.lease)
        for chunk, offered in swarm.unclaimed.items():  # in the order in which they were offered
            if offered > now:
                continue  # it is large, and takes its time to come
            if now - offered < patience:
                break
            stuck.append(chunk)
        for chunk in reversed(stuck):  # so that the oldest comes first again
            del swarm.unclaimed[chunk]
            swarm.ledger.recall(chunk)


def _may_be_pulled(job: Job) -> bool:
    """Whether what is next of a job may go to whichever slave pulls it: not what came back, nor what is large."""
    record = job.queue.head_record()
    return record is None or (record.attempt <= 1 and record.size <= LARGE_BYTES)
