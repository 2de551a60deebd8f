"""The picture of linked components as boxes, pills and lines in columns: what stands where. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from concurrence.env.links import Link, LinkedComponent, LinkMap, short_name

ROW = 18.0
"""Height of one line of text in a box, in pixels."""

_PADDING = 10.0
_GAP = 16.0
"""Between two things in a column."""

_CHANNEL = 90.0
"""Between two columns: room for the lines to bend."""

_MARGIN = 24.0
_CHARACTER = 7.6
"""Width that is reserved for a character: a wide one of the widest font that is named."""

_PASSES = 4


class Strength(Enum):
    """How a line is drawn."""

    CHOSEN = "chosen"
    POSSIBLE = "possible"
    DISABLED = "disabled"


@dataclass(slots=True)
class Box:
    """One or more components that are linked alike, or an extension point.

    Attributes:
        key: What identifies it among the others.
        title: The first line.
        lines: The others; of components, an extension point each.
        source: Where the components come from; empty for an extension point.
        enabled: Whether it takes part.
        problem: Whether a choice of it is broken.
        x: Left edge, in pixels.
        y: Upper edge.
        width: Width.
        column: The column it stands in.
    """

    key: str
    title: str
    lines: tuple[str, ...]
    source: str = ""
    enabled: bool = True
    problem: bool = False
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    column: int = 0

    @property
    def height(self) -> float:
        """Height, in pixels."""
        return _PADDING * 2 + ROW * (1 + len(self.lines))

    def line_y(self, line: int | None) -> float:
        """The middle of a line of its text; of the whole box for None."""
        if line is None:
            return self.y + self.height / 2
        return self.y + _PADDING + ROW * (line + 1.5)


@dataclass(frozen=True, slots=True)
class Connection:
    """A line from one box to another.

    Attributes:
        start: The key of the box that it leaves.
        line: The line of the box's text that it leaves at; None for its middle.
        end: The key of the box that it reaches.
        strength: How it is drawn.
    """

    start: str
    line: int | None
    end: str
    strength: Strength


@dataclass(slots=True)
class Layout:
    """A picture, ready to be drawn.

    Attributes:
        boxes: The components, by key.
        pills: The extension points, by key.
        connections: The lines.
        width: Of the whole, in pixels.
        height: Of the whole.
    """

    boxes: dict[str, Box] = field(default_factory=dict[str, Box])
    pills: dict[str, Box] = field(default_factory=dict[str, Box])
    connections: list[Connection] = field(default_factory=list[Connection])
    width: float = 0.0
    height: float = 0.0

    def at(self, key: str) -> Box:
        """The box or pill with a key."""
        return self.boxes.get(key) or self.pills[key]


def lay_out(links: LinkMap) -> Layout:
    """Where everything stands: columns from left to right follow the links, with few crossings."""
    layout = Layout()
    groups = _groups(links)
    for group in groups:
        first = group[0]
        layout.boxes[first.identity] = Box(
            first.identity,
            ", ".join(component.name for component in group),
            tuple(link.attribute for link in first.links),
            first.source,
            first.enabled,
            any(link.problem for link in first.links),
        )
    for group in groups:
        for row, link in enumerate(group[0].links):
            pill = _pill(layout, link, links)
            layout.connections.append(Connection(group[0].identity, row, pill, Strength.CHOSEN))
    members = {component.identity: group[0].identity for group in groups for component in group}
    _connect_implementations(layout, links, members)
    columns = _columns(layout)
    _order(layout, columns)
    _sort_lines(layout, columns)
    _place(layout, columns)
    return layout


def _groups(links: LinkMap) -> list[list[LinkedComponent]]:
    """The components, those that have the same links and that nobody chooses together: all applications, say."""
    chosen = {name for component in links.components for link in component.links for name in link.chosen}
    groups: dict[object, list[LinkedComponent]] = {}
    for component in links.components:
        alike = component.links and component.identity not in chosen
        key = (component.links, component.interfaces, component.source, component.enabled)
        groups.setdefault(key if alike else component.identity, []).append(component)
    return list(groups.values())


def _pill(layout: Layout, link: Link, links: LinkMap) -> str:
    key = f"{link.interface} {link.option}"
    pill = layout.pills.get(key)
    if pill is None:
        lines = [link.option or "all that there are"]
        if not links.implementing(link.interface):
            lines.append("(none so far)")
        pill = layout.pills[key] = Box(key, short_name(link.interface), tuple(lines))
    pill.problem = pill.problem or bool(link.problem)
    return key


def _connect_implementations(layout: Layout, links: LinkMap, members: dict[str, str]) -> None:
    chosen: dict[str, set[str]] = defaultdict(set)
    for component in links.components:
        for link in component.links:
            chosen[f"{link.interface} {link.option}"].update(link.chosen)
    for key in layout.pills:
        reached: dict[str, Strength] = {}
        for component in links.implementing(key.partition(" ")[0]):
            strength = Strength.CHOSEN if component.identity in chosen[key] else Strength.POSSIBLE
            reached.setdefault(members[component.identity], strength if component.enabled else Strength.DISABLED)
        layout.connections += [Connection(key, None, end, strength) for end, strength in reached.items()]


def _columns(layout: Layout) -> list[list[Box]]:
    """What stands in which column: an extension point right of those who have it, left of who implements it."""
    before: dict[str, list[str]] = defaultdict(list)
    for connection in layout.connections:
        before[connection.end].append(connection.start)
    depth: dict[str, int] = {}
    under_way: set[str] = set()

    def place(key: str) -> int:
        if key not in depth:
            under_way.add(key)
            # What leads back to itself would have no column: such a line runs from right to left.
            depth[key] = max((place(other) + 1 for other in before[key] if other not in under_way), default=0)
            under_way.remove(key)
        return depth[key]

    every = [*layout.boxes.values(), *layout.pills.values()]
    columns: dict[int, list[Box]] = defaultdict(list)
    for box in every:
        columns[place(box.key)].append(box)
    for number, column in enumerate(sorted(columns)):
        for box in columns[column]:
            box.column = number
    return [columns[column] for column in sorted(columns)]


def _order(layout: Layout, columns: list[list[Box]]) -> None:
    """Sort each column by where the lines of its boxes come from and go to, a few times: crossings vanish."""
    rank: dict[str, float] = {}
    for column in columns:
        _rank(column, rank)
    for sweep in range(_PASSES):
        forward = sweep % 2 == 0
        for column in columns if forward else reversed(columns):
            wanted = {box.key: _middle(layout, box, rank, forward=forward) for box in column}
            column.sort(key=lambda box: wanted[box.key])
            _rank(column, rank)


def _sort_lines(layout: Layout, columns: list[list[Box]]) -> None:
    """Write the extension points of a component in the order in which they stand beside it."""
    heights = {box.key: place for column in columns for place, box in enumerate(column)}
    for box in layout.boxes.values():
        leaving = [connection for connection in layout.connections if connection.start == box.key]
        leaving.sort(key=lambda connection: heights[connection.end])
        places = {connection.line: place for place, connection in enumerate(leaving)}
        box.lines = tuple(box.lines[connection.line or 0] for connection in leaving)
        layout.connections = [
            replace(each, line=places[each.line]) if each.start == box.key else each for each in layout.connections
        ]


def _rank(column: Sequence[Box], rank: dict[str, float]) -> None:
    for place, box in enumerate(column):
        rank[box.key] = place / max(1, len(column))


def _middle(layout: Layout, box: Box, rank: dict[str, float], *, forward: bool) -> float:
    near: list[float] = []
    for connection in layout.connections:
        if forward and connection.end == box.key:
            near.append(rank[connection.start] + (connection.line or 0) / 1_000)
        elif not forward and connection.start == box.key:
            near.append(rank[connection.end])
    return sum(near) / len(near) if near else rank[box.key]


def _place(layout: Layout, columns: list[list[Box]]) -> None:
    x = _MARGIN
    for column in columns:
        width = max(_width(box) for box in column)
        for box in column:
            box.x, box.width = x, width
        x += width + _CHANNEL
    for column in columns:
        _stack(column, (_source_height(layout, box) for box in column))
    every = [box for column in columns for box in column]
    top = min((box.y for box in every), default=0.0)
    for box in every:
        box.y += _MARGIN - top
    layout.width = max(x - _CHANNEL, _MARGIN) + _MARGIN
    layout.height = max((box.y + box.height for box in every), default=0.0) + _MARGIN


def _width(box: Box) -> float:
    return _PADDING * 2 + _CHARACTER * max(len(text) for text in (box.title, *box.lines))


def _source_height(layout: Layout, box: Box) -> float | None:
    """Where a box would stand if there were no others: level with what leads to it."""
    levels = [
        layout.at(connection.start).line_y(connection.line)
        for connection in layout.connections
        if connection.end == box.key and layout.at(connection.start).column < box.column
    ]
    return sum(levels) / len(levels) - box.height / 2 if levels else None


def _stack(column: Sequence[Box], wanted: Iterable[float | None]) -> None:
    """Put the boxes of a column below each other, each as near as can be to where it wants to be."""
    goals = list(wanted)
    below = 0.0
    for box, goal in zip(column, goals, strict=True):
        box.y = below if goal is None else max(below, goal)
        below = box.y + box.height + _GAP
    known = [(box.y, goal) for box, goal in zip(column, goals, strict=True) if goal is not None]
    if known:  # all were pushed down by those above: half of it is taken back
        shift = sum(y - goal for y, goal in known) / len(known)
        for box in column:
            box.y -= shift
