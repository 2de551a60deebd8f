"""The Mandelbrot kernel in pure Python: the very same code runs sequentially and in tasks.

A count is the number of the iteration in which a point's orbit left the circle of radius 2, from 1; it is 0
for a point that stayed. Counts are kept as bytes, column by column from the left, each from top to bottom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEFT, RIGHT = -2.0, 1.0
BOTTOM, TOP = -1.0, 1.0
MAX_ITERATIONS = 255
"""A count must fit into a byte, in the tasks' results as in the picture."""

MAX_SIDE = 32_768
"""The most columns, or rows, of a picture."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255 each."""

_GRADIENTS: dict[str, tuple[Colour, ...]] = {
    "fire": ((24, 6, 16), (128, 14, 18), (232, 84, 12), (255, 196, 40), (255, 255, 220)),
    "ocean": ((4, 8, 40), (10, 60, 120), (20, 140, 170), (140, 220, 210), (250, 255, 245)),
    "grey": ((20, 20, 20), (255, 255, 255)),
}
COLOURS = tuple(_GRADIENTS)
"""The names of the palettes."""


@dataclass(frozen=True, slots=True)
class View:
    """A picture of a region; each pixel stands for the point at its middle.

    Attributes:
        width: Columns.
        height: Rows.
        iterations: How long an orbit is followed; at most :data:`MAX_ITERATIONS`.
        left: The least real part of the region.
        right: The greatest real part.
        bottom: The least imaginary part.
        top: The greatest imaginary part.
    """

    width: int
    height: int
    iterations: int
    left: float = LEFT
    right: float = RIGHT
    bottom: float = BOTTOM
    top: float = TOP

    def x(self, column: int) -> float:
        """The real part of a column's points."""
        return self.left + (self.right - self.left) * (column + 0.5) / self.width

    def ys(self) -> list[float]:
        """The imaginary parts of a column's points, from top to bottom."""
        step = (self.top - self.bottom) / self.height
        return [self.top - step * (row + 0.5) for row in range(self.height)]


def count_column(x: float, ys: list[float], iterations: int) -> bytes:
    """The counts of the points ``x + iy``, one byte each.

    Written for speed: the real arithmetic is spelled out, so that no squares are calculated twice. Shortcuts that
    would skip points (the set's symmetry, the tests for its big bulbs) are left out on purpose: what every point
    costs is what the sample distributes.
    """
    counts = bytearray(len(ys))
    numbers = range(1, iterations + 1)
    for row, y in enumerate(ys):
        re, im = x, y
        for number in numbers:
            if (re_squared := re * re) + (im_squared := im * im) > 4.0:
                counts[row] = number
                break
            im = (re + re) * im + y
            re = re_squared - im_squared + x
    return bytes(counts)


def render_columns(view: View, start: int, stop: int) -> bytes:
    """The counts of the columns from ``start`` up to but not including ``stop``."""
    ys = view.ys()
    return b"".join(count_column(view.x(column), ys, view.iterations) for column in range(start, stop))


def render_sequential(view: View) -> bytes:
    """The counts of the whole picture, calculated here and now: what every distributed run must reproduce."""
    return render_columns(view, 0, view.width)


def rows_of(view: View, counts: bytes) -> list[bytes]:
    """The counts row by row from the top, as pictures are written."""
    return [counts[row :: view.height] for row in range(view.height)]


def thumbnail(view: View, counts: Sequence[int], columns: int, rows: int) -> list[list[int]]:
    """A small picture of a large one: counts by row, of points that lie evenly in it.

    Args:
        view: The large one.
        counts: Its counts.
        columns: How many points it may have across.
        rows: How many down; as many are taken as keep the shape.
    """
    scale = min(columns / view.width, rows / view.height, 1.0)
    across, down = max(1, int(view.width * scale)), max(1, int(view.height * scale))
    starts = [(2 * column + 1) * view.width // (2 * across) * view.height for column in range(across)]
    return [
        [counts[start + place] for start in starts]
        for place in ((2 * row + 1) * view.height // (2 * down) for row in range(down))
    ]


def palette(colours: str, iterations: int) -> list[Colour]:
    """The colour of each count from 0 to ``iterations``; points that stayed are black.

    Args:
        colours: One of :data:`COLOURS`.
        iterations: The highest count.
    """
    stops = _GRADIENTS[colours]
    return [(0, 0, 0), *(_blend(stops, number / iterations) for number in range(1, iterations + 1))]


def _blend(stops: tuple[Colour, ...], position: float) -> Colour:
    """The colour at ``position``, 0 to 1, between evenly spaced stops."""
    place = position * (len(stops) - 1)
    index = min(int(place), len(stops) - 2)
    (r0, g0, b0), (r1, g1, b1) = stops[index], stops[index + 1]
    part = place - index
    return round(r0 + (r1 - r0) * part), round(g0 + (g1 - g0) * part), round(b0 + (b1 - b0) * part)
