"""How many tasks a second get through: no-op tasks in one batch, against multiprocessing's pool in the same run.

    python benchmarks/noop_throughput.py [--tasks N] [--repeats R]

The swarm is warm (its workers have started, the function has travelled) and its figure counts from the first push
to the last notification. The pool's is that of ``imap`` with ``chunksize=1``: one task per message.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from typing import Any

from concurrence import ApplicationNode, Task, TaskError, run, task

_WARM_UP_TASKS = 2_000


def noop(number: int) -> int:
    """Nothing, as little as a task can do."""
    return number


noop_task = task(noop)


def workers() -> int:
    """One per core that this process may use, as a slave has them."""
    return len(os.sched_getaffinity(0))


class Noop(ApplicationNode):
    """Pushes a warm-up and then the batches, one after the other."""

    batch_size = 0
    repeats = 0
    rates: list[float] = []  # noqa: RUF012  filled by the one application of this process

    def start_processing(self) -> None:
        """Warm up."""
        self._failed = 0
        self._begun = 0.0
        self.push_tasks(noop_task.task(number) for number in range(_WARM_UP_TASKS))

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        """Count what should not happen."""
        self._failed += error is not None

    def work_finished(self, result: Any, system_id: int) -> None:
        """A batch is done: the next, or the end."""
        now = time.perf_counter()
        if self._begun:
            self.rates.append(self.batch_size / (now - self._begun))
        if self._failed or len(self.rates) == self.repeats:
            self.shutdown_main_loop(1 if self._failed else 0)
            return
        self._begun = time.perf_counter()
        self.push_tasks(noop_task.task(number) for number in range(self.batch_size))


def pool_rates(tasks: int, repeats: int) -> list[float]:
    """Tasks a second through a pool of processes."""
    rates: list[float] = []
    with multiprocessing.get_context("fork").Pool(workers()) as pool:
        pool.map(noop, range(_WARM_UP_TASKS), chunksize=1)
        for _ in range(repeats):
            begun = time.perf_counter()
            for _result in pool.imap(noop, range(tasks), chunksize=1):
                pass
            rates.append(tasks / (time.perf_counter() - begun))
    return rates


def show(name: str, rates: list[float]) -> None:
    """One line of the result."""
    print(f"{name:<42} median {statistics.median(rates):>9,.0f} tasks/s   best {max(rates):>9,.0f}")


def main() -> int:
    """Measure the pool, then the swarm."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    pool = pool_rates(arguments.tasks, arguments.repeats)
    Noop.batch_size, Noop.repeats = arguments.tasks, arguments.repeats
    del sys.argv[1:]  # they are this script's, not the application's
    code = run(Noop)
    if code == 0:
        print(f"{arguments.tasks:,} no-op tasks, {workers()} workers, {arguments.repeats} repeats")
        show("multiprocessing.Pool.imap(chunksize=1)", pool)
        show("concurrence, one batch", Noop.rates)
        print(f"ratio of the medians: {statistics.median(Noop.rates) / statistics.median(pool):.2f}")
    return code


if __name__ == "__main__":
    sys.exit(main())
