"""The same small jobs by Concurrent and by its peers, each in a process of its own on the same cores.

    pip install distributed ray                  # those that are not installed are left out
    python benchmarks/peers.py [--tasks N] [--large N] [--repeats R]

Columns: seconds from nothing to the first result; no-op tasks a second, submitted first and then waited for;
microseconds from one submission to its result; and megabytes a second of tasks that take 1 MB and return it. Every
system has one worker process per core and is used as a script would: futures, no batching by hand. Medians.
"""
# ruff: noqa: T201, PLC0415  each process imports only the system that it measures
# pyright: reportMissingTypeStubs=false, reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

MEGABYTE = 1_000_000
_WARM_UP_TASKS = 500
_SECONDS_PER_SYSTEM = 300.0

Submit = Callable[..., Any]
Gather = Callable[[Iterable[Any]], list[Any]]


def echo(value: Any) -> Any:
    """As little as a task can do."""
    return value


def workers() -> int:
    """One per core that this process may use."""
    return len(os.sched_getaffinity(0))


def results_of(futures: Iterable[Any]) -> list[Any]:
    """Wait for futures one after the other."""
    return [future.result() for future in futures]


@contextmanager
def concurrence_system() -> Generator[tuple[Submit, Gather]]:
    """A private swarm, encrypted as always."""
    import concurrence

    with concurrence.local_swarm(workers=workers()) as swarm:
        yield swarm.submit, results_of


@contextmanager
def executor_system() -> Generator[tuple[Submit, Gather]]:
    """The standard library's."""
    with ProcessPoolExecutor(workers()) as executor:
        yield executor.submit, results_of


@contextmanager
def dask_system() -> Generator[tuple[Submit, Gather]]:
    """Dask's cluster of processes on this machine, without its dashboard."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=workers(), threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        # Without pure=False it would answer the second call for the same argument from memory.
        yield lambda function, value: client.submit(function, value, pure=False), client.gather


@contextmanager
def ray_system() -> Generator[tuple[Submit, Gather]]:
    """Ray on this machine, without its dashboard."""
    import ray

    ray.init(num_cpus=workers(), include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    remote = ray.remote(echo)
    try:
        yield lambda _function, value: remote.remote(value), lambda references: ray.get(list(references))
    finally:
        ray.shutdown()


SYSTEMS = {
    "concurrence": ("concurrence", concurrence_system),
    "ProcessPoolExecutor": ("concurrent.futures", executor_system),
    "dask.distributed": ("distributed", dask_system),
    "ray": ("ray", ray_system),
}


def measure(name: str, tasks: int, large: int, repeats: int) -> dict[str, float]:
    """The figures of one system, in this process."""
    begun = time.perf_counter()
    with SYSTEMS[name][1]() as (submit, gather):
        assert gather([submit(echo, 1)]) == [1]
        first = time.perf_counter() - begun
        gather([submit(echo, number) for number in range(_WARM_UP_TASKS)])
        rates: list[float] = []
        trips: list[float] = []
        speeds: list[float] = []
        for _ in range(repeats):
            begun = time.perf_counter()
            results = gather([submit(echo, number) for number in range(tasks)])
            rates.append(tasks / (time.perf_counter() - begun))
            assert results == list(range(tasks))
            for number in range(50):
                begun = time.perf_counter()
                gather([submit(echo, number)])
                trips.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            for data in gather([submit(echo, os.urandom(MEGABYTE)) for _ in range(large)]):
                assert len(data) == MEGABYTE
            speeds.append(large / (time.perf_counter() - begun))
    return {
        "first": first,
        "rate": statistics.median(rates),
        "trip": statistics.median(trips) * 1e6,
        "speed": statistics.median(speeds),
    }


def main() -> int:
    """Measure all that are installed, one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=SYSTEMS, help="measure this one here, and print JSON")
    arguments = parser.parse_args()
    sizes = (arguments.tasks, arguments.large, arguments.repeats)
    if arguments.only:
        print(json.dumps(measure(arguments.only, *sizes)))
        return 0
    print(f"{arguments.tasks:,} tasks, {workers()} workers, {arguments.repeats} repeats")
    print(f"{'':<20}{'s to first':>12}{'tasks/s':>12}{'us a trip':>12}{'MB/s':>9}")
    words = [f"--{name}={value}" for name, value in zip(("tasks", "large", "repeats"), sizes, strict=True)]
    for name, (module, _) in SYSTEMS.items():
        if importlib.util.find_spec(module) is None:
            print(f"{name:<20}  not installed")
            continue
        command = [sys.executable, __file__, *words, "--only", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=_SECONDS_PER_SYSTEM, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{name:<20}{found['first']:>12.2f}{found['rate']:>12,.0f}{found['trip']:>12,.0f}{found['speed']:>9,.0f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
