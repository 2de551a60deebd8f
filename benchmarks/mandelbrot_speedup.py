"""What the swarm gains on the Mandelbrot sample: against the same kernel in one process, in alternation.

    python benchmarks/mandelbrot_speedup.py [--width W] [--height H] [--iterations I] [--shape SHAPE] [--repeats R]

The swarm's time is that from the first push to the last notification, with the picture put together. While the
kernel runs sequentially the swarm idles. Every picture must be the same, pixel for pixel.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from typing import Any, cast

from concurrence import ApplicationNode, Task, TaskError, run
from concurrence.samples.mandelbrot_kernel import View, render_sequential
from concurrence.samples.mandelbrot_tasks import Canvas, MandelbrotSystem, MandelbrotTask, Outcome, make_tasks


class Speedup(ApplicationNode):
    """Draws the picture again and again, by the swarm and alone."""

    view = View(1536, 1024, 20)
    factor = 8
    shape = "system-optimized"
    repeats = 5
    alone: list[float] = []  # noqa: RUF012  filled by the one application of this process
    together: list[float] = []  # noqa: RUF012

    def start_processing(self) -> None:
        """The first round: not counted, as the workers have yet to load the kernel."""
        self._is_warm = False
        self._failed = False
        self._begin()

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        """Paint the columns of a plain task."""
        if error is None:
            self._canvas.put(cast("MandelbrotTask", task).start, result)
        else:
            self._failed = True
            self.log.error("%s: %s", task.name, error)

    def work_finished(self, result: Any, system_id: int) -> None:
        """A picture is complete: draw the same alone, and go round again."""
        if isinstance(result, Outcome) and not result.failures:
            self._canvas.put(0, result.columns)
        seconds = time.perf_counter() - self._begun
        begun = time.perf_counter()
        expected = render_sequential(self.view)
        if self._is_warm:
            self.alone.append(time.perf_counter() - begun)
            self.together.append(seconds)
        self._is_warm = True
        if self._failed or self._canvas.missing or self._canvas.counts != expected:
            self.log.error("the swarm's picture is not that of the sequential kernel")
            self.shutdown_main_loop(1)
        elif len(self.together) == self.repeats:
            self.shutdown_main_loop()
        else:
            self._begin()

    def _begin(self) -> None:
        self._canvas = Canvas(self.view)
        who, _, what = self.shape.partition("-")
        optimized = what == "optimized"
        self._begun = time.perf_counter()
        if who == "system":
            self.push_tasksystem(MandelbrotSystem(self.view, self.factor, optimized=optimized))
        else:
            self.push_tasks(make_tasks(self.view, self.factor, optimized=optimized))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--width", type=int, default=1536)
    parser.add_argument("--height", type=int, default=1024)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--factor", type=int, default=8)
    shapes = ("system-optimized", "system-plain", "batch-optimized", "batch-plain")
    parser.add_argument("--shape", choices=shapes, default=shapes[0])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    Speedup.view = View(arguments.width, arguments.height, arguments.iterations)
    Speedup.factor, Speedup.shape, Speedup.repeats = arguments.factor, arguments.shape, arguments.repeats
    del sys.argv[1:]  # they are this script's, not the application's
    code = run(Speedup)
    if code == 0:
        alone, together = Speedup.alone, Speedup.together
        ratios = [one / other for one, other in zip(alone, together, strict=True)]
        cores = len(os.sched_getaffinity(0))
        size = f"{arguments.width} x {arguments.height}, {arguments.iterations} iterations"
        print(f"{size}, {arguments.shape}, {cores} cores")
        print(f"sequential: median {statistics.median(alone):.3f} s   best {min(alone):.3f} s")
        print(f"swarm:      median {statistics.median(together):.3f} s   best {min(together):.3f} s")
        print(f"speed-up:   median {statistics.median(ratios):.2f}   from {min(ratios):.2f} to {max(ratios):.2f}")
    return code


if __name__ == "__main__":
    sys.exit(main())
