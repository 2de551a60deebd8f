"""The Mandelbrot picture, drawn by the swarm in six shapes that must agree pixel for pixel.

A task calculates ``factor`` columns. The shapes differ in who pushes the tasks (a task system on the master's
machine, the client in one batch, the client one by one) and in what travels (``-optimized``: a few numbers in,
one byte per pixel out; ``-plain``: every single point in, a dict of dicts out). The time that they take shows
what moving data costs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

from concurrence import (
    ApplicationNode,
    BoolOption,
    ChoiceOption,
    IntOption,
    PathOption,
    Task,
    TaskError,
)
from concurrence.samples.mandelbrot_kernel import (
    COLOURS,
    MAX_ITERATIONS,
    View,
    palette,
    render_sequential,
    rows_of,
)
from concurrence.samples.mandelbrot_tasks import (
    Canvas,
    MandelbrotSystem,
    MandelbrotTask,
    Outcome,
    make_tasks,
)
from concurrence.samples.png import write_png

SHAPES = tuple(f"{who}-{what}" for who in ("system", "batch", "single") for what in ("optimized", "plain"))
"""Who pushes the tasks, and whether what travels is optimized."""

_MAX_SIDE = 32_768

_WINDOW = 128
"""Tasks under way in the shape ``single``: enough for a large swarm, and no more than a buffer should hold."""


class Mandelbrot(ApplicationNode):
    """Draws the Mandelbrot set and writes it as a PNG file."""

    width = IntOption("mandelbrot", "width", 1536, "Columns of the picture, in points.", min=1, max=_MAX_SIDE)
    height = IntOption("mandelbrot", "height", 1024, "Rows of the picture, in points.", min=1, max=_MAX_SIDE)
    iterations = IntOption(
        "mandelbrot",
        "iterations",
        20,
        "How many steps of an orbit are followed at most.",
        min=1,
        max=MAX_ITERATIONS,
    )
    factor = IntOption("mandelbrot", "factor", 8, "How many columns a task calculates.", min=1)
    output = PathOption("mandelbrot", "output", Path("mandelbrot.png"), "The file for the picture, a PNG.")
    shape = ChoiceOption(
        "mandelbrot", "shape", SHAPES, "system-optimized", "Who pushes the tasks, and what travels."
    )
    colours = ChoiceOption(
        "mandelbrot", "colours", COLOURS, "fire", "The palette that the picture is painted with."
    )
    compare = BoolOption("mandelbrot", "compare", False, "Calculate sequentially too, and tell the speed-up.")

    def start_processing(self) -> None:
        """Push the work in the chosen shape; from here on everything is a notification."""
        self._view = View(self.width, self.height, self.iterations)
        self._canvas = Canvas(self._view)
        self._failures: list[str] = []
        self._unpushed: Iterator[Task] = iter(())
        if not self.output.parent.is_dir():
            self._give_up(f"the folder of mandelbrot.output does not exist: {self.output.parent}")
            return
        who, _, what = self.shape.partition("-")
        optimized = what == "optimized"
        self._first_push = time.perf_counter()
        if who == "system":
            self.push_tasksystem(MandelbrotSystem(self._view, self.factor, optimized=optimized))
            return
        tasks = make_tasks(self._view, self.factor, optimized=optimized)
        if who == "batch":
            self.push_tasks(tasks)
            return
        self._unpushed = tasks
        for task in islice(tasks, _WINDOW):
            self.push_task(task)

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        """A plain task ended: paint its columns, and push the next if they are pushed one by one."""
        if error is None:
            self._canvas.put(cast("MandelbrotTask", task).start, result)
        else:
            self._failures.append(f"{task.name}: {error}")
        following = next(self._unpushed, None)
        if following is not None:
            self.push_task(following)

    def work_finished(self, result: Any, system_id: int) -> None:
        """Everything ended: write the picture, or say why there is none."""
        seconds = time.perf_counter() - self._first_push
        if isinstance(result, Outcome):
            self._failures += result.failures
            if not result.failures:
                self._canvas.put(0, result.columns)
        if self._failures or self._canvas.missing:
            first = f"; the first: {self._failures[0]}" if self._failures else ""
            self._give_up(f"{len(self._failures)} tasks failed, {self._canvas.missing} columns are missing{first}")
            return
        self._present(seconds)

    def _present(self, seconds: float) -> None:
        """Write the whole picture and say what it took."""
        view, counts = self._view, self._canvas.counts
        try:
            write_png(self.output, rows_of(view, counts), palette(self.colours, view.iterations))
        except OSError as error:
            self._give_up(f"the picture could not be written to {self.output}: {error.strerror or error}")
            return
        size = f"{view.width} x {view.height}, {view.iterations} iterations"
        self.say(f"{size}: {seconds:.2f} s from the first push to the last notification")
        self.announce(self.output, "the picture")
        self.shutdown_main_loop(self._compare(seconds, counts) if self.compare else 0)

    def _compare(self, seconds: float, counts: bytes) -> int:
        """Calculate the picture here, in one process, and compare time and pixels; returns the exit code."""
        started = time.perf_counter()
        expected = render_sequential(self._view)
        alone = time.perf_counter() - started
        self.say(
            f"the same kernel sequentially: {alone:.2f} s, so the swarm is {alone / seconds:.2f} times as fast"
        )
        if counts != expected:
            self.log.error("the swarm's picture differs from the sequential one")
            return 1
        return 0

    def _give_up(self, reason: str) -> None:
        self.log.error("no picture: %s", reason)
        self.shutdown_main_loop(1)
