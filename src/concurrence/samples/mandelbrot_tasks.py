"""What the Mandelbrot sample sends to the swarm: its tasks, its task system, and what collects their columns.

Apart from the application, so that a worker imports nothing that only a client needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from concurrence import ITaskMaster, ITaskSystem, Task, TaskError
from concurrence.samples.mandelbrot_kernel import View, count_column, render_columns, thumbnail

Counts = dict[int, dict[int, int]]
"""Column to row to count: what the plain tasks return."""


class MandelbrotTask(Task):
    """Calculates the columns from ``start`` up to but not including ``stop``.

    Args:
        start: The first column.
        stop: The column after the last.
    """

    def __init__(self, start: int, stop: int) -> None:
        super().__init__(f"columns {start}-{stop - 1}")
        self.start = start


class OptimizedTask(MandelbrotTask):
    """Takes the parameters and returns one byte per pixel."""

    def __init__(self, view: View, start: int, stop: int) -> None:
        super().__init__(start, stop)
        self.view = view
        self.stop = stop

    def __call__(self) -> bytes:
        """The counts, column by column."""
        return render_columns(self.view, self.start, self.stop)


class PlainTask(MandelbrotTask):
    """Takes every point and returns a dict of dicts: how not to do it, kept to show what it costs."""

    def __init__(self, view: View, start: int, stop: int) -> None:
        super().__init__(start, stop)
        self.iterations = view.iterations
        self.work = {column: [(view.x(column), y) for y in view.ys()] for column in range(start, stop)}

    def __call__(self) -> Counts:
        """The counts by column and row."""
        return {
            column: dict(enumerate(count_column(points[0][0], [y for _, y in points], self.iterations)))
            for column, points in self.work.items()
        }


def make_tasks(view: View, factor: int, *, optimized: bool) -> Iterator[MandelbrotTask]:
    """The tasks that make up the picture, from left to right, ``factor`` columns each."""
    kind = OptimizedTask if optimized else PlainTask
    for start in range(0, view.width, factor):
        yield kind(view, start, min(start + factor, view.width))


class Canvas:
    """Puts the picture together, in whatever order its columns arrive.

    Args:
        view: The whole picture.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._height = view.height
        self._counts = bytearray(view.width * view.height)
        self._missing = set(range(view.width))

    def put(self, start: int, columns: bytes | Counts) -> None:
        """Paint the columns that begin at ``start``."""
        if isinstance(columns, bytes):
            self._counts[start * self._height : start * self._height + len(columns)] = columns
            self._missing.difference_update(range(start, start + len(columns) // self._height))
            return
        for column, rows in columns.items():
            for row, count in rows.items():
                self._counts[column * self._height + row] = count
        self._missing.difference_update(columns)

    @property
    def missing(self) -> int:
        """How many columns have not been painted."""
        return len(self._missing)

    def thumbnail(self, columns: int, rows: int) -> list[list[int]]:
        """A small picture of it, as far as it is painted; see :func:`mandelbrot_kernel.thumbnail`."""
        return thumbnail(self._view, self._counts, columns, rows)

    @property
    def counts(self) -> bytes:
        """The whole picture, column by column."""
        return bytes(self._counts)


class Outcome(NamedTuple):
    """The task system's one result: all columns, and what went wrong.

    Attributes:
        columns: The picture, in the form in which the tasks return it.
        failures: Why tasks failed, in their own words.
    """

    columns: bytes | Counts
    failures: list[str]


class MandelbrotSystem(ITaskSystem):
    """The sample as a task system: it lives on the master's machine and hands over one result.

    Args:
        view: The picture.
        factor: How many columns a task calculates.
        optimized: Whether the tasks are the optimized ones.
    """

    name = "mandelbrot"

    def __init__(self, view: View, factor: int, *, optimized: bool) -> None:
        self.view = view
        self.factor = factor
        self.optimized = optimized
        self.columns: dict[int, bytes] = {}
        self.points: Counts = {}
        self.failures: list[str] = []
        self.done = 0

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        """All tasks, made as the swarm takes them."""
        return make_tasks(self.view, self.factor, optimized=self.optimized)

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        """Keep what a task returned."""
        start = cast("MandelbrotTask", task).start
        if error is not None:
            self.failures.append(f"{task.name}: {error}")
        elif self.optimized:
            self.columns[start] = result
        else:
            self.points.update(result)
        self.done += min(self.factor, self.view.width - start)
        master.report_progress(self.done, self.view.width, "columns")

    def gather_result(self, master: ITaskMaster) -> Outcome:
        """The picture, in the form that the tasks use."""
        joined = b"".join(self.columns[start] for start in sorted(self.columns))
        return Outcome(joined if self.optimized else self.points, self.failures)
