"""The push/pull policy, for homogeneous swarms: one global work queue, from which idle slaves help themselves.

A PUSH socket can neither aim nor recall. So whose turn it is is decided before the socket; no more is on it
than the slaves announced credit for; slaves report what they claimed; what nobody claims although a slave
idles is pushed again, and the late copy is fenced by its chunk number; retries and work with resource labels
go to a slave directly. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from concurrence.component import Component
from concurrence.scheduling.api import ITaskScheduler, SwarmState
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.ledger.story import Event
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.scheduling.resting import elsewhere
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import TakeBack

UNCLAIMED_SECONDS = 0.25
"""A chunk that lies on the socket for longer, while a slave idles, is stuck in a busy slave's buffers."""


class ZMQTaskScheduler(Component, ITaskScheduler):
    """Pushes chunks onto the global work queue."""

    @property
    def uses_work_queue(self) -> bool:
        """Slaves pull."""
        return True

    def dispatch(self, swarm: SwarmState, now: float) -> None:
        """Fill the announced credit, fairly."""
        slaves = swarm.takers()
        if not slaves:
            return
        credit = sum(slave.description.credit for slave in slaves)
        workers = sum(slave.workers for slave in slaves)
        self._fill(swarm, slaves, credit, workers, now)
        for job in swarm.ledger.jobs.values():
            job.queue.release()

    def _fill(
        self, swarm: SwarmState, slaves: list[SlaveNodeRecord], credit: int, workers: int, now: float
    ) -> None:
        under_way = sum(len(slave.chunks) for slave in slaves) + len(swarm.unclaimed)
        skipped: set[int] = set()
        while under_way < credit:
            job = swarm.next_job(lambda job: job.system not in skipped)
            if job is None:
                return
            spec = job.queue.head()
            if spec is None or (under_way >= workers and swarm.rates.is_long(spec.function)):
                skipped.add(job.system)
            elif spec.resources or job.queue.head_attempt() > 1:
                if self._direct(swarm, slaves, job, credit, now):
                    under_way += 1
                elif spec.resources:
                    job.queue.hold(spec.resources)  # what is behind it may find room
                else:
                    skipped.add(job.system)
            else:
                swarm.offer(swarm.form_chunk(job, credit, now), now)
                under_way += 1

    @staticmethod
    def _direct(swarm: SwarmState, slaves: list[SlaveNodeRecord], job: Job, credit: int, now: float) -> bool:
        able = [slave for slave in slaves if slave.room and swarm.can_run(slave, job)]
        able = elsewhere(swarm, job, able, slaves, now)
        if not able:
            return False
        slave = min(able, key=lambda each: (len(each.chunks) / max(1, each.workers), each.id))
        swarm.direct(swarm.form_chunk(job, credit, now), slave)
        return True

    def claimed(self, swarm: SwarmState, slave: SlaveNodeRecord, chunks: Sequence[int], now: float) -> None:
        """Note who has the chunks; a copy that was given up meanwhile is taken back."""
        for chunk in chunks:
            swarm.unclaimed.pop(chunk, None)
            assignment = swarm.ledger.assignments.get(chunk)
            if assignment is None or assignment.slave not in (None, slave.id):
                swarm.outbox.send(slave.peer, Parcel(TakeBack(chunk, kill=True)))
                continue
            assignment.slave = slave.id
            slave.chunks.add(chunk)
            swarm.ledger.story.tell(Event.CLAIMED, assignment.job.system, chunk, who=slave.name)
            if not slave.circuit.is_closed:
                swarm.outbox.send(slave.peer, Parcel(TakeBack(chunk, kill=False)))

    def tick(self, swarm: SwarmState, now: float) -> None:
        """Push again what nobody claimed although somebody could."""
        if not swarm.unclaimed:
            return
        if not any(len(slave.chunks) < slave.workers for slave in swarm.takers()):
            return
        for chunk, offered in reversed(list(swarm.unclaimed.items())):  # so that the oldest comes first again
            if now - offered >= UNCLAIMED_SECONDS:
                del swarm.unclaimed[chunk]
                swarm.ledger.recall(chunk)
