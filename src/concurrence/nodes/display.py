"""What an application shows while it runs: the seam between applications and the command line's progress bar."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

from concurrence.nodes.progress import Progress

Pixels: TypeAlias = Sequence[Sequence[tuple[int, int, int]]]
"""A small picture: its rows from the top, each point as red, green and blue from 0 to 255."""


class RunSummary(Struct, frozen=True):
    """What a run took, for the lines at its end.

    Attributes:
        wall: Seconds from the first push until the last end arrived; until now, if something is unfinished.
        busy: Seconds that workers spent in its tasks, all together.
        finished: Tasks that returned a result.
        failed: Tasks that failed for good.
        cancelled: Tasks that were cancelled.
        moved: Bytes of tasks and results, each counted once.
    """

    wall: float
    busy: float
    finished: int
    failed: int
    cancelled: int
    moved: int


class IDisplay(Protocol):
    """Shows how a run goes."""

    def say(self, text: str) -> None:
        """A line for the person who runs the application."""
        ...

    def announce(self, path: Path, what: str) -> None:
        """A file was written."""
        ...

    def output(self, source: str, text: str) -> None:
        """Lines that a task or task system printed or logged.

        Args:
            source: Where they come from: the prefix of each line.
            text: Whole lines, without the last newline.
        """
        ...

    def progress(self, done: float, total: float, text: str) -> None:
        """How far the run is; ``total`` is 0 while nobody knows."""
        ...


@runtime_checkable
class IPictureDisplay(Protocol):
    """A display that can also show a small picture of how far the run is."""

    @property
    def picture_size(self) -> tuple[int, int]:
        """The most points across and down that a picture may have; 0 where none can be shown just now."""
        ...

    def picture(self, pixels: Pixels) -> None:
        """Show a picture in the place of the one before."""
        ...


class IPaintedBar(Protocol):
    """A progress bar that can be seen. Any thread may call it, but never two at a time."""

    def paint(self, progress: Progress) -> None:
        """It goes on: show how far it is."""
        ...

    def end(self, progress: Progress) -> None:
        """It is over: leave a line."""
        ...


@runtime_checkable
class IBarDisplay(Protocol):
    """A display that can also show how far each map and each wait of a script is.

    Attributes:
        bar_delay: Seconds before a bar appears: what is over sooner needs none.
    """

    bar_delay: float

    def bar(self) -> IPaintedBar:
        """A new bar, painted right after this."""
        ...


class PlainDisplay:
    """Lines on the standard streams, and no progress bar."""

    def say(self, text: str) -> None:
        """Print."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def announce(self, path: Path, what: str) -> None:
        """Print what was written where."""
        self.say(f"{what}: {path}")

    def output(self, source: str, text: str) -> None:
        """Print each line with its prefix."""
        for line in text.splitlines():
            sys.stdout.write(f"[{source}] {line}\n")
        sys.stdout.flush()

    def progress(self, done: float, total: float, text: str) -> None:
        """Nothing: a log file is no place for a bar."""
