"""Pictures in a terminal: each character shows two points, one above the other."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby, zip_longest

from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from concurrence.nodes.display import Pixels

_UPPER_HALF = "\N{UPPER HALF BLOCK}"
_BLACK = (0, 0, 0)


class HalfBlocks:
    """A picture that is painted again and again: what is painted is put together once.

    Args:
        pixels: The picture.
    """

    def __init__(self, pixels: Pixels) -> None:
        self._segments = [segment for line in _lines(pixels) for segment in line]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._segments


def _lines(pixels: Pixels) -> Iterable[list[Segment]]:
    for upper, lower in zip_longest(pixels[::2], pixels[1::2], fillvalue=()):
        pairs = zip_longest(upper, lower, fillvalue=_BLACK)
        line = [Segment(_UPPER_HALF * len(list(run)), _style(*pair)) for pair, run in groupby(pairs)]
        yield [*line, Segment.line()]


@lru_cache(maxsize=4_096)
def _style(upper: tuple[int, int, int], lower: tuple[int, int, int]) -> Style:
    return Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))
