"""How busy each core of this machine is over time, as Linux counts it: sampled by a thread while a run goes on."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

_COUNTERS = Path("/proc/stat")
_IDLE = (3, 4)  # of a core's numbers: idle, and waiting for a disk
_MAX_SAMPLES = 20_000

WANTED_SHARE = 0.95
"""At least so busy should the cores be through the middle 80% of a run."""


class Sample(NamedTuple):
    """The share of time in which each core was busy, from the sample before to this one.

    Attributes:
        at: Seconds since the sampling began.
        busy: From 0 to 1, by core.
    """

    at: float
    busy: Mapping[int, float]


def read_counters(text: str, cores: set[int]) -> dict[int, tuple[int, int]]:
    """The busy and the total time of each of these cores, in ticks of the system.

    Args:
        text: What ``/proc/stat`` says.
        cores: Which.
    """
    found: dict[int, tuple[int, int]] = {}
    for line in text.splitlines():
        name, *numbers = line.split()
        core = name.removeprefix("cpu")
        if name.startswith("cpu") and core.isdecimal() and int(core) in cores:
            # The guests' time, behind the first eight, is part of the first two.
            ticks = [int(number) for number in numbers[:8]]
            total = sum(ticks)
            found[int(core)] = (total - sum(ticks[place] for place in _IDLE), total)
    return found


def middle_share(samples: Sequence[Sample], part: float = 0.8, cores: int | None = None) -> float | None:
    """The mean share in which all cores were busy through the middle part of a run; None without a sample there.

    Args:
        samples: Of the whole run, in order.
        part: Which part of its time, around the middle.
        cores: How many of those that were watched may be used at once; None for all.
    """
    if not samples:
        return None
    whole = samples[-1].at
    low, high = whole * (1 - part) / 2, whole * (1 + part) / 2
    inside = [
        sum(each.busy.values()) / min(len(each.busy), cores or len(each.busy))
        for each in samples
        if low <= each.at <= high and each.busy
    ]
    return sum(inside) / len(inside) if inside else None


def usage_line(samples: Sequence[Sample], cores: int, workers: int | None) -> str | None:
    """How busy the cores were, in words, and that it was not enough if the work could have used them.

    Args:
        samples: Of the whole run, in order.
        cores: How many cores this machine lets a swarm use: fewer than it has, where a container has a quota.
        workers: The workers of the private swarm on this machine; None if the tasks ran elsewhere too.
    """
    share = middle_share(samples, cores=cores)
    if share is None:
        return None
    watched = len(samples[-1].busy)
    used = min(watched, cores)
    text = (
        f"CPU usage of {used} core{'s' if used != 1 else ''} through the middle 80% of the run: {100 * share:.1f}%"
    )
    if workers is None:
        return f"{text}; these are the client's, and not those of the slaves"
    if workers < used:
        return f"{text}; {workers} worker{'s' if workers != 1 else ''} cannot use all of them"
    if used < watched:
        return f"{text}, with what others on the machine used"
    return text if share >= WANTED_SHARE else f"{text}; below {100 * WANTED_SHARE:.0f}%"


class CpuUsage:
    """Samples how busy the cores are that this process may use, while its ``with`` block runs.

    Args:
        period: Seconds between two samples.

    Attributes:
        samples: What was seen.
    """

    def __init__(self, period: float = 0.25) -> None:
        self.samples: list[Sample] = []
        self._period = period
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_possible(self) -> bool:
        """Whether this system tells."""
        return _COUNTERS.exists()

    def __enter__(self) -> Self:
        if self.is_possible:
            self._thread = threading.Thread(target=self._run, name="cpu-usage", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Sample no more. Repeatable."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        cores = os.sched_getaffinity(0)
        began = time.monotonic()
        before = read_counters(_COUNTERS.read_text(), cores)
        while not self._end.wait(self._period) and len(self.samples) < _MAX_SAMPLES:
            now = read_counters(_COUNTERS.read_text(), cores)
            busy = {
                core: (now[core][0] - before[core][0]) / (now[core][1] - before[core][1])
                for core in now
                if core in before and now[core][1] > before[core][1]
            }
            self.samples.append(Sample(time.monotonic() - began, busy))
            before = now
