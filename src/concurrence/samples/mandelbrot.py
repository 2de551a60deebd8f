"""The Mandelbrot picture, drawn by the swarm in six shapes that must agree pixel for pixel.

A task calculates ``factor`` columns. The shapes differ in who pushes the tasks (a task system on the master's
machine, the client in one batch, the client one by one) and in what travels (``-optimized``: a few numbers in,
one byte per pixel out; ``-plain``: every single point in, a dict of dicts out). The time that they take shows
what moving data costs.

Where the client pushes the tasks it hears of each, and so the picture grows before one's eyes: in the terminal,
and in its file. The results of a task system do not come to the client, only the one that it gathers from them.
"""

from __future__ import annotations

import importlib
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
    UsageError,
)
from concurrence.samples.mandelbrot_compare import SHAPES, Comparison
from concurrence.samples.mandelbrot_kernel import (
    COLOURS,
    MAX_ITERATIONS,
    MAX_SIDE,
    palette,
    render_sequential,
    rows_of,
)
from concurrence.samples.mandelbrot_places import (
    PLACES,
    SizeOption,
    ZoomOption,
    parse_place,
    parse_size,
    view_of,
)
from concurrence.samples.mandelbrot_tasks import (
    Canvas,
    MandelbrotSystem,
    MandelbrotTask,
    Outcome,
    make_tasks,
)
from concurrence.samples.png import write_png
from concurrence.samples.whole_files import check_file

_WINDOW = 128
"""Tasks under way in the shape ``single``: enough for a large swarm, and no more than a buffer should hold."""

_SHOW_SECONDS = 0.25
_WRITE_SECONDS, _WRITE_SHARE = 1.0, 20
"""The unfinished picture is written no more often, and takes no more than this part of the time."""

_WRITE_POINTS = 16_000_000
"""An unfinished picture with more points is not written: that would keep the client busy for too long at once."""


class Mandelbrot(ApplicationNode):
    """Draws the Mandelbrot set and writes it as a PNG file."""

    width = IntOption("mandelbrot", "width", 1536, "Columns of the picture, in points.", min=1, max=MAX_SIDE)
    height = IntOption("mandelbrot", "height", 1024, "Rows of the picture, in points.", min=1, max=MAX_SIDE)
    size = SizeOption("mandelbrot", "size", "", "Both together, as in 3072x2048; goes before width and height.")
    zoom = ZoomOption(
        "mandelbrot",
        "zoom",
        "whole",
        f"Where to look: {', '.join(PLACES)}, or centre and factor as X,Y,FACTOR. Deep inside it takes more "
        "iterations to see something, as in: --zoom seahorses --iters 200.",
    )
    iterations = IntOption(
        "mandelbrot",
        "iterations",
        20,
        "How many steps of an orbit are followed at most.",
        min=1,
        max=MAX_ITERATIONS,
        aliases=("iters",),
    )
    factor = IntOption("mandelbrot", "factor", 8, "How many columns a task calculates.", min=1)
    output = PathOption("mandelbrot", "output", Path("mandelbrot.png"), "The file for the picture, a PNG.")
    shape = ChoiceOption(
        "mandelbrot", "shape", SHAPES, "batch-optimized", "Who pushes the tasks, and what travels."
    )
    colours = ChoiceOption(
        "mandelbrot", "colours", COLOURS, "fire", "The palette that the picture is painted with."
    )
    compare = BoolOption("mandelbrot", "compare", False, "Calculate sequentially too, and tell the speed-up.")
    compare_all = BoolOption(
        "mandelbrot",
        "compare_all",
        False,
        "Draw the picture in all six shapes, print a table of what each took, and draw that too, into "
        "mandelbrot-plain and mandelbrot-optimized, PNG and SVG, beside the picture.",
    )
    repeats = IntOption(
        "mandelbrot", "repeats", 3, "How often each shape is drawn when all are compared.", min=1, max=100
    )

    def app_init(self) -> None:
        """Find out what is wrong before a swarm is started."""
        check_file(self.output, "mandelbrot.output", "mandelbrot.png")
        if self.compare_all:
            try:
                importlib.import_module("matplotlib")
            except ImportError as error:
                raise UsageError(
                    f"comparing all shapes draws figures, which needs the package matplotlib: {error}",
                    hint="Install what the samples need: pip install 'concurrence[samples]'",
                ) from error
        width, height = parse_size(self.size) or (self.width, self.height)
        self._view = view_of(width, height, self.iterations, parse_place(self.zoom))
        self._palette = palette(self.colours, self.iterations)
        self._canvas = Canvas(self._view)
        self._comparison = Comparison(self._view, self.repeats) if self.compare_all else None

    def start_processing(self) -> None:
        """Push the work in the chosen shape; from here on everything is a notification."""
        self._begin(self._comparison.next_shape() if self._comparison else self.shape)

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        """A plain task ended: paint its columns, and push the next if they are pushed one by one."""
        if error is None:
            self._canvas.put(cast("MandelbrotTask", task).start, result)
        else:
            self._failures.append(f"{task.name}: {error}")
        following = next(self._unpushed, None)
        if following is not None:
            self.push_task(following)
        if self._comparison is None:  # whose clock runs
            self._grow(time.perf_counter())

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
        elif self._comparison is None:
            self._present(seconds)
        else:
            self._compared(self._comparison, seconds)

    def push_tasksystem_failed(self, system_id: int, error: TaskError) -> None:
        """The task system did not come to its end."""
        self._give_up(str(error))

    def interrupted(self) -> None:
        """Leave what is drawn."""
        drawn = self._view.width - self._canvas.missing
        if drawn and self._comparison is None and not self._write(level=1):
            self.announce(self.output, f"{drawn} of {self._view.width} columns")

    def _begin(self, shape: str) -> None:
        """Push the tasks of one picture."""
        self._canvas = Canvas(self._view)
        self._failures: list[str] = []
        self._unpushed: Iterator[Task] = iter(())
        self._moved = self.summary_so_far().moved
        who, _, what = shape.partition("-")
        optimized = what == "optimized"
        self._first_push = self._shown = self._written = time.perf_counter()
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

    # --- the picture ---

    def _grow(self, now: float) -> None:
        """Show what there is so far, now and then."""
        if now - self._shown >= _SHOW_SECONDS:
            self._show()
            self._shown = time.perf_counter()
        is_small = self._view.width * self._view.height <= _WRITE_POINTS
        if is_small and now >= self._written + _WRITE_SECONDS and self._canvas.missing:
            self._write(level=1)
            took = time.perf_counter() - now
            self._written = time.perf_counter() + max(0.0, _WRITE_SHARE * took - _WRITE_SECONDS)

    def _show(self) -> None:
        columns, rows = self.picture_size
        if columns and rows:
            small = self._canvas.thumbnail(columns, rows)
            self.show_picture([[self._palette[count] for count in line] for line in small])

    def _write(self, *, level: int) -> str:
        """Write the picture as it is; why that failed, or nothing."""
        try:
            write_png(self.output, rows_of(self._view, self._canvas.counts), self._palette, level=level)
        except OSError as error:
            return f"the picture could not be written to {self.output}: {error.strerror or error}"
        return ""

    def _present(self, seconds: float) -> None:
        """Write the whole picture and say what it took."""
        self._show()
        problem = self._write(level=9)
        if problem:
            self._give_up(problem)
            return
        view = self._view
        size = f"{view.width} x {view.height}, {view.iterations} iterations"
        self.say(f"{size}: {seconds:.2f} s from the first push to the last notification")
        self.announce(self.output, "the picture")
        self.shutdown_main_loop(self._compare(seconds) if self.compare else 0)

    # --- comparing ---

    def _compare(self, seconds: float) -> int:
        """Calculate the picture here, in one process, and compare time and pixels; returns the exit code."""
        started = time.perf_counter()
        expected = render_sequential(self._view)
        alone = time.perf_counter() - started
        self.say(
            f"the same kernel sequentially: {alone:.2f} s, so the swarm is {alone / seconds:.2f} times as fast"
        )
        if self._canvas.counts != expected:
            self.log.error("the swarm's picture differs from the sequential one")
            return 1
        return 0

    def _compared(self, comparison: Comparison, seconds: float) -> None:
        """One of all shapes is drawn: measure it and go on, or end."""
        moved = self.summary_so_far().moved - self._moved
        if not comparison.add(seconds, moved, self._canvas.counts):
            self._give_up(f"the shape {comparison.shape} differs from the sequential picture")
            return
        shape = comparison.next_shape()
        if shape:
            self._begin(shape)
            return
        for line in comparison.lines():
            self.say(line)
        if problem := self._write(level=9):
            self._give_up(problem)
            return
        self.announce(self.output, "the picture")
        from concurrence.samples.mandelbrot_plot import draw_comparison  # noqa: PLC0415  brings matplotlib

        try:
            for file in draw_comparison(self.output.parent, comparison.medians(), comparison.title):
                self.announce(file, "a figure")
        except OSError as error:
            self._give_up(f"the figures could not be written: {error.strerror or error}")
            return
        self.shutdown_main_loop()

    def _give_up(self, reason: str) -> None:
        self.log.error("no picture: %s", reason)
        self.shutdown_main_loop(1)
