"""The progress bars of a script's swarm: when each is looked at, and shown; whatever shows them."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

from concurrence.nodes.display import IBarDisplay, IDisplay, IPaintedBar
from concurrence.nodes.progress import Progress, Standing
from concurrence.tasks.api import TaskCounts

INTERVAL = 0.2
"""Seconds from one look at a bar to the next."""

_SHOW_SECONDS = 0.1

_log = logging.getLogger(__name__)


class IShown(Protocol):
    """The tasks of a swarm."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is unfinished."""
        ...

    @property
    def counts(self) -> TaskCounts:
        """How many are in which state."""
        ...


class Bar:
    """One progress bar; for whoever it tells about.

    Args:
        bars: Those of the swarm.
        progress: What it follows.
        look: How that stands now; None once nobody is interested any more. Quick, and called in any thread.
        is_general: Whether it is left out while there is another.
        due: When it is looked at next.
    """

    def __init__(
        self, bars: Bars, progress: Progress, look: Callable[[], Standing | None], *, is_general: bool, due: float
    ) -> None:
        self.progress = progress
        self.look = look
        self.is_general = is_general
        self.due = due
        self.painted: IPaintedBar | None = None
        self._bars = bars

    def end(self) -> None:
        """It is over: show the last line, if anything was shown. Repeatable; from any thread."""
        self._bars.end(self)


class Bars:
    """All bars of a swarm, from any thread; short matters are not shown at all.

    Args:
        display: What shows them, if it can.
        wake: Lets the thread that drives the swarm ask for :attr:`patience` again.
        clock: Seconds.
    """

    def __init__(
        self, display: IDisplay, wake: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.is_open = False
        self._plain = display
        self._shown = 0.0
        self._is_broken = False
        self._display: IBarDisplay | None = display if isinstance(display, IBarDisplay) else None
        self._wake = wake
        self._clock = clock
        self._bars: list[Bar] = []
        self._lock = threading.RLock()

    @property
    def patience(self) -> float | None:
        """How long nobody needs to call :meth:`show`, in seconds; None: not at all."""
        if not self._bars:
            return None
        with self._lock:
            return max(0.0, min((bar.due for bar in self._bars), default=0.0) - self._clock())

    def begin(self, title: str, look: Callable[[], Standing | None], *, is_general: bool = False) -> Bar | None:
        """Something begins.

        Args:
            title: What it is.
            look: How it stands.
            is_general: Whether it is left out while there is another bar.

        Returns:
            Its bar; None if nobody shows any.
        """
        if self._display is None:
            return None
        now = self._clock()
        bar = Bar(self, Progress(title, now), look, is_general=is_general, due=now + self._display.bar_delay)
        with self._lock:
            self._bars.append(bar)
        self._wake()
        return bar

    @contextmanager
    def during(self, title: str, look: Callable[[], Standing | None]) -> Generator[None]:
        """A bar for as long as the block takes, left out while there is another."""
        bar = self.begin(title, look, is_general=True)
        try:
            yield
        finally:
            if bar is not None:
                bar.end()

    def show(self, shown: IShown, *, is_open: bool) -> None:
        """In the thread that drives the swarm, after whatever may have changed something: show it, if it is time.

        Args:
            shown: The swarm's tasks.
            is_open: Whether more of them come by themselves.
        """
        self.is_open = is_open
        now = self._clock()
        if now - self._shown >= _SHOW_SECONDS or shown.is_idle:
            self._shown = now
            counts = shown.counts
            if counts.pushed:
                self._progress(_ended(counts), counts.pushed if not is_open else 0)
        if self._bars:
            self._tick()

    def _progress(self, done: int, total: int) -> None:
        try:
            self._plain.progress(done, total, "")
        except Exception as error:  # noqa: BLE001  a stream that is closed, mostly: that must not end the swarm
            if not self._is_broken:
                _log.warning("how far the tasks are cannot be shown: %r", error)
            self._is_broken = True

    def _tick(self) -> None:
        """Look at those that are due, and show how they stand."""
        with self._lock:
            now = self._clock()
            is_busy = any(not bar.is_general for bar in self._bars)
            for bar in [bar for bar in self._bars if bar.due <= now]:
                bar.due = now + INTERVAL
                standing = bar.look()
                if standing is None:
                    self.end(bar)
                elif not (bar.is_general and is_busy and bar.painted is None):
                    bar.progress.note(standing, now)
                    self._paint(bar)

    def end(self, bar: Bar) -> None:
        """Show the last line of a bar, if anything was shown of it. Repeatable."""
        with self._lock:
            if bar not in self._bars:
                return
            self._bars.remove(bar)
            if bar.painted is None:
                return
            standing = bar.look()
            if standing is not None:
                bar.progress.note(standing, self._clock())
            try:
                bar.painted.end(bar.progress)
            except Exception as error:  # noqa: BLE001  a frontend that is gone must not end the swarm
                _log.warning("the end of a progress bar cannot be shown: %r", error)

    def close(self) -> None:
        """End all of them; nothing more is shown."""
        for bar in list(self._bars):
            self.end(bar)
        self._display = None

    def _paint(self, bar: Bar) -> None:
        if self._display is None:
            return
        try:
            if bar.painted is None:
                bar.painted = self._display.bar()
            bar.painted.paint(bar.progress)
        except Exception as error:  # noqa: BLE001  a frontend that is gone must not end the swarm
            _log.warning("progress cannot be shown, and is not any more: %r", error)
            self._bars.clear()
            self._display = None


def since_now(counts: Callable[[], TaskCounts], unfinished: Callable[[], int | None]) -> Callable[[], Standing]:
    """How far the tasks of a swarm are, leaving out what has ended by now.

    Args:
        counts: Of all of them.
        unfinished: How many there are now; None if more of them come by themselves.
    """
    before = counts()

    def look() -> Standing:
        now, rest = counts(), unfinished()
        done = _ended(now) - _ended(before)
        return Standing(done, now.failed - before.failed, None if rest is None else done + rest)

    return look


def _ended(counts: TaskCounts) -> int:
    return counts.finished + counts.failed + counts.cancelled


def weakly(look: Callable[[], Standing]) -> Callable[[], Standing | None]:
    """A look that keeps nothing alive: None once the object of this method is gone."""
    method = weakref.WeakMethod(look)

    def looked() -> Standing | None:
        bound = method()
        return bound() if bound is not None else None

    return looked
