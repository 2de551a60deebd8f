"""Amdahl's law, measured: the same job on 1, 2, ... workers, and what part of it runs in parallel after all.

The job is a task system with a serial part of its own, which nobody can help it with, and tasks that burn CPU
time. How much is serial can be chosen, so that the law can be seen; what the fit finds beyond that is overhead.
"""

from __future__ import annotations

import sys
from pathlib import Path

from concurrence import (
    Component,
    ComponentManager,
    DurationOption,
    Environment,
    FloatOption,
    IApp,
    IntOption,
    PathOption,
    Swarm,
    UsageError,
    available_cores,
    local_swarm,
)
from concurrence.samples.amdahl_law import MIN_USL, fit_amdahl, fit_usl
from concurrence.samples.amdahl_runs import (
    Job,
    Run,
    beyond,
    counts,
    in_turns,
    measure,
    measured_and_last,
    simulated,
)
from concurrence.samples.amdahl_table import (
    busy_lines,
    few_lines,
    header,
    law_lines,
    measured_row,
    simulated_row,
    usl_lines,
)
from concurrence.samples.plot_files import ENDINGS, SpeedUps, check_plot_file, speed_up_plot


class Amdahl(Component, IApp):
    """Measures the speed-up on 1 to N workers, and fits Amdahl's law to it."""

    up_to = IntOption(
        "amdahl", "up_to", 0, "Up to how many workers; 0 for one per core. More than cores are simulated.", min=0
    )
    repeats = IntOption("amdahl", "repeats", 5, "How often each number of workers is measured.", min=2)
    work = DurationOption("amdahl", "work", 2.0, "CPU time of the whole job.")
    serial = FloatOption("amdahl", "serial", 0.1, "What part of the job is serial, from 0 to 1.")
    task_time = DurationOption("amdahl", "task_time", 0.02, "CPU time that each of its tasks burns.")
    simulate = IntOption(
        "amdahl",
        "simulate",
        16,
        "Up to how many workers the simulator goes on behind the cores; 0 for none.",
        min=0,
    )
    plot = PathOption(
        "amdahl", "plot", None, "The file for the plot, .png or .svg; without an ending both; needs matplotlib."
    )

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self._manager = manager
        self._runs: dict[int, list[Run]] = {}

    def app_init(self) -> None:
        """Check the options before anything runs.

        Raises:
            UsageError: One of them makes no sense.
        """
        if not 0 <= self.serial <= 1:
            raise UsageError(f"amdahl.serial is {self.serial:g}, and a part is from 0 to 1", hint="--serial 0.1")
        if self.work <= 0 or self.task_time <= 0:
            raise UsageError("amdahl.work and amdahl.task_time are more than 0", hint="--work 2")
        self._plots = _plot_files(self.plot)
        for file in self._plots:
            check_plot_file(file, "amdahl.plot")

    def app_main(self) -> int:
        """Measure, simulate, fit, and tell."""
        most, last = measured_and_last(self.up_to, available_cores(), self.simulate)
        parallel = self.work * (1 - self.serial)
        tasks = max(1, round(parallel / self.task_time))
        job = Job(tasks, parallel / tasks, self.work * self.serial)
        shape = f"{job.tasks} tasks of {1e3 * job.seconds:.3g} ms and {job.serial:.3g} s serial"
        _say(f"{shape}: P = {job.parallel:.4f}; {self.repeats} runs each")
        if self.up_to > most:
            _say(f"up to {most} workers are measured, as many as there are cores; more are simulated")
        progress = _Progress(self.repeats)
        self._runs = in_turns(lambda n: measure(self._swarm, n, job), counts(most), self.repeats, progress)
        _say(header())
        for workers, runs in self._runs.items():
            _say(measured_row(workers, runs, self._mean(1)))
        found = {n: self._mean(1) / self._mean(n) for n in self._runs}
        more = self._simulate(most, last, job)
        self._conclude(job, found, more)
        return 0

    def _simulate(self, most: int, last: int, job: Job) -> dict[int, float]:
        more: dict[int, float] = {}
        for workers in beyond(most, last):
            more[workers] = simulated(self._manager, self._policy(), self._runs[1], job, workers)
            _say(simulated_row(workers, more[workers], self._mean(1)))
        if more:
            _say("* simulated: a machine with so many cores, from the serial and task times of one worker")
        return more

    def _conclude(self, job: Job, found: dict[int, float], more: dict[int, float]) -> None:
        if len(found) < 2:
            why = "this machine has one core" if available_cores() < 2 else "--up-to 2"
            _say(f"the law is fitted to one worker and at least one other number: {why}")
            return
        times = {n: [run.seconds for run in runs] for n, runs in self._runs.items()}
        fit = fit_amdahl(times)
        notes = [*few_lines(self.repeats), *busy_lines(self._runs, job)]
        _say("\n".join([*law_lines(fit, job, found), *notes]))
        everything = found | more
        gunther = fit_usl(everything) if len(everything) >= MIN_USL else None
        if gunther is not None:
            _say("\n".join(usl_lines(gunther, len(found), len(more))))
        for file in self._plots:
            speed_up_plot(file, SpeedUps(times, found, more), fit, gunther)
            _say(f"the plot: {file}")

    def _mean(self, workers: int) -> float:
        runs = self._runs[workers]
        return sum(run.seconds for run in runs) / len(runs)

    def _swarm(self, workers: int) -> Swarm:
        manager = self._manager
        if not isinstance(manager, Environment):
            return local_swarm(workers)
        path = None if manager.is_temporary else manager.path
        return local_swarm(workers, environment=path, overrides=manager.overrides)

    def _policy(self) -> str:
        manager = self._manager
        chosen = manager.config.get("masternode", "task_scheduler") if isinstance(manager, Environment) else None
        return str(chosen.raw) if chosen is not None else "ZMQTaskScheduler"


class _Progress:
    """A line on a terminal that says which run goes on; it is overwritten by the next."""

    def __init__(self, repeats: int) -> None:
        self._repeats = repeats

    def __call__(self, workers: int, number: int) -> None:
        """A run begins."""
        if sys.stderr.isatty():
            many = "s" if workers != 1 else " "
            sys.stderr.write(f"\r{workers} worker{many}: run {number} of {self._repeats} \r")
            sys.stderr.flush()


def _plot_files(path: Path | None) -> list[Path]:
    if path is None:
        return []
    return [path] if path.suffix in ENDINGS else [path.with_name(path.name + ending) for ending in ENDINGS]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
