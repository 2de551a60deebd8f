"""How long 500 tasks take on two slaves, one at a quarter of the speed, against what they must take at least.

    python benchmarks/two_speeds.py [--tasks N] [--seconds S] [--workers N] [--share F]

Real masters, slaves and workers, for both policies; equal and mixed tasks; cold, when a function was never
measured, and warm. The slow slave is throttled without special rights: its workers, not the slave itself, are
stopped and continued by signals, so that they run a quarter of each 40 ms. A task makes progress in steps of a
millisecond while its process runs, and takes no processor: speeds are what they should be with few cores, too.

The bound is that of linear programming: all work divided by the speed of all workers, measured in the same run.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
from idle_cpu import node

import concurrence
from concurrence import Swarm

_PERIOD = 0.04
_STEP = 0.001
_SPREAD = 0.8  # of the logarithm of the length of mixed tasks
_SECONDS_TO_START = 60.0

_Ran = tuple[int, float, int]  # steps, seconds, process


def equal_task(steps: int) -> _Ran:
    """So many steps; how long that took, and where."""
    begun = time.perf_counter()
    for _ in range(steps):
        time.sleep(_STEP)
    return steps, time.perf_counter() - begun, os.getpid()


def mixed_task(steps: int) -> _Ran:
    """The same, as another function: what is known of one says nothing of the other."""
    begun = time.perf_counter()
    for _ in range(steps):
        time.sleep(_STEP)
    return steps, time.perf_counter() - begun, os.getpid()


def workers_of(slave: psutil.Process) -> list[int]:
    """The worker processes of a slave: the children of its template process."""
    return [worker.pid for template in slave.children() for worker in template.children()]


@contextmanager
def throttled(pids: list[int], share: float) -> Generator[None]:
    """Let processes run only a share of the time."""
    stop = threading.Event()

    def send(number: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def turn() -> None:
        while not stop.is_set():
            send(signal.SIGCONT)
            stop.wait(_PERIOD * share)
            send(signal.SIGSTOP)
            stop.wait(_PERIOD * (1.0 - share))
        send(signal.SIGCONT)

    thread = threading.Thread(target=turn)
    if share < 1.0:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if share < 1.0:
            thread.join()


@contextmanager
def two_slaves(policy: str, workers: int) -> Generator[tuple[Swarm, list[list[int]]]]:
    """A swarm of two slaves, and their worker processes."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        chosen = ("--set", f"masternode.task_scheduler={policy}", "--set", "masternode.port=0")
        stack.enter_context(node("master", "--env", "swarm", *chosen, folder=folder))
        slaves: list[psutil.Process] = []
        for number in (1, 2):
            own = folder / f"slave{number}"
            own.mkdir()
            words = ("--master", str(folder / "swarm/connect/slave.toml"), "--workers", str(workers))
            slaves.append(stack.enter_context(node("slave", *words, folder=own)))
        swarm = stack.enter_context(concurrence.connect(folder / "swarm/connect/client.toml"))
        deadline = time.monotonic() + _SECONDS_TO_START
        while swarm.workers < 2 * workers or any(len(workers_of(slave)) < workers for slave in slaves):
            if time.monotonic() > deadline:
                raise RuntimeError("the slaves did not start")
            time.sleep(0.05)
        yield swarm, [workers_of(slave) for slave in slaves]


def measure(swarm: Swarm, pids: list[list[int]], steps: list[int], *, mixed: bool) -> tuple[float, float]:
    """Makespan and bound, in seconds."""
    function = mixed_task if mixed else equal_task
    begun = time.perf_counter()
    ran = list(swarm.map(function, steps, pack=1, ordered=False))
    makespan = time.perf_counter() - begun
    speed = 0.0
    for there in pids:
        mine = [each for each in ran if each[2] in there]
        if mine:
            speed += len(there) * sum(done for done, _, _ in mine) / sum(seconds for _, seconds, _ in mine)
    return makespan, sum(steps) / speed


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=0.05, help="of a task on the fast slave, the mean")
    parser.add_argument("--workers", type=int, default=2, help="of each slave")
    parser.add_argument("--share", type=float, default=0.25, help="of the time that the slow slave's workers run")
    arguments = parser.parse_args()
    tasks, mean = arguments.tasks, arguments.seconds / _STEP
    chance = random.Random(7)
    lengths = [chance.lognormvariate(0.0, _SPREAD) for _ in range(tasks)]
    scale = mean * tasks / sum(lengths)
    steps = {False: [round(mean)] * tasks, True: [max(1, round(scale * each)) for each in lengths]}
    for share in (arguments.share, 1.0):
        print(f"{tasks} tasks, two slaves of {arguments.workers} workers, the second at {share:g} of the speed")
        for policy in ("GenericTaskScheduler", "ZMQTaskScheduler"):
            with two_slaves(policy, arguments.workers) as (swarm, pids), throttled(pids[1], share):
                for mixed in (False, True):
                    for state in ("cold", "warm"):
                        makespan, bound = measure(swarm, pids, steps[mixed], mixed=mixed)
                        print(
                            f"  {policy:<21} {'mixed' if mixed else 'equal'}, {state}: {makespan:6.2f} s, "
                            f"bound {bound:6.2f} s, ratio {makespan / bound:.3f}",
                            flush=True,
                        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
