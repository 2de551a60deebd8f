"""What waits behind a task that takes long, though elsewhere a worker has nothing to do: taken back. Pure.

For the policy that cannot aim. Tasks that are expected to be quick travel together, and a worker may have a
further chunk in its socket. When one takes long after all, the others would wait for it, and with them the end.
"""

from __future__ import annotations

from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.ledger.jobs import Assignment
from concurrence.scheduling.rates import CHUNK_SECONDS, LONG_TASK_SECONDS
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.scheduling.roster import EXACT
from concurrence.scheduling.taking_back import TakenBack

LOOKED_AT = 8 * EXACT
"""So many slaves are looked at each time; of more than these the next ones."""


class Tails:
    """Takes back what is stuck."""

    def __init__(self) -> None:
        self._taken = TakenBack()

    def take_back(self, swarm: SwarmState, now: float) -> None:
        """Ask for what is stuck, no more chunks than there are idle workers; called a few times a second.

        Args:
            swarm: The state.
            now: The time.
        """
        self._taken.prune(swarm.ledger.assignments)
        roster = swarm.roster
        if roster.idle_workers <= 0 or not swarm.ledger.assignments:
            return
        stuck = [each for slave in roster.connected.some(LOOKED_AT) for each in self._stuck(swarm, slave, now)]
        stuck.sort(key=lambda each: (each[1].at, each[1].chunk))
        for slave, assignment in stuck[: roster.idle_workers]:
            self._taken.ask(swarm, slave, assignment.chunk, now)

    def _stuck(
        self, swarm: SwarmState, slave: SlaveNodeRecord, now: float
    ) -> list[tuple[SlaveNodeRecord, Assignment]]:
        """The chunks of a slave of which something has not begun that should have ended."""
        known = swarm.ledger.assignments
        there = [known[chunk] for chunk in sorted(slave.chunks) if chunk in known]
        expected = sum(_seconds(swarm, each) for each in there) / max(1, slave.workers)
        return [
            (slave, each)
            for place, each in enumerate(there)
            if not self._taken.is_asked(slave, each.chunk)
            and now - each.at > LONG_TASK_SECONDS + expected
            and (len(each.pending) > 1 or (each.pending and place >= slave.workers))
        ]


def _seconds(swarm: SwarmState, assignment: Assignment) -> float:
    mean = swarm.rates.mean(assignment.spec.function)
    return CHUNK_SECONDS if mean is None else len(assignment.pending) * mean
