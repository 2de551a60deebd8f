"""What an application says, and what its tasks write, kept for a test to look at; all of it is printed as well."""

from __future__ import annotations

import io
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO, cast

from concurrence.nodes.display import PlainDisplay
from concurrence.tasks import waiting
from concurrence.workers.execution import current_task

SYSTEM: Final = "task system"
"""The name under which the lines of a task system are kept."""


class RecordingDisplay(PlainDisplay):
    """Keeps what it prints.

    Attributes:
        said: What the application said.
        announced: The files that it announced.
        lines: What tasks and task systems wrote, by the task's name.
    """

    def __init__(self) -> None:
        self.said: list[str] = []
        self.announced: list[Path] = []
        self.lines: dict[str, list[str]] = {}

    def say(self, text: str) -> None:
        """Keep and print."""
        self.said.append(text)
        super().say(text)

    def announce(self, path: Path, what: str) -> None:
        """Keep and print."""
        self.announced.append(path)
        super().say(f"{what}: {path}")

    def output(self, source: str, text: str) -> None:
        """Keep without the slave's name, and print."""
        name = SYSTEM if source == SYSTEM else source.partition(" ")[2] or source
        self.keep(name, text)
        super().output(source, text)

    def keep(self, name: str, text: str) -> None:
        """Keep whole lines."""
        self.lines.setdefault(name, []).extend(text.splitlines())


@contextmanager
def recorded_output(display: RecordingDisplay, *, is_inline: bool) -> Generator[None]:
    """Within this block keep what inline tasks print; what comes from other processes a display gets anyway."""
    if not is_inline:
        yield
        return
    before = sys.stdout, sys.stderr
    streams = _Listener(sys.stdout, display), _Listener(sys.stderr, display)
    sys.stdout, sys.stderr = cast("Any", streams)
    try:
        yield
    finally:
        for stream in streams:
            stream.end()
        if (sys.stdout, sys.stderr) == streams:
            sys.stdout, sys.stderr = before


class _Listener(io.TextIOBase):
    """Passes everything on, and keeps the lines that a task or task system wrote."""

    def __init__(self, original: TextIO, display: RecordingDisplay) -> None:
        self._original = original
        self._display = display
        self._writer = ""
        self._partial = ""

    def write(self, text: str, /) -> int:
        writer = _writer()
        if writer != self._writer:
            self.end()
            self._writer = writer
        if writer:
            whole, newline, self._partial = (self._partial + text).rpartition("\n")
            if newline:
                self._display.keep(writer, whole + newline)
        return self._original.write(text)

    def end(self) -> None:
        """Keep a line that has no end."""
        if self._partial:
            self._display.keep(self._writer, self._partial)
            self._partial = ""

    def flush(self) -> None:
        self._original.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


def _writer() -> str:
    task = current_task()
    if task is not None:
        return task.name
    return SYSTEM if waiting.place() is waiting.SYSTEM else ""
