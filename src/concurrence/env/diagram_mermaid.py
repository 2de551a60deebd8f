"""Linked components as a Mermaid flow chart, for pages that draw such texts."""

from __future__ import annotations

from collections.abc import Iterator

from concurrence.env.diagram_layout import Box, Connection, Layout, Strength, lay_out
from concurrence.env.links import LinkMap

_ARROWS = {Strength.CHOSEN: "==>", Strength.POSSIBLE: "-.->", Strength.DISABLED: "-.-x"}


def draw_mermaid(links: LinkMap) -> str:
    """The flow chart as text."""
    return "\n".join(_lines(lay_out(links))) + "\n"


def _lines(layout: Layout) -> Iterator[str]:
    names = {key: f"component{number}" for number, key in enumerate(layout.boxes)}
    names |= {key: f"point{number}" for number, key in enumerate(layout.pills)}
    yield "flowchart LR"
    for key, box in layout.boxes.items():
        yield f'    {names[key]}["{_label(box.title)}"]{_style(box)}'
    for key, pill in layout.pills.items():
        text = "<br/>".join(_label(line) for line in (pill.title, *pill.lines))
        yield f'    {names[key]}(["{text}"]){_style(pill)}'
    for connection in layout.connections:
        yield f"    {_arrow(layout, connection, names)}"
    yield "    classDef disabled fill:#f0f1f3,stroke:#7b8794,color:#7b8794"
    yield "    classDef broken stroke:#c0392b,color:#c0392b"


def _arrow(layout: Layout, connection: Connection, names: dict[str, str]) -> str:
    start, end = names[connection.start], names[connection.end]
    if connection.line is None:
        return f"{start} {_ARROWS[connection.strength]} {end}"
    return f'{start} -- "{_label(layout.at(connection.start).lines[connection.line])}" --> {end}'


def _style(box: Box) -> str:
    if not box.enabled:
        return ":::disabled"
    return ":::broken" if box.problem and not box.source else ""


def _label(text: str) -> str:
    """A text in quotes as Mermaid reads it."""
    return "".join(f"#{ord(character)};" if character in '"#&<>[]' else character for character in text)
