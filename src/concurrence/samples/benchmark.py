"""Benchmark, the seed's "expensive": tasks that do nothing but keep cores busy, to see what the swarm makes of it.

The work is CPU time of the worker's thread, so it cannot be had twice on one core. A swarm that is good for
anything keeps every core busy from the first task to the last; the figure shows whether it does.
"""

from __future__ import annotations

import time
from typing import Any

from concurrence import (
    ApplicationNode,
    BoolOption,
    ChoiceOption,
    DurationOption,
    IntOption,
    PathOption,
    Task,
    TaskError,
    available_cores,
)
from concurrence.samples.benchmark_tasks import BurnSystem, Burnt, make_tasks
from concurrence.samples.cpu_usage import CpuUsage, usage_line
from concurrence.samples.plot_files import check_plot_file, usage_plot

_DEFAULT_SECONDS = 10.0


class Benchmark(ApplicationNode):
    """Burns CPU time in many tasks, and tells how well the cores were used."""

    num_tasks = IntOption(
        "benchmark", "num_tasks", 0, "How many tasks; 0 for about ten seconds on the cores of this machine.", min=0
    )
    time_per_task = DurationOption("benchmark", "time_per_task", 0.1, "CPU time that each task burns.")
    form = ChoiceOption(
        "benchmark", "form", ("tasks", "system"), "tasks", "Plain tasks of the client, or a task system."
    )
    usage = BoolOption("benchmark", "usage", True, "Watch how busy the cores of this machine are.")
    plot = PathOption(
        "benchmark", "plot", None, "The file for the figure of the CPU usage, .png or .svg; needs matplotlib."
    )

    def app_init(self) -> None:
        """Check the place of the figure before anything runs.

        Raises:
            UsageError: It cannot be drawn there.
        """
        if self.plot is not None:
            check_plot_file(self.plot, "benchmark.plot")

    def app_main(self) -> int:
        """Run, with an eye on the cores."""
        self._cpu = CpuUsage()
        try:
            return super().app_main()
        finally:
            self._cpu.stop()

    def start_processing(self) -> None:
        """Push the work in the chosen form."""
        cores = self.workers or available_cores()
        self._count = self.num_tasks or max(1, round(_DEFAULT_SECONDS * cores / max(self.time_per_task, 0.001)))
        self._burnt = 0.0
        self._failures: list[str] = []
        self._began = time.perf_counter()
        if self.usage or self.plot is not None:
            self._cpu.__enter__()
        if self.form == "system":
            self.push_tasksystem(BurnSystem(self._count, self.time_per_task))
        else:
            self.push_tasks(make_tasks(self._count, self.time_per_task))

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        """A plain task ended: add up what it used."""
        if error is not None:
            self._failures.append(f"{task.name}: {error}")
        else:
            self._burnt += result

    def work_finished(self, result: Any, system_id: int) -> None:
        """Everything ended: say what came of it."""
        seconds = time.perf_counter() - self._began
        self._cpu.stop()
        if isinstance(result, Burnt):
            self._burnt, self._failures = result
        if self._failures:
            self.log.error("%d tasks failed; the first: %s", len(self._failures), self._failures[0])
            self.shutdown_main_loop(1)
            return
        self.say(
            f"{self._count:,} tasks burnt {self._burnt:,.2f} s of CPU time in {seconds:,.2f} s: "
            f"{self._burnt / seconds:.2f} times as fast as one core"
        )
        self._tell_usage()
        self.shutdown_main_loop(0)

    def _workers_here(self, cores: int) -> int | None:
        """The workers of a private swarm; None where the tasks run on a master's slaves."""
        if self.master is not None:
            return None
        if self.inline:
            return 1
        chosen = self.config.get("taskmanager", "workers")
        told = str(chosen.raw) if chosen is not None else ""
        return self.workers or (int(told) if told.isdecimal() else 0) or cores

    def _tell_usage(self) -> None:
        cores = available_cores()
        line = usage_line(self._cpu.samples, cores, self._workers_here(cores))
        if line is not None:
            self.say(line)
        elif self.usage:
            self.say("CPU usage: too short to tell, or this system does not")
        if self.plot is not None:
            usage_plot(self.plot, self._cpu.samples)
            self.announce(self.plot, "the figure")
