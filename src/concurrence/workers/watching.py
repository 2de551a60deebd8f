"""Watches what workers and all that their tasks start use, and says which of them must not go on.

It looks rarely while there is plenty, and the more often the less is left; never while no worker has work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from concurrence.workers.groups import PROC, Member, members, proportional, resident
from concurrence.workers.limits import WatchLimits
from concurrence.workers.machine import Machine

SHORTEST: Final = 0.02
LONGEST: Final = 1.0
"""Seconds between two looks."""

_GROWTH = 4 * 1024**3  # bytes a second at which one worker may fill fresh memory
_SEARCH_SHARE = 0.02  # of this thread's time, to look for the processes that tasks started
_SEARCH_PERIOD = 0.25
_CROWD = 0.25  # of the processes that are allowed: from there on they are counted each time
_RELIEF = 0.5  # seconds until the memory of a process that was killed is back
_LEAST_RESERVE = 64 * 1024**2
_MOST_RESERVE = 1024**3


class Offence(NamedTuple):
    """A worker that must not go on.

    Attributes:
        worker: Its number.
        text: Why.
        used: Bytes of memory that it used, with what its tasks started.
    """

    worker: int
    text: str
    used: int


class Watch:
    """Looks at the process groups of workers.

    Args:
        limits: What each of them may use.
        machine: Tells what memory is left.
        proc: Where the system tells of its processes.
        clock: Seconds.
    """

    def __init__(
        self,
        limits: WatchLimits,
        machine: Machine | None = None,
        proc: Path = PROC,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits
        self._machine = machine or Machine()
        self._proc = proc
        self._clock = clock
        self._found: list[Member] = []
        self._search_at = 0.0
        self._relief_at = 0.0

    @property
    def is_useful(self) -> bool:
        """Whether there is anything to watch, and anything to see."""
        wanted = self.limits.memory != 0 or self.limits.processes > 0
        return wanted and (self._proc / "self" / "statm").exists()

    def look(self, workers: Mapping[int, int]) -> tuple[dict[int, int], list[Offence], float]:
        """See how much workers use.

        Args:
            workers: The process ids of those that have work, by number.

        Returns:
            How many bytes of memory each uses, with all that its tasks started; those that must not go on; and the
            seconds until the next look.
        """
        others = self._others(workers)
        used = {
            number: resident(pid, self._proc) + sum(resident(other, self._proc) for other in others[pid])
            for number, pid in workers.items()
        }
        offences = self._crowds(workers, others, used)
        pause = LONGEST
        if self.limits.memory != 0:
            greedy, pause = self._greedy(workers, others, used)
            offences += greedy
        if self.limits.processes:
            pause = min(pause, _SEARCH_PERIOD if any(others.values()) else LONGEST / 2)
        return used, offences, min(max(pause, SHORTEST), LONGEST)

    def _others(self, workers: Mapping[int, int]) -> dict[int, list[int]]:
        """By worker's process id, the other processes of its group, as far as they were looked for of late."""
        groups = set(workers.values())
        begun = self._clock()
        crowd = self.limits.processes and len(self._found) - len(groups) > _CROWD * self.limits.processes
        if begun >= self._search_at or crowd:
            self._found = members(groups, self._proc)
            ended = self._clock()
            self._search_at = ended + max(_SEARCH_PERIOD, (ended - begun) / _SEARCH_SHARE)
        others: dict[int, list[int]] = {group: [] for group in groups}
        for member in self._found:
            if member.pid not in groups and member.group in groups:
                others[member.group].append(member.pid)
        return others

    def _crowds(
        self, workers: Mapping[int, int], others: Mapping[int, list[int]], used: Mapping[int, int]
    ) -> list[Offence]:
        most = self.limits.processes
        counts = {number: 1 + len(others[pid]) for number, pid in workers.items()}
        return [
            Offence(
                number,
                f"it had {count:,} processes, more than the {most:,} of [taskmanager] max_processes",
                used[number],
            )
            for number, count in counts.items()
            if most and count > most
        ]

    def _greedy(
        self, workers: Mapping[int, int], others: Mapping[int, list[int]], used: dict[int, int]
    ) -> tuple[list[Offence], float]:
        limit = self.limits.memory
        offences: list[Offence] = []
        room = float(_GROWTH)
        for number, pid in workers.items():
            if limit is not None and used[number] > limit and others[pid]:
                # What processes share was counted once for each of them.
                used[number] = self._exactly(pid, others[pid]) or used[number]
            if limit is not None and used[number] > limit:
                text = f"it used {_mega(used[number])}, more than the {_mega(limit)} of [taskmanager] memory_limit"
                offences.append(Offence(number, text, used[number]))
            elif limit is not None:
                room = min(room, limit - used[number])
        memory = self._machine.memory()
        if memory is not None:
            reserve = min(max(memory.total // 20, _LEAST_RESERVE), _MOST_RESERVE)
            room = min(room, (memory.available - reserve) / max(len(workers), 1))
            if memory.available < reserve and not offences and self._clock() >= self._relief_at:
                offences += self._largest(workers, others, used, memory.available, reserve)
        if offences:
            self._relief_at = self._clock() + _RELIEF
        return offences, room / _GROWTH

    def _largest(
        self,
        workers: Mapping[int, int],
        others: Mapping[int, list[int]],
        used: dict[int, int],
        available: int,
        reserve: int,
    ) -> list[Offence]:
        """The worker that uses most, if its end would help."""
        for number, pid in workers.items():
            if others[pid]:
                used[number] = self._exactly(pid, others[pid]) or used[number]
        number = max(used, key=lambda number: used[number], default=None)
        if number is None or used[number] < reserve // 4:
            return []
        return [
            Offence(
                number,
                f"only {_mega(available)} of memory were left here, and of the workers it used most: "
                f"{_mega(used[number])}",
                used[number],
            )
        ]

    def _exactly(self, pid: int, others: list[int]) -> int:
        return sum(proportional(each, self._proc) for each in (pid, *others))


def _mega(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
