"""How many items a second get through map, against multiprocessing's pool; and what a future costs.

    python benchmarks/map_throughput.py [--items N] [--futures N] [--repeats R]

Both are warm: workers have started, the function has travelled. A figure is the median over the repeats.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable

import concurrence
from concurrence import Swarm, task

_WARM_UP_ITEMS = 10_000


def noop(number: int) -> int:
    """Nothing, as little as an item can do."""
    return number


noop_task = task(noop)


def workers() -> int:
    """One per core that this process may use."""
    return len(os.sched_getaffinity(0))


def rate(items: int, repeats: int, run: Callable[[], int]) -> float:
    """Items a second, the median; ``run`` tells how many came back."""
    rates: list[float] = []
    for _ in range(repeats):
        begun = time.perf_counter()
        came = run()
        rates.append(items / (time.perf_counter() - begun))
        if came != items:
            raise RuntimeError(f"{came} results came of {items} items")
    return statistics.median(rates)


def show(name: str, value: float, unit: str = "items/s") -> None:
    """One line of the result."""
    print(f"{name:<44} {value:>12,.0f} {unit}")


def measure_pool(items: int, repeats: int) -> float:
    """Items a second through ``Pool.map``, which chooses its chunks itself."""
    with multiprocessing.get_context("fork").Pool(workers()) as pool:
        pool.map(noop, range(_WARM_UP_ITEMS))
        return rate(items, repeats, lambda: len(pool.map(noop, range(items))))


def measure_swarm(swarm: Swarm, items: int, futures: int, repeats: int) -> float:
    """Items a second through the swarm; prints what else there is to know."""
    numbers = list(range(items))
    ranges = rate(items, repeats, lambda: len(list(swarm.map(noop, range(items)))))
    show("swarm.map of a range", ranges)
    show("swarm.map of a list", rate(items, repeats, lambda: len(list(swarm.map(noop, numbers)))))
    endless = itertools.count
    show(
        "swarm.map of an iterator",
        rate(items, repeats, lambda: len(list(itertools.islice(swarm.map(noop, endless()), items)))),
    )
    show("swarm.map, unordered", rate(items, repeats, lambda: len(list(swarm.map(noop, numbers, ordered=False)))))
    show("swarm.map, pack=1", rate(futures, repeats, lambda: len(list(swarm.map(noop, range(futures), pack=1)))))

    def submit() -> int:
        return len([future.result() for future in [swarm.submit(noop, number) for number in range(futures)]])

    def push() -> int:
        return len([future.result() for future in swarm.push_tasks(noop_task.task(n) for n in range(futures))])

    show("swarm.submit and result", rate(futures, repeats, submit), "futures/s")
    show("swarm.push_tasks and result", rate(futures, repeats, push), "futures/s")
    times: list[float] = []
    for _ in range(200):
        begun = time.perf_counter()
        swarm.submit(noop, 1).result()
        times.append(time.perf_counter() - begun)
    show("one submit and its result, there and back", statistics.median(times) * 1e6, "us")
    return ranges


def main() -> int:
    """Measure the pool, then the swarm."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--futures", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{arguments.items:,} no-op items, {workers()} workers, medians of {arguments.repeats}")
    pool = measure_pool(arguments.items, arguments.repeats)
    show("multiprocessing.Pool.map of a range", pool)
    with concurrence.local_swarm(workers()) as swarm:
        list(swarm.map(noop, range(_WARM_UP_ITEMS)))
        mapped = measure_swarm(swarm, arguments.items, arguments.futures, arguments.repeats)
    print(f"map of a range, swarm over pool: {mapped / pool:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
