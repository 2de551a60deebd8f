"""Boxes, arrows and numbered steps as SVG: the little that a diagram of flows needs. Same input, same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from xml.sax.saxutils import escape

INK, MUTED, PAPER = "#1f2933", "#667482", "#ffffff"
BLUE = ("#e3eefc", "#2f6fb7")
GREEN = ("#e2f4e5", "#2e8b47")
ORANGE = ("#fdeedc", "#c77a1f")
PLAIN = ("#f6f7f9", "#b8c0c8")

_TIP = f"""\
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>"""
_LINE = 17.0
_MARGIN = 14.0
_STEP_RADIUS = 10.0


class Point(NamedTuple):
    """A place in the picture, in points from its top left corner."""

    x: float
    y: float


@dataclass(frozen=True)
class Box:
    """Something that takes part.

    Args:
        x: Its left edge, in points.
        y: Its top edge.
        width: How wide it is.
        height: How high it is.
        lines: What is written in it: the first in bold, from the top.
        colours: Those of its area and of its edge.
    """

    x: float
    y: float
    width: float
    height: float
    lines: Sequence[str] = ()
    colours: tuple[str, str] = PLAIN

    def at(self, across: float, down: float) -> Point:
        """A point of it: 0 is its left or upper edge, 1 the opposite one."""
        return Point(self.x + across * self.width, self.y + down * self.height)


@dataclass(frozen=True)
class Arrow:
    """Something that travels, along straight lines.

    Args:
        points: Where it begins, turns and ends.
        step: The number of this step in the flow; 0 for none.
        text: What is written beside the first half of its longest line.
        is_dashed: Whether it is a word about work, not work.
    """

    points: Sequence[Point]
    step: int = 0
    text: str = ""
    is_dashed: bool = False


def draw(title: str, size: tuple[float, float], boxes: Sequence[Box], arrows: Sequence[Arrow]) -> str:
    """The picture, as the text of an SVG file.

    Args:
        title: What programs for the blind read out.
        size: Its width and height, in points.
        boxes: From the back to the front.
        arrows: They lie on top of the boxes.
    """
    width, height = size
    frame = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    font = 'font-family="DejaVu Sans, Verdana, sans-serif" font-size="12.5"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame} role="img" {font}>',
        f"<title>{escape(title)}</title>",
        _TIP,
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{PAPER}"/>',
        *(part for box in boxes for part in _box(box)),
        *(part for arrow in arrows for part in _arrow(arrow)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _box(box: Box) -> list[str]:
    fill, edge = box.colours
    place = f'x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}"'
    parts = [f'<rect {place} rx="6" fill="{fill}" stroke="{edge}" stroke-width="1.5"/>']
    for number, line in enumerate(box.lines):
        weight = ' font-weight="bold"' if number == 0 else ""
        begin = Point(box.x + _MARGIN, box.y + _MARGIN + _LINE * (number + 0.4))
        parts.append(_text(begin, line, INK if number == 0 else MUTED, weight))
    return parts


def _arrow(arrow: Arrow) -> list[str]:
    path = "M" + "L".join(f"{point.x:g} {point.y:g}" for point in arrow.points)
    dashes = ' stroke-dasharray="5 4"' if arrow.is_dashed else ""
    parts = [f'<path d="{path}" fill="none" stroke="{INK}" stroke-width="1.7"{dashes} marker-end="url(#tip)"/>']
    begin, end = max(zip(arrow.points, arrow.points[1:], strict=False), key=_length)
    middle = Point((begin.x + end.x) / 2, (begin.y + end.y) / 2)
    if arrow.step:
        parts.append(f'<circle cx="{middle.x:g}" cy="{middle.y:g}" r="{_STEP_RADIUS:g}" fill="{INK}"/>')
        number = Point(middle.x, middle.y + 4.5)
        parts.append(_text(number, str(arrow.step), PAPER, ' font-weight="bold" text-anchor="middle"'))
    if arrow.text:
        is_level = abs(begin.y - end.y) < abs(begin.x - end.x)
        if is_level:
            place, anchor = Point(middle.x, middle.y - _STEP_RADIUS - 5), ' text-anchor="middle"'
        else:
            place, anchor = Point(middle.x + _STEP_RADIUS + 5, middle.y + 4.5), ""
        parts.append(_text(place, arrow.text, INK, anchor))
    return parts


def _length(line: tuple[Point, Point]) -> float:
    begin, end = line
    return abs(begin.x - end.x) + abs(begin.y - end.y)


def _text(place: Point, text: str, colour: str, more: str = "") -> str:
    return f'<text x="{place.x:g}" y="{place.y:g}" fill="{colour}"{more}>{escape(text)}</text>'
