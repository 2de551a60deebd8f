"""Jupyter: what a swarm shows in the cell that runs. Only this file knows of IPython, and it never imports it."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from concurrence.errors import TaskError
from concurrence.nodes.display import PlainDisplay
from concurrence.nodes.progress import Progress

MAX_CELL_CHARACTERS = 200_000
"""Of the output of tasks in one cell: frontends become slow, and notebook files large."""

_BEFORE_CELL = "pre_run_cell"


def running_shell() -> Any:
    """The shell of the Jupyter kernel that this process is; None in scripts, terminals and everything else."""
    module = sys.modules.get("IPython")
    get_ipython: Callable[[], Any] | None = getattr(module, "get_ipython", None)
    shell = get_ipython() if get_ipython is not None else None
    return shell if getattr(shell, "kernel", None) is not None and hasattr(shell, "display_pub") else None


class Cells:
    """Tells when a cell begins to run, until it is closed.

    Args:
        shell: The kernel's.
        listeners: Whom to call, in the main thread.
    """

    def __init__(self, shell: Any, *listeners: Callable[[], object]) -> None:
        self._shell = shell
        self._listeners = listeners
        shell.events.register(_BEFORE_CELL, self._begin)

    def _begin(self, _info: object = None) -> None:
        for listener in self._listeners:
            listener()

    def close(self) -> None:
        """Tell nothing more. Repeatable, from any thread."""
        shell, self._shell = self._shell, None
        if shell is not None:
            shell.events.unregister(_BEFORE_CELL, self._begin)


class NotebookDisplay(PlainDisplay):
    """Output of tasks and progress bars, in the cell that runs or ran last, whatever thread they come from.

    Args:
        shell: The kernel's.
    """

    bar_delay = 0.5

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._parent: Any = None
        self._characters = 0
        self.begin_cell()
        _show_errors(shell)

    def begin_cell(self) -> None:
        """A cell begins to run: what comes from now on is its."""
        self._parent = self._shell.get_parent() if hasattr(self._shell, "get_parent") else None
        self._characters = 0

    def say(self, text: str) -> None:
        """Print."""
        with self._in_cell():
            super().say(text)

    def output(self, source: str, text: str) -> None:
        """Print each line with its prefix, up to a bound for each cell."""
        if self._characters > MAX_CELL_CHARACTERS:
            return
        self._characters += len(text)
        with self._in_cell():
            super().output(source, text)
            if self._characters > MAX_CELL_CHARACTERS:
                super().say("[more output of tasks is left out of this cell]")

    def bar(self) -> NotebookBar:
        """A new bar in the cell that runs."""
        return NotebookBar(self)

    def publish(self, display_id: str, plain: str, as_html: str, *, is_update: bool) -> None:
        """Show something that can be changed later.

        Args:
            display_id: Its name.
            plain: For frontends without HTML.
            as_html: For the others.
            is_update: Whether it is there already, in whatever cell.
        """
        with self._in_cell():
            self._shell.display_pub.publish(
                data={"text/plain": plain, "text/html": as_html},
                metadata={},
                transient={"display_id": display_id},
                update=is_update,
            )

    @contextmanager
    def _in_cell(self) -> Generator[None]:
        """Whatever is shown in here belongs to the last cell that ran.

        Otherwise it would belong to the last request of any kind: after a completion, frontends would drop it.
        """
        set_parent: Callable[[Any], Any] | None = getattr(self._shell, "set_thread_parent", None)
        if set_parent is None or self._parent is None:
            yield
            return
        tokens = set_parent(self._parent)
        try:
            yield
        finally:
            self._shell.reset_thread_parent(tokens)


class NotebookBar:
    """A progress bar: one display that is updated, and ends as a line.

    Args:
        display: What shows it.
    """

    def __init__(self, display: NotebookDisplay) -> None:
        self._display = display
        self._id = f"concurrence-{secrets.token_hex(8)}"
        self._is_shown = False

    def paint(self, progress: Progress) -> None:
        """Move it."""
        from concurrence.scripting.html_views import bar_html  # noqa: PLC0415  scripts do not pay for HTML

        self._publish(progress.line, bar_html(progress))

    def end(self, progress: Progress) -> None:
        """Leave a line."""
        from concurrence.scripting.html_views import ended_bar_html  # noqa: PLC0415  scripts do not pay for HTML

        self._publish(progress.last_line, ended_bar_html(progress))

    def _publish(self, plain: str, as_html: str) -> None:
        self._display.publish(self._id, plain, as_html, is_update=self._is_shown)
        self._is_shown = True


def _show_errors(shell: Any) -> None:
    """Let a task's error that is the value of a cell be shown with its traceback."""
    from concurrence.scripting.html_views import error_html  # noqa: PLC0415  scripts do not pay for HTML

    formatters: Any = getattr(getattr(shell, "display_formatter", None), "formatters", {})
    if "text/html" in formatters:
        formatters["text/html"].for_type(TaskError, error_html)
