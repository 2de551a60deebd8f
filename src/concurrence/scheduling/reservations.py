"""Slaves that are kept free for tasks that need much, so that a stream of small ones does not starve them. Pure.

A task waits for a while whether what it needs comes free by itself. Then one slave takes no others of the kind
until it does: for labels the master waits until enough of them is free there; for workers the chunk is sent there
as soon as there is room for one more chunk, and the slave starts nothing else before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.scheduling.roster import EXACT, Roster

PATIENCE_SECONDS = 0.5
"""For so long what a task needs may come free by itself."""

SHARE = 4
"""At most one in so many slaves is kept free, but always one."""

_Wish = tuple[int, tuple[tuple[str, float], ...]]


class Reservations:
    """Who waits for what, since when, and which slaves are kept for them."""

    def __init__(self) -> None:
        self._since: dict[_Wish, float] = {}
        self._slaves: dict[_Wish, SlaveNodeRecord] = {}

    def __len__(self) -> int:
        return len(self._slaves)

    def want(self, roster: Roster, job: Job, needs: tuple[tuple[str, float], ...], now: float) -> None:
        """The next task of a job needs this, and no slave has it free.

        Args:
            roster: The slaves.
            job: Whose task.
            needs: Amounts by name.
            now: The time.
        """
        wish = (job.system, needs)
        since = self._since.setdefault(wish, now)
        if now - since < PATIENCE_SECONDS or wish in self._slaves:
            return
        if len(self._slaves) >= max(1, len(roster.connected) // SHARE):
            return
        some = roster.offering(needs).some(EXACT)
        able = [each for each in some if each.offers(needs) and not each.kept_for]
        slave = min(able, key=lambda each: (each.weight / max(1, each.workers), each.number), default=None)
        if slave is not None:
            self._slaves[wish] = slave
            self._keep(roster, slave, frozenset(name for name, _ in needs))

    def due(
        self,
        jobs: Mapping[int, Job],
        slave_of: Callable[[str], SlaveNodeRecord | None],
        roster: Roster,
    ) -> list[tuple[Job, SlaveNodeRecord]]:
        """Whose next task can be sent now, and to which slave; what nobody waits for any more is given up.

        Args:
            jobs: The jobs by system.
            slave_of: Finds a slave by its node id.
            roster: The slaves.
        """
        found: list[tuple[Job, SlaveNodeRecord]] = []
        for wish, slave in list(self._slaves.items()):
            system, needs = wish
            job = jobs.get(system)
            if job is None or needs not in job.queue.needs():
                self.cancel(roster, system, needs)
            elif slave_of(slave.id) is not slave or slave.peer is None or slave.is_draining:
                self._release(roster, wish)
            elif slave.may_get(needs):
                head = job.queue.head()
                if head is not None and head.resources == needs:
                    found.append((job, slave))
        return found

    def prune(self, jobs: Mapping[int, Job]) -> None:
        """Forget the wishes of jobs that do not need it any more."""
        for wish in list(self._since):
            job = jobs.get(wish[0])
            if wish not in self._slaves and (job is None or wish[1] not in job.queue.needs()):
                del self._since[wish]

    def cancel(self, roster: Roster, system: int, needs: tuple[tuple[str, float], ...]) -> None:
        """It was given out, or nobody waits for it any more."""
        self._since.pop((system, needs), None)
        self._release(roster, (system, needs))

    def _release(self, roster: Roster, wish: _Wish) -> None:
        slave = self._slaves.pop(wish, None)
        if slave is not None:
            self._keep(roster, slave, frozenset())

    @staticmethod
    def _keep(roster: Roster, slave: SlaveNodeRecord, names: frozenset[str]) -> None:
        slave.kept_for = names
        if slave in roster.connected:
            roster.place(slave)
