"""A script's progress bars on a terminal: on standard error, so that what a script prints can go elsewhere."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from concurrence.nodes.progress import Progress


class TerminalBars:
    """All bars of a terminal: below each other, as long as there are any."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr)
        self._painter: RichProgress | None = None

    def new(self) -> TerminalBar:
        """A new bar."""
        return TerminalBar(self)

    def add(self) -> TaskID:
        """A line for a bar."""
        if self._painter is None:
            self._painter = RichProgress(
                BarColumn(),
                TextColumn("{task.description}", markup=False),
                console=self._console,
                transient=True,
                auto_refresh=False,
                # What is printed meanwhile appears above the bars; what goes into a file is left alone.
                redirect_stdout=sys.stdout.isatty(),
                redirect_stderr=sys.stderr.isatty(),
            )
            self._painter.start()
        return self._painter.add_task("", total=None)

    def paint(self, line: TaskID, progress: Progress) -> None:
        """Move a bar."""
        if self._painter is not None:
            standing = progress.standing
            self._painter.update(
                line, completed=standing.done, total=standing.total, description=progress.line, refresh=True
            )

    def end(self, line: TaskID, progress: Progress) -> None:
        """Take a bar away, and leave a line."""
        painter = self._painter
        if painter is None:
            return
        painter.remove_task(line)
        if not painter.task_ids:
            self._painter = None
            painter.stop()
        self._console.print(Text(progress.last_line, "dim"), soft_wrap=True)


class TerminalBar:
    """One progress bar.

    Args:
        bars: All of them.
    """

    def __init__(self, bars: TerminalBars) -> None:
        self._bars = bars
        self._line = bars.add()

    def paint(self, progress: Progress) -> None:
        """Move it."""
        self._bars.paint(self._line, progress)

    def end(self, progress: Progress) -> None:
        """Leave a line."""
        self._bars.end(self._line, progress)
