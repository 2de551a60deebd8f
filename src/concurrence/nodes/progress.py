"""How far something is, in words: counts, rate, time left. Pure: time is an argument."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

_RECENT_SECONDS = 20.0


class Standing(NamedTuple):
    """What there is to show of something that goes on.

    Attributes:
        done: What has ended, the failures among it.
        failed: What failed.
        total: How much there is; None while nobody knows.
        is_cancelled: Whether the rest will not be done.
    """

    done: int
    failed: int = 0
    total: int | None = None
    is_cancelled: bool = False

    @property
    def how_many(self) -> str:
        """As in ``3 of 1,000``."""
        return f"{self.done:,} of {'?' if self.total is None else f'{self.total:,}'}"


class Progress:
    """Follows something from its beginning to its end.

    Args:
        title: What it is.
        now: When it began, in seconds.
    """

    def __init__(self, title: str, now: float) -> None:
        self.title = title
        self.standing = Standing(0)
        self._started = self._now = now
        self._recent: deque[tuple[float, int]] = deque([(now, 0)])

    def note(self, standing: Standing, now: float) -> None:
        """It stands like this now."""
        self.standing = standing
        self._now = now
        self._recent.append((now, standing.done))
        while len(self._recent) > 2 and self._recent[1][0] <= now - _RECENT_SECONDS:
            self._recent.popleft()

    @property
    def seconds(self) -> float:
        """What it has taken up to the last :meth:`note`."""
        return self._now - self._started

    @property
    def rate(self) -> float:
        """How many end in a second, as of late."""
        since, before = self._recent[0]
        return _rate(self.standing.done - before, self._now - since)

    @property
    def seconds_left(self) -> float | None:
        """When the rest will be done at this rate; None if nobody knows."""
        total, rate = self.standing.total, self.rate
        return None if total is None or not rate else max(0, total - self.standing.done) / rate

    @property
    def line(self) -> str:
        """While it goes on."""
        parts = [f"{self._count()}{self._percent()}"]
        if self.rate:
            parts.append(f"{short_number(self.rate)}/s")
        left = self.seconds_left
        if left is not None:
            parts.append(f"{duration(left)} left")
        return f"{self.title}: {', '.join(parts + self._failures())}"

    @property
    def last_line(self) -> str:
        """Once it has ended."""
        standing = self.standing
        is_whole = standing.done == standing.total and not standing.is_cancelled
        what = f"{standing.done:,} done" if is_whole else f"ended after {self._count()}"
        parts = [f"{what} in {duration(self.seconds)}"]
        rate = _rate(standing.done, self.seconds)
        if rate:
            parts.append(f"{short_number(rate)}/s")
        return f"{self.title}: {', '.join(parts + self._failures())}"

    def _count(self) -> str:
        standing = self.standing
        return f"{standing.done:,}" if standing.total is None else f"{standing.done:,} of {standing.total:,}"

    def _percent(self) -> str:
        standing = self.standing
        return f" ({standing.done * 100 // standing.total} %)" if standing.total else ""

    def _failures(self) -> list[str]:
        return [f"{self.standing.failed:,} failed"] if self.standing.failed else []


def _rate(count: int, seconds: float) -> float:
    return count / seconds if count > 0 and seconds > 0 else 0.0


def short_number(number: float) -> str:
    """A rate as people read it: ``1,234``, ``12``, ``3.4`` or ``0.05``."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}" if number >= 1 else f"{number:.2g}"


def duration(seconds: float) -> str:
    """Seconds as people read them: ``3.2 s``, ``42 s``, ``2 min 5 s`` or ``3 h 20 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"
