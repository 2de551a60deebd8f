"""Slaves that are kept free for tasks that need much, so that a stream of small ones does not starve them. Pure.

A task waits for a while whether what it needs comes free by itself. Then one slave takes no others of the kind
until it does: for labels the master waits until enough of them is free there; for workers the chunk is sent there
as soon as there is room for one more chunk, and the slave starts nothing else before it. Of the tasks of one job
that find no slave, it is those whose turn comes first that wish for one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.scheduling.roster import EXACT, Roster

PATIENCE_SECONDS = 0.5
"""For so long what a task needs may come free by itself."""

SHARE = 4
"""At most one in so many slaves is kept free, but always one."""


@dataclass(slots=True)
class Wish:
    """What the first of a job's tasks that find no slave need, since when, and the slave that is kept for them."""

    needs: tuple[tuple[str, float], ...]
    since: float
    seen: float
    slave: SlaveNodeRecord | None = None


class Reservations:
    """Who waits for what, since when, and which slaves are kept for them: one for each job at most."""

    def __init__(self) -> None:
        self._wishes: dict[int, Wish] = {}
        self._kept: dict[int, Wish] = {}  # those of them that have a slave

    def __len__(self) -> int:
        return len(self._kept)

    def want(self, roster: Roster, job: Job, needs: tuple[tuple[str, float], ...], now: float) -> None:
        """The next task of a job needs this, and no slave has it free.

        What is told first in a round comes first in the job, and takes the place of what was first before; unless
        a slave is kept for that already.

        Args:
            roster: The slaves.
            job: Whose task.
            needs: Amounts by name.
            now: The time; later in each round than in the one before.
        """
        wish = self._wishes.get(job.system)
        if wish is None or (wish.needs != needs and wish.slave is None and wish.seen < now):
            if not roster.offers(needs):
                return
            wish = self._wishes[job.system] = Wish(needs, now, now)
        if wish.needs != needs:
            return
        wish.seen = now
        is_full = len(self._kept) >= max(1, len(roster.connected) // SHARE)
        if wish.slave is not None or is_full or now - wish.since < PATIENCE_SECONDS:
            return
        some = roster.offering(needs).some(EXACT)
        able = [each for each in some if not each.kept_for and each.offers(needs) and each.has_smaller(needs)]
        slave = min(able, key=lambda each: (each.weight / max(1, each.workers), each.number), default=None)
        if slave is not None:
            wish.slave = slave
            self._kept[job.system] = wish
            _keep(roster, slave, frozenset(name for name, _ in needs))

    def due(
        self, jobs: Mapping[int, Job], slave_of: Callable[[str], SlaveNodeRecord | None], roster: Roster
    ) -> list[tuple[Job, Wish, SlaveNodeRecord]]:
        """Whose tasks can be sent now, and to which slave; what nobody waits for any more is given up.

        Args:
            jobs: The jobs by system.
            slave_of: Finds a slave by its node id.
            roster: The slaves.
        """
        found: list[tuple[Job, Wish, SlaveNodeRecord]] = []
        for system, wish in list(self._kept.items()):
            job, slave = jobs.get(system), wish.slave
            if job is None or wish.needs not in job.queue.needs():
                self.cancel(roster, system, wish.needs)
            elif slave is None or slave_of(slave.id) is not slave or slave not in roster.connected:
                self._release(roster, system)
            elif slave.may_get(wish.needs):
                found.append((job, wish, slave))
        return found

    def prune(self, jobs: Mapping[int, Job]) -> None:
        """Forget the wishes of jobs that do not have them any more."""
        for system, wish in list(self._wishes.items()):
            job = jobs.get(system)
            if wish.slave is None and (job is None or wish.needs not in job.queue.needs()):
                del self._wishes[system]

    def cancel(self, roster: Roster, system: int, needs: tuple[tuple[str, float], ...]) -> None:
        """Such tasks of a job were given out, or it has none any more."""
        wish = self._wishes.get(system)
        if wish is not None and wish.needs == needs:
            self._release(roster, system)
            del self._wishes[system]

    def _release(self, roster: Roster, system: int) -> None:
        wish = self._kept.pop(system, None)
        if wish is not None and wish.slave is not None:
            _keep(roster, wish.slave, frozenset())
            wish.slave = None


def _keep(roster: Roster, slave: SlaveNodeRecord, names: frozenset[str]) -> None:
    slave.kept_for = names
    if slave in roster.connected:
        roster.place(slave)
