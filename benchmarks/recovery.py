"""How long it takes until work goes on after something was killed.

    python benchmarks/recovery.py [--repeats R] [--only NAME]

Each figure is the time to the first instant of the next task, or the next attempt of the one that was struck, as
the task itself notes it; master, slave and client are real processes. A case is a function that makes one
measurement; the median and the worst are printed beside the target.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import concurrence

SECONDS = 30.0
"""Longer than any case may take."""


class Case(NamedTuple):
    """Something that can be killed.

    Attributes:
        name: What it is called in the output, and with ``--only``.
        target: Seconds within which work should go on.
        measure: Makes one measurement: seconds.
    """

    name: str
    target: float
    measure: Callable[[], float]


def note_start(folder: str, how: str) -> None:
    """The task: notes who runs it and when, and waits at the first time, in the way that is asked for."""
    notes = Path(folder)
    count = len(list(notes.iterdir()))
    unfinished = notes / f".{os.getpid()}"
    unfinished.write_text(f"{os.getpid()} {time.monotonic()}")
    unfinished.rename(notes / str(count))
    while not count:
        try:
            time.sleep(SECONDS)
        except concurrence.TaskInterrupted:
            if how != "deaf":
                raise


def attempt(notes: Path, number: int) -> tuple[int, float]:
    """The process id of an attempt and when it started, as soon as it has."""
    deadline = time.monotonic() + SECONDS
    path = notes / str(number)
    while not path.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"attempt {number} did not start within {SECONDS:.0f} s")
        time.sleep(0.001)
    pid, started = path.read_text().split()
    return int(pid), float(started)


def killed_worker() -> float:
    """A worker is killed while it runs a task."""
    with tempfile.TemporaryDirectory() as folder, concurrence.local_swarm(workers=1) as swarm:
        future = swarm.submit(note_start, folder, "")
        pid, _ = attempt(Path(folder), 0)
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        _, started = attempt(Path(folder), 1)
        future.result(SECONDS)
        return started - killed


def cancelled_task(how: str) -> float:
    """A running task is cancelled, and the next waits for its worker."""
    with tempfile.TemporaryDirectory() as folder, concurrence.local_swarm(workers=1) as swarm:
        future = swarm.submit(note_start, folder, how)
        attempt(Path(folder), 0)
        following = swarm.submit(note_start, folder, how)
        cancelled = time.monotonic()
        future.cancel()
        _, started = attempt(Path(folder), 1)
        following.result(SECONDS)
        return started - cancelled


CASES = (
    Case("killed worker: its task runs again", 0.5, killed_worker),
    Case("cancelled task that listens: the next runs", 0.5, lambda: cancelled_task("")),
    Case("cancelled task that does not (0.5 s of grace): the next runs", 1.0, lambda: cancelled_task("deaf")),
)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    arguments = parser.parse_args()
    for case in CASES:
        if arguments.only in case.name:
            times = [case.measure() for _ in range(arguments.repeats)]
            median, worst = statistics.median(times), max(times)
            print(f"{case.name:<64} median {median:.3f} s   worst {worst:.3f} s   target {case.target:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
