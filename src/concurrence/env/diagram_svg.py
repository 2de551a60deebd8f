"""Linked components as an SVG picture; the same configuration gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from colorsys import hls_to_rgb
from xml.sax.saxutils import escape

from concurrence.env.diagram_layout import ROW, Box, Connection, Layout, Strength, lay_out
from concurrence.env.links import LinkMap

_INK, _MUTED, _BROKEN, _PAPER = "#1f2933", "#7b8794", "#c0392b", "#ffffff"
_BUILT_IN = ("#e3eefc", "#2f6fb7")
_DISABLED = ("#f0f1f3", _MUTED)
_PALETTE = (
    ("#e2f4e5", "#2e8b47"),
    ("#fdeedc", "#c77a1f"),
    ("#f3e6fa", "#8a4fb0"),
    ("#fde4ea", "#b8446a"),
    ("#dff3f4", "#228a93"),
)
_GOLDEN = 0.618034
"""Steps of this part of a circle come near each other as late as can be."""
_LEGEND_ROW = 22.0
_LEGEND_WIDTH = 330.0
_LINES = {
    Strength.CHOSEN: f'stroke="{_INK}" stroke-width="2"',
    Strength.POSSIBLE: f'stroke="{_MUTED}" stroke-width="1.2" stroke-dasharray="5 4"',
    Strength.DISABLED: f'stroke="{_MUTED}" stroke-width="1" stroke-dasharray="1 4"',
}


def draw_svg(links: LinkMap, title: str = "Components and their extension points") -> str:
    """The picture as a text of XML.

    Args:
        links: What is drawn.
        title: What programs for the blind read out.
    """
    layout = lay_out(links)
    sources = list(dict.fromkeys(box.source for box in layout.boxes.values()))
    sources.sort(key=lambda source: source != "built in")
    others = (source for source in sources if source != "built in")
    colours = {source: _BUILT_IN for source in sources if source == "built in"}
    colours |= {source: _colours(number) for number, source in enumerate(others)}
    legend = list(_legend(layout, colours))
    width = max(layout.width, _LEGEND_WIDTH)
    height = layout.height + _LEGEND_ROW * len(legend) + 12
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    font = 'font-family="DejaVu Sans, Verdana, sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {font}>',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="{_PAPER}"/>',
        *(_connection(layout, connection) for connection in sorted(layout.connections, key=_is_strong)),
        *(part for pill in layout.pills.values() for part in _pill(pill)),
        *(part for box in layout.boxes.values() for part in _box(box, colours[box.source])),
    ]
    for number, (mark, text) in enumerate(legend):
        y = layout.height + _LEGEND_ROW * number + 6
        parts.append(f'<g transform="translate(24 {y:.1f})">{mark}{_text(46, 4, text, _INK)}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _colours(number: int) -> tuple[str, str]:
    """Fill and edge of the boxes of a plug-in; those after the first few go round the wheel, blue left out."""
    if number < len(_PALETTE):
        return _PALETTE[number]
    hue = (0.7 + 0.85 * ((number * _GOLDEN) % 1.0)) % 1.0
    return _hex(hue, 0.94), _hex(hue, 0.42)


def _hex(hue: float, lightness: float) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in hls_to_rgb(hue, lightness, 0.55))


def _is_strong(connection: Connection) -> bool:
    return connection.strength is Strength.CHOSEN  # the strong lines lie on top


def _connection(layout: Layout, connection: Connection) -> str:
    start, end = layout.at(connection.start), layout.at(connection.end)
    x, y = start.x + start.width, start.line_y(connection.line)
    to_x, to_y = end.x, end.line_y(None)
    bend = max(40.0, abs(to_x - x) / 2)
    stroke = _LINES[connection.strength]
    if start.problem and connection.line is None:
        stroke = stroke.replace(_INK, _BROKEN)
    return (
        f'<path d="M{x:.1f} {y:.1f} C{x + bend:.1f} {y:.1f} {to_x - bend:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}" '
        f'fill="none" {stroke}/>'
    )


def _pill(pill: Box) -> Iterator[str]:
    edge = _BROKEN if pill.problem else _INK
    yield (
        f'<rect x="{pill.x:.1f}" y="{pill.y:.1f}" width="{pill.width:.1f}" height="{pill.height:.1f}" '
        f'rx="{min(pill.height / 2, 24):.1f}" fill="#f5f7fa" stroke="{edge}" stroke-width="1.4"/>'
    )
    middle = pill.x + pill.width / 2
    yield _text(middle, _base(pill, -1), pill.title, edge, 'text-anchor="middle" font-style="italic"')
    for number, line in enumerate(pill.lines):
        yield _text(middle, _base(pill, number), line, _MUTED, 'text-anchor="middle" font-size="11"')


def _box(box: Box, colours: tuple[str, str]) -> Iterator[str]:
    fill, edge = colours if box.enabled else _DISABLED
    dash = "" if box.enabled else ' stroke-dasharray="4 3"'
    yield (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="5" '
        f'fill="{fill}" stroke="{edge}" stroke-width="1.4"{dash}/>'
    )
    yield _text(
        box.x + 10,
        _base(box, -1),
        box.title,
        _INK if box.enabled else _MUTED,
        'font-weight="bold" font-size="11.5"',
    )
    for number, line in enumerate(box.lines):
        yield _text(box.x + box.width - 12, _base(box, number), line, _INK, 'text-anchor="end" font-size="11"')
        dot = f'cx="{box.x + box.width:.1f}" cy="{box.line_y(number):.1f}"'
        yield f'<circle {dot} r="3" fill="{edge}"/>'


def _base(box: Box, line: int) -> float:
    return box.line_y(line) + ROW * 0.24


def _text(x: float, y: float, text: str, colour: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" {style}>{escape(text)}</text>'.replace(" >", ">")


def _legend(layout: Layout, colours: dict[str, tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for source, (fill, edge) in colours.items():
        yield f'<rect y="-7" width="34" height="14" rx="4" fill="{fill}" stroke="{edge}"/>', source
    if not all(box.enabled for box in layout.boxes.values()):
        fill, edge = _DISABLED
        mark = f'<rect y="-7" width="34" height="14" rx="4" fill="{fill}" stroke="{edge}" stroke-dasharray="4 3"/>'
        yield mark, "is disabled"
    meanings = {
        Strength.CHOSEN: "has the extension point; is chosen",
        Strength.POSSIBLE: "could be chosen instead",
    }
    drawn = {connection.strength for connection in layout.connections}
    for strength, meaning in meanings.items():
        if strength in drawn:
            yield f'<path d="M0 0H34" fill="none" {_LINES[strength]}/>', meaning
    if any(pill.problem for pill in layout.pills.values()):
        yield f'<path d="M0 0H34" stroke="{_BROKEN}" stroke-width="2"/>', "the configured choice is broken"
