"""What a script's swarm shows unless the script says otherwise: by where the script runs."""

from __future__ import annotations

import sys
from collections.abc import Callable

from concurrence.nodes.display import IDisplay, IPaintedBar, PlainDisplay
from concurrence.scripting.notebook import Cells, NotebookDisplay, running_shell


class TerminalDisplay(PlainDisplay):
    """Lines, and progress bars on the terminal for what takes long."""

    bar_delay = 1.0

    def __init__(self) -> None:
        self._make: Callable[[], IPaintedBar] | None = None

    def bar(self) -> IPaintedBar:
        """A new bar on standard error."""
        if self._make is None:
            from concurrence.scripting.terminal import TerminalBars  # noqa: PLC0415  most scripts need no rich

            self._make = TerminalBars().new
        return self._make()


def choose_display(*, inline: bool) -> IDisplay:
    """The display for where this process runs.

    Args:
        inline: Whether tasks run in this thread: then debuggers may, and a bar would be in their way.
    """
    shell = running_shell()
    if shell is not None:
        return NotebookDisplay(shell)
    if inline or sys.stderr is None or not sys.stderr.isatty():
        return PlainDisplay()
    return TerminalDisplay()


def watch_cells(display: IDisplay, begins: Callable[[], object]) -> Cells | None:
    """In a notebook, tell the display and somebody else when a cell begins to run.

    Args:
        display: What shows the swarm.
        begins: Whom else to tell.
    """
    shell = running_shell()
    if shell is None:
        return None
    return Cells(shell, begins, *([display.begin_cell] if isinstance(display, NotebookDisplay) else []))
