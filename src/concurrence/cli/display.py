"""What ``concurrence run`` shows on a terminal: a progress bar with everything else above it; and the summary."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from concurrence.cli.half_blocks import HalfBlocks
from concurrence.nodes.advice import advise
from concurrence.nodes.display import Pixels, PlainDisplay, RunSummary
from concurrence.nodes.run_report import RunReport

_WIDEST, _HIGHEST = 72, 22  # characters of a picture: it is painted again and again
_LINES_LEFT = 8
_UNITS = ("B", "kB", "MB", "GB", "TB")


class _Rate(ProgressColumn):
    """Tasks per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s", "cyan")


class _Count(ProgressColumn):
    """How many of how many."""

    def render(self, task: Task) -> Text:
        total = "?" if task.total is None else f"{task.total:,.6g}"
        return Text(f"{task.completed:,.6g}/{total}")


class _Bar(Progress):
    """The bar, and below what is printed, but above itself, a picture."""

    picture: HalfBlocks | None = None

    def get_renderables(self) -> Iterator[RenderableType]:
        """What is painted again and again."""
        if self.picture is not None:
            yield self.picture
        yield from super().get_renderables()


class RichDisplay:
    """A progress bar on a terminal; lines are printed above it.

    Args:
        console: The terminal; that of standard output by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stdout)
        self._bar = _Bar(
            BarColumn(),
            _Count(),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=self._console,
            refresh_per_second=5,  # a picture is thousands of characters
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._bar.picture is not None:
            self._console.print(self._bar.picture)

    def say(self, text: str) -> None:
        """Print above the bar."""
        self._print(Text(text))

    def announce(self, path: Path, what: str) -> None:
        """Print what was written where."""
        self.say(f"{what}: {path}")

    def output(self, source: str, text: str) -> None:
        """Print each line with its prefix, which is dimmed."""
        for line in text.splitlines():
            self._print(Text.assemble((f"[{source}] ", "dim"), line))

    def progress(self, done: float, total: float, text: str) -> None:
        """Move the bar; without a total it only shows that something is going on."""
        if self._task is None:
            self._task = self._bar.add_task("", total=None, text="")
        self._bar.update(self._task, completed=done, total=total or None, text=text)

    @property
    def picture_size(self) -> tuple[int, int]:
        """As much as leaves room for a few lines."""
        console = self._console
        lines = min(console.height - _LINES_LEFT, _HIGHEST)
        if lines <= 0 or not console.is_terminal or console.no_color or console.color_system is None:
            return 0, 0
        return min(console.width, _WIDEST), 2 * lines

    def picture(self, pixels: Pixels) -> None:
        """Show it when the bar is painted next."""
        self._bar.picture = HalfBlocks(pixels)

    def _print(self, text: Text) -> None:
        # soft_wrap: what an application prints is not to be cut into lines of the terminal's width.
        self._console.print(text, soft_wrap=True)


class LineDisplay(PlainDisplay):
    """Lines without a bar, as a context like :class:`RichDisplay`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to take down."""


def summary_lines(summary: RunSummary, workers: int | None, report: RunReport | None = None) -> list[str]:
    """The lines at the end of a run.

    Args:
        summary: What it took.
        workers: Number of workers of the swarm; None if it is not known.
        report: What workers measured; None if nobody knows.
    """
    ends = [f"{summary.finished:,} finished", f"{summary.failed:,} failed", f"{summary.cancelled:,} cancelled"]
    swarm = "" if workers is None else f" with {workers} worker{'s' if workers != 1 else ''}"
    time = [f"{summary.wall:.2f} s", f"{summary.busy:.2f} s in tasks"]
    if report is not None and report.cpu is not None:
        time.append(f"{report.cpu:.2f} s of CPU")
        if report.speed_up is not None:
            time.append(f"speed-up {report.speed_up:.2f}")
    return [
        f"tasks: {', '.join(ends)}; {human_bytes(summary.moved)} moved",
        f"time:  {', '.join(time)}{swarm}",
    ]


def report_lines(report: RunReport) -> list[str]:
    """The lines behind the summary: where the workers' time went, and what to do about it; none if nobody knows.

    Args:
        report: The run.
    """
    split = report.split
    if not report.ran or split.total <= 0:
        return []
    parts = [f"{100 * split.share(part):.0f}% {part}" for part in ("compute", "serialise", "transfer")]
    idle = f"{100 * split.share('starved', 'idle'):.0f}% idle"
    fraction = report.serial_fraction
    serial = f"; serial fraction {fraction:.2g}" if fraction is not None else ""
    lines = [f"split: {', '.join([*parts, idle])}; {human_time(report.queued)} queued{serial}"]
    advice = advise(report)
    return [*lines, f"note:  {advice}"] if advice else lines


def human_time(seconds: float) -> str:
    """A short time as people read it: ``1.5 ms``."""
    if seconds >= 1:
        return f"{seconds:,.2f} s"
    return f"{1e3 * seconds:.3g} ms"


def human_bytes(count: float) -> str:
    """A number of bytes as people read it: ``1.5 MB``."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"


def human_seconds(seconds: float) -> str:
    """A duration as people read it: ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
