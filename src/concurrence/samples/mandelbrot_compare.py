"""All six shapes of the Mandelbrot picture, one after the other, against the sequential kernel."""

from __future__ import annotations

import time
from statistics import median

from concurrence.samples.mandelbrot_kernel import View, render_sequential
from concurrence.samples.tables import human_bytes, table

SHAPES = tuple(f"{who}-{what}" for who in ("system", "batch", "single") for what in ("optimized", "plain"))
"""Who pushes the tasks, and whether what travels is optimized."""

SEQUENTIAL = "sequential"

_WARM_UP = "batch-optimized"
"""Drawn first, and not counted: the workers have yet to load the kernel."""


class Comparison:
    """What each shape takes, in rounds, so that whatever else the machine does hits all of them alike.

    Args:
        view: The picture.
        repeats: How many rounds.

    Attributes:
        shape: The one that is being drawn.
        title: What is compared.
    """

    def __init__(self, view: View, repeats: int) -> None:
        self.shape = ""
        self.title = f"{view.width} x {view.height}, {view.iterations} iterations"
        self._view = view
        self._left = [_WARM_UP, *(shape for _ in range(repeats) for shape in SHAPES)]
        self._is_warm = False
        self._seconds: dict[str, list[float]] = {shape: [] for shape in (SEQUENTIAL, *SHAPES)}
        self._moved = dict.fromkeys(SHAPES, 0)

    def next_shape(self) -> str:
        """What to draw next; empty when all is done."""
        self.shape = self._left.pop(0) if self._left else ""
        return self.shape

    def add(self, seconds: float, moved: int, counts: bytes) -> bool:
        """The shape is drawn. Before each round the kernel runs sequentially too, while the swarm idles.

        Args:
            seconds: From the first push to the last notification.
            moved: Bytes of tasks and results.
            counts: The picture.

        Returns:
            Whether it is the sequential picture.
        """
        if self._is_warm:
            self._seconds[self.shape].append(seconds)
            self._moved[self.shape] = moved
        if not self._is_warm or (self.shape == SHAPES[-1] and self._left):
            self._is_warm = True
            begun = time.perf_counter()
            self._expected = render_sequential(self._view)
            self._seconds[SEQUENTIAL].append(time.perf_counter() - begun)
        return counts == self._expected

    def medians(self) -> dict[str, float]:
        """The median of the seconds by shape, that of the sequential kernel among them."""
        return {shape: median(seconds) for shape, seconds in self._seconds.items()}

    def lines(self) -> list[str]:
        """The table: for each shape its time, the bytes that moved, and its speed-up."""
        medians = self.medians()
        rows = [
            (
                shape,
                f"{medians[shape]:.2f} s",
                f"{min(seconds):.2f} to {max(seconds):.2f} s",
                human_bytes(self._moved[shape]) if shape in self._moved else "",
                f"{medians[SEQUENTIAL] / medians[shape]:.2f}",
            )
            for shape, seconds in self._seconds.items()
        ]
        return [self.title, *table(("shape", "median", "from, to", "moved", "speed-up"), rows)]
