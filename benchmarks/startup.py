"""How long it takes until something happens.

    python benchmarks/startup.py [--repeats R]

Measured in fresh processes: from the start of Python to the first instant of the first task of an embedded swarm,
to the end of the whole run, and what importing costs that a worker needs.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from typing import Any

from concurrence import ApplicationNode, Task, TaskError, run

_FIRST = "first task at "
_IMPORTS = ("pass", "import concurrence", "import concurrence.workers.worker", "from concurrence import Task")


class Stamp(Task):
    """Tells when it ran, by the clock that all processes of the machine share."""

    def __call__(self) -> float:
        """The time of day in seconds."""
        return time.time()


class First(ApplicationNode):
    """Pushes one task and prints when it ran."""

    def start_processing(self) -> None:
        """Push it."""
        self.push_task(Stamp())

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        """Print when it ran."""
        print(f"{_FIRST}{result if error is None else error}")


def embedded_run() -> tuple[float, float]:
    """Seconds from the start of a fresh process to its first task, and to its end."""
    begun = time.time()
    done = subprocess.run(
        [sys.executable, __file__, "--once"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    ended = time.time()
    stamps = [line.removeprefix(_FIRST) for line in done.stdout.splitlines() if line.startswith(_FIRST)]
    if done.returncode != 0 or len(stamps) != 1:
        raise RuntimeError(f"the run ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return float(stamps[0]) - begun, ended - begun


def import_time(statement: str) -> float:
    """Seconds that a fresh Python takes for a statement."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], stdin=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def main() -> int:
    """Measure and print; with ``--once`` be the process that is measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        del sys.argv[1:]
        return run(First)
    runs = [embedded_run() for _ in range(arguments.repeats)]
    for name, times in zip(("to the first task", "whole run"), zip(*runs, strict=True), strict=True):
        print(f"embedded swarm, {name:<20} median {statistics.median(times):.3f} s   best {min(times):.3f} s")
    for statement in _IMPORTS:
        times = [import_time(statement) for _ in range(arguments.repeats)]
        print(f"python -c {statement!r:<40} median {statistics.median(times):.3f} s   best {min(times):.3f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
