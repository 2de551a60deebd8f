"""Where to look, and how large the picture is: what people write for both."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from concurrence import StrOption
from concurrence.samples.mandelbrot_kernel import LEFT, MAX_SIDE, RIGHT, View

_MAX_FACTOR = 1e12
"""Beyond it neighbouring points are the same number."""

_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")


class Place(NamedTuple):
    """A point, and how near one looks.

    Attributes:
        x: The real part.
        y: The imaginary part.
        factor: How much smaller than the whole the region is: 1 for the width of the whole.
    """

    x: float
    y: float
    factor: float


PLACES = {
    "seahorses": Place(-0.748, 0.105, 60),
    "elephants": Place(0.2855, 0.0115, 90),
    "spiral": Place(-0.761574, -0.0847596, 2_000),
    "lightning": Place(-1.315180982097868, 0.073481649996795, 3_000),
    "island": Place(-1.7549, 0.0, 60),
}
"""Places that are worth a look; with 20 iterations there is not much to see, with 200 there is."""


def parse_place(text: str) -> Place | None:
    """The place that a text means; None for the whole set.

    Raises:
        ValueError: It means none; the text says why, if it can.
    """
    word = text.strip().lower()
    if word in ("", "whole"):
        return None
    if word in PLACES:
        return PLACES[word]
    parts = word.split(",")
    if len(parts) != len(Place._fields):
        from difflib import get_close_matches  # noqa: PLC0415  needed where something went wrong, and nowhere else

        near = get_close_matches(word, PLACES, n=1)
        raise ValueError(f'did you mean "{near[0]}"?' if near else "")
    try:
        x, y, factor = (float(part) for part in parts)
    except ValueError:
        raise ValueError("these are no numbers") from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError("the centre must be finite")
    if not 0 < factor <= _MAX_FACTOR:
        raise ValueError(f"the factor must be above 0 and at most {_MAX_FACTOR:.0e}")
    return Place(x, y, factor)


def parse_size(text: str) -> tuple[int, int] | None:
    """Columns and rows that a text means; None if it is empty.

    Raises:
        ValueError: It means none.
    """
    if not text.strip():
        return None
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError
    width, height = int(found[1]), int(found[2])
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ValueError(f"a side has from 1 to {MAX_SIDE} points")
    return width, height


def view_of(width: int, height: int, iterations: int, place: Place | None) -> View:
    """The picture of a place: as wide as its factor says, and as high as the picture's shape wants.

    Args:
        width: Columns.
        height: Rows.
        iterations: How long an orbit is followed.
        place: Where; None for the region x [-2, 1], y [-1, 1], whatever shape the picture has.
    """
    if place is None:
        return View(width, height, iterations)
    across = (RIGHT - LEFT) / place.factor
    down = across * height / width
    return View(
        width,
        height,
        iterations,
        left=place.x - across / 2,
        right=place.x + across / 2,
        bottom=place.y - down / 2,
        top=place.y + down / 2,
    )


class ZoomOption(StrOption):
    """A place: a name, or centre and factor."""

    expected = f"{', '.join(PLACES)}, or X,Y,FACTOR"
    example = '"-0.748,0.105,60"'

    def convert(self, value: Any) -> str:
        """The text, if it means a place."""
        parse_place(str(value.raw))
        return str(value.raw)


class SizeOption(StrOption):
    """Columns and rows."""

    expected = "WIDTHxHEIGHT"
    example = '"3072x2048"'

    def convert(self, value: Any) -> str:
        """The text, if it means a size."""
        parse_size(str(value.raw))
        return str(value.raw)
