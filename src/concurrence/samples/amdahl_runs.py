"""The runs behind the sample amdahl: real ones on private swarms, simulated ones for more workers than cores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from concurrence import ComponentManager, RunReport, Swarm, UsageError
from concurrence.samples.benchmark_tasks import BurnSystem, Burnt, burn
from concurrence.testing.simulation.api import Durations, Scenario
from concurrence.testing.simulation.sweep import components_of, simulate

_WARM_SECONDS = 0.02
_WARM_TASKS = 4  # a worker: until then each has started and loaded the code, whoever was first
_TIMEOUT = 3600.0


class Job(NamedTuple):
    """What every run does, whatever the number of workers.

    Attributes:
        tasks: How many.
        seconds: CPU seconds of each.
        serial: CPU seconds of the task system, before the first task.
    """

    tasks: int
    seconds: float
    serial: float

    @property
    def parallel(self) -> float:
        """P as it was asked for."""
        whole = self.serial + self.tasks * self.seconds
        return self.tasks * self.seconds / whole if whole > 0 else 0.0


class Run(NamedTuple):
    """One run: its time, and where the time of all workers went.

    Attributes:
        seconds: From the push of the task system to its result.
        queued: Mean seconds that a task waited for its turn.
        compute: Seconds of workers, as in :class:`concurrence.Split`.
        serialise: The same.
        transfer: The same.
        idle: The same, with what there calls ``starved``.
        serial: Seconds in which the task system itself was at work.
    """

    seconds: float
    queued: float
    compute: float
    serialise: float
    transfer: float
    idle: float
    serial: float

    def share(self, part: str) -> float:
        """What share of the workers' time a part is, from 0 to 1."""
        whole = self.compute + self.serialise + self.transfer + self.idle
        return getattr(self, part) / whole if whole > 0 else 0.0


def counts(most: int) -> list[int]:
    """The numbers of workers that are measured: all up to eight, then eight to the octave, and the last."""
    found = list(range(1, min(most, 8) + 1))
    step = 2
    while found[-1] + step <= most:
        found.append(found[-1] + step)
        if found[-1] >= 8 * step:
            step *= 2
    return found if found[-1] == most else [*found, most]


def beyond(most: int, last: int) -> list[int]:
    """The numbers of workers that are simulated: powers of two above those that are measured, and the last.

    Args:
        most: The largest number that is measured.
        last: The largest of all.
    """
    found = [1 << power for power in range(1, 17) if most < 1 << power <= last]
    return found if last <= most or last in found else [*found, last]


def measured_and_last(up_to: int, cores: int, simulate: int) -> tuple[int, int]:
    """Up to how many workers are measured, and up to how many simulated: what there are no cores for.

    Args:
        up_to: What was asked for; 0 for one per core.
        cores: How many there are.
        simulate: Up to how many the simulator is to go on.
    """
    return min(up_to or cores, cores), max(simulate, up_to if up_to > cores else 0)


def in_turns(
    measure_one: Callable[[int], Run], numbers: Sequence[int], repeats: int, told: Callable[[int, int], None]
) -> dict[int, list[Run]]:
    """Measure each number of workers several times, taking turns: what the machine does meanwhile meets all alike.

    Args:
        measure_one: Makes one run with so many workers.
        numbers: The numbers of workers.
        repeats: How often each.
        told: Told which run comes next: the number of workers, and how often, from 1.
    """
    runs: dict[int, list[Run]] = {workers: [] for workers in numbers}
    for number in range(1, repeats + 1):
        for workers in numbers:
            told(workers, number)
            runs[workers].append(measure_one(workers))
    return runs


def measure(make_swarm: Callable[[int], Swarm], workers: int, job: Job) -> Run:
    """Run the job once, on a swarm of its own: two runs on one swarm would have more in common than others.

    Args:
        make_swarm: Starts a private swarm.
        workers: How many.
        job: What to run.

    Raises:
        ConcurrenceError: The swarm fails.
        UsageError: Tasks of the job fail.
    """
    with make_swarm(workers) as swarm:
        warm = [swarm.submit(burn, _WARM_SECONDS) for _ in range(_WARM_TASKS * workers)]
        for future in warm:
            future.result(_TIMEOUT)
        before = swarm.report()
        began = time.perf_counter()
        burnt = swarm.push_tasksystem(BurnSystem(job.tasks, job.seconds, job.serial)).result(_TIMEOUT)
        seconds = time.perf_counter() - began
        if isinstance(burnt, Burnt) and burnt.failures:
            raise UsageError(f"tasks failed, and times with failures mean nothing: {burnt.failures[0]}")
        return between(before, swarm.report(), seconds, workers)


def between(before: RunReport, after: RunReport, seconds: float, workers: int) -> Run:
    """What one run took, from the sums before and after it.

    Args:
        before: The swarm's report before the run.
        after: The same when it had ended.
        seconds: How long it took.
        workers: How many there are.
    """
    was, now = before.split, after.split
    compute = now.compute - was.compute
    serialise = now.serialise - was.serialise
    transfer = now.transfer - was.transfer
    tasks = after.ran - before.ran
    queued = (after.queued * after.ran - before.queued * before.ran) / tasks if tasks else 0.0
    idle = max(0.0, workers * seconds - compute - serialise - transfer)
    return Run(seconds, max(0.0, queued), compute, serialise, transfer, idle, after.owner - before.owner)


def simulated(manager: ComponentManager, policy: str, runs: Sequence[Run], job: Job, workers: int) -> float:
    """How many times as fast as one so many workers are, on one machine with as many cores, in virtual time.

    What no simulation knows, the serial seconds and those of a task, are the means of runs with one worker.

    Args:
        manager: Knows the policies.
        policy: The name of the task scheduler.
        runs: Those of one worker.
        job: What they did.
        workers: How many.

    Raises:
        UsageError: The simulation broke off.
    """
    serial = sum(run.serial for run in runs) / len(runs)
    seconds = sum(run.compute for run in runs) / len(runs) / job.tasks
    times = [serial + _makespan(manager, policy, job.tasks, seconds, count) for count in (1, workers)]
    return times[0] / times[1]


def _makespan(manager: ComponentManager, policy: str, tasks: int, seconds: float, workers: int) -> float:
    scenario = Scenario(
        slaves=1, tasks=tasks, policy=policy, workers=workers, alike=True, spread=1.0, durations=Durations.EQUAL,
        seconds=seconds, heartbeats=False, codec=False, check_every=0,
    )  # fmt: skip
    report = simulate(scenario, components_of(manager))
    if report.violation:
        raise UsageError(
            f"the simulation with {workers} workers broke off: {report.violation.splitlines()[0]}",
            hint="Do without it: --simulate 0",
        )
    return report.makespan
