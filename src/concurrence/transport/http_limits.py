"""Bounds of the HTTP port: what a caller may do, how often, and how what is refused is counted and told. Pure.

Times come from outside; nothing here knows a socket or a request.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from concurrence.telemetry.api import IStats

MAX_CALLERS = 1_024
"""Callers whose rates are kept; of more, those that were silent longest begin anew."""

TELL_SECONDS = 5.0
"""How often refusals of one kind are told in the log; those in between are counted."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class RateLimit:
    """So many requests a second for each caller, and so many at once after a pause.

    Args:
        rate: Requests a second.
        burst: Requests at once.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def allows(self, caller: str, now: float) -> bool:
        """Whether a caller may have one more request now; if so it is charged."""
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = _Bucket(self._burst, now)
            if len(self._buckets) > MAX_CALLERS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(caller)
            bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
            bucket.at = now
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True


class Refusals:
    """Counts what is refused, by kind, and tells it in the log: the first at once, then a summary.

    Args:
        log: Told.
        stats: Counts, under ``api.refused.KIND``.
        now: Tells the time in seconds.
    """

    def __init__(self, log: logging.Logger, stats: IStats, now: Callable[[], float]) -> None:
        self._log = log
        self._stats = stats
        self._now = now
        self._told: dict[str, float] = {}
        self._silent: dict[str, int] = {}

    def add(self, kind: str, address: str, text: str) -> None:
        """Something was refused.

        Args:
            kind: One of a few words.
            address: Whose it was.
            text: What was wrong with it; of bounded length, and nothing secret.
        """
        self._stats.count(f"api.refused.{kind}")
        now = self._now()
        last = self._told.get(kind)
        if last is not None and now - last < TELL_SECONDS:
            self._silent[kind] = self._silent.get(kind, 0) + 1
            return
        self._told[kind] = now
        others = self._silent.pop(kind, 0)
        more = f" ({others} more of this kind before)" if others else ""
        self._log.warning("HTTP request from %s refused: %s%s", address, text, more)
