"""The charts of a run's report, as SVG that takes its colours from the page around it. Pure."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import TypeAlias

from concurrence.nodes.run_report import RunReport, SlaveShare, Split

PARTS = Split.__struct_fields__
"""The parts of the workers' time, in the order in which they are drawn."""

_WIDTH = 900
_LEFT = 150  # where bars and curves begin
_RIGHT = 70  # behind them
_BAR, _GAP = 22, 10
_HEIGHT = 300  # of the curves
_BOTTOM = 42
_MAX_NAME = 18

_Place: TypeAlias = Callable[[float, float], tuple[float, float]]


def split_chart(report: RunReport, slaves: Sequence[SlaveShare]) -> str:
    """A bar for all workers together and one for each slave, cut into the parts of their time."""
    rows = [("all workers", report.split)]
    if len(slaves) > 1:
        rows += [(slave.name, slave.split) for slave in slaves]
    height = 30 + len(rows) * (_BAR + _GAP)
    inside = [_legend()]
    for number, (name, split) in enumerate(rows):
        inside.append(_bar(30 + number * (_BAR + _GAP), name, split))
    return _svg(height, "Where the time of the workers went", inside)


def _legend() -> str:
    inside: list[str] = []
    for place, part in enumerate(PARTS):
        x = _LEFT + place * 125
        inside.append(f'<rect class="{part}" x="{x}" y="4" width="12" height="12" rx="2"/>')
        inside.append(f'<text x="{x + 18}" y="15">{part}</text>')
    return "".join(inside)


def _bar(y: float, name: str, split: Split) -> str:
    short = name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
    inside = [f'<text x="{_LEFT - 10}" y="{y + 16:.0f}" text-anchor="end">{html.escape(short)}</text>']
    x, width = float(_LEFT), _WIDTH - _LEFT - _RIGHT
    for part in PARTS:
        share = split.share(part)
        wide = share * width
        if wide > 0:
            title = f"<title>{html.escape(name)}: {part} {100 * share:.1f}%</title>"
            inside.append(
                f'<rect class="{part}" x="{x:.1f}" y="{y:.0f}" width="{wide:.1f}" height="{_BAR}">{title}</rect>'
            )
        x += wide
    inside.append(f'<text x="{x + 8:.0f}" y="{y + 16:.0f}">{100 * split.share("compute"):.0f}%</text>')
    return "".join(inside)


def law_chart(report: RunReport) -> str:
    """The speed-up that Amdahl's law gives for more workers, with this run's place on it; empty if not known.

    It is that of the report's words: against one core without a swarm. With one worker it is less than 1, for want
    of what the swarm costs.
    """
    limit = report.limit
    if limit is None:
        return ""
    most = max(8.0, 4.0 * report.workers)
    points = [(1 + (most - 1) * step / 100) for step in range(101)]
    curve = [(n, report.speed_up_at(n) or 0.0) for n in points]
    top = 1.15 * min(most, max(2.0, curve[-1][1]))
    if limit < 2 * top:
        top = max(top, 1.1 * limit)

    def place(workers: float, speed_up: float) -> tuple[float, float]:
        width = _WIDTH - _LEFT - _RIGHT
        return _LEFT + width * (workers - 1) / (most - 1), _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - 10) * (
            speed_up / top
        )

    def line(kind: str, places: Sequence[tuple[float, float]]) -> str:
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*each) for each in places))
        return f'<polyline class="{kind}" points="{text}"/>'

    edge = min(most, top)
    inside = [_axes(most, top, place), line("ideal", [(1, 1), (edge, edge)])]
    if limit <= top:
        x, y = place(most, limit)
        inside += [
            line("limit", [(1, limit), (most, limit)]),
            f'<text x="{x + 6:.0f}" y="{y + 4:.0f}">limit</text>',
        ]
    inside.append(line("curve", curve))
    here = report.speed_up_at(report.workers) or 0.0
    x, y = place(report.workers, here)
    inside.append(f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>this run</title></circle>')
    inside.append(f'<text x="{x + 9:.0f}" y="{y + 15:.0f}">this run: {here:.2f}</text>')
    return _svg(_HEIGHT, "Speed-up by Amdahl's law", inside)


def _axes(most: float, top: float, place: _Place) -> str:
    left, bottom = place(1, 0)
    right, _ = place(most, 0)
    inside = [f'<path class="axis" d="M{left:.1f} 10V{bottom:.1f}H{right:.1f}"/>']
    for tick in _ticks(most):
        x, _ = place(tick, 0)
        inside.append(f'<text class="soft" x="{x:.1f}" y="{bottom + 17:.0f}" text-anchor="middle">{tick}</text>')
    for tick in _ticks(top):
        _, y = place(1, tick)
        inside.append(f'<text class="soft" x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{tick}</text>')
    middle = (left + right) / 2
    inside.append(f'<text class="soft" x="{middle:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">workers</text>')
    inside.append(f'<text class="soft" x="{left - 40:.0f}" y="24" text-anchor="end">speed-up</text>')
    return "".join(inside)


def _ticks(most: float) -> list[int]:
    """About eight whole numbers up to there, 1 included."""
    step = 1
    while most / step > 9:
        step *= 2
    return [1, *range(step if step > 1 else 2, int(most) + 1, step)]


def _svg(height: float, title: str, inside: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{html.escape(title)}">'
        f"{''.join(inside)}</svg>"
    )
