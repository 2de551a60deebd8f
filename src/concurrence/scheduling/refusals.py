"""Work that a strategy rates as never on all slaves that could run it: of many a part is asked at a time. Pure."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from concurrence.scheduling.api import WorkView
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.load import Needs
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.scheduling.roster import EXACT, Roster

LOOKED_AT = 8 * EXACT
"""So many slaves are looked at each time; of more than these the next ones."""

_FORGOTTEN_SECONDS = 2.0  # looks that do not go on for so long are over


class _Look(Struct):
    """How far the slaves have been looked at for some work.

    Attributes:
        at: When that went on last.
        place: How many have been.
        able: How many of them could run it, and are refused.
    """

    at: float
    place: int = 0
    able: int = 0


class Refusals:
    """Why work waits though slaves have room, if that is because of the strategy."""

    def __init__(self) -> None:
        self._looks: dict[tuple[int, int, Needs], _Look] = {}

    def __len__(self) -> int:
        return len(self._looks)

    def look(
        self, roster: Roster, job: Job, work: WorkView, is_refused: Callable[[SlaveNodeRecord], bool], now: float
    ) -> int | None:
        """Look at the next slaves that could run what is next of a job.

        Args:
            roster: The slaves.
            job: The job.
            work: What is next of it.
            is_refused: Whether the strategy rates a slave as never for this work.
            now: The time.

        Returns:
            How many could run it, if all of them are refused; 0 if one is not, or there is none; None until
            that is known.
        """
        key = (job.system, work.function, work.resources)
        if not roster.offers(work.resources):
            self._looks.pop(key, None)
            return 0
        members = roster.offering(work.resources)
        look = self._looks.setdefault(key, _Look(now))
        for slave in members.part(look.place, LOOKED_AT):
            if slave.workers and slave.offers(work.resources):
                if not is_refused(slave):
                    del self._looks[key]
                    return 0
                look.able += 1
        look.at = now
        look.place += LOOKED_AT
        if look.place < len(members):
            return None
        del self._looks[key]
        return look.able

    def prune(self, now: float) -> None:
        """Forget what does not wait any more."""
        for key in [key for key, look in self._looks.items() if now - look.at > _FORGOTTEN_SECONDS]:
            del self._looks[key]
