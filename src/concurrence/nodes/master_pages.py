"""What a master serves over HTTP besides its methods."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from concurrence.nodes.status import status_by_names
from concurrence.scheduling.core import MasterCore
from concurrence.telemetry.api import IStats
from concurrence.transport.http_pages import HttpAnswer, HttpPages


class MasterPages:
    """Makes the pages of a master.

    Args:
        core: What it knows of the swarm.
        stats: Its counters.
        now: Tells its time.
    """

    def __init__(self, core: MasterCore, stats: IStats, now: Callable[[], float]) -> None:
        self._core = core
        self._stats = stats
        self._now = now

    def pages(self) -> HttpPages:
        """All of them."""
        return HttpPages(made={"/status": self._status, "/stats": self._of_stats, "/ready": self._ready})

    def _status(self) -> HttpAnswer:
        return _json(status_by_names(self._core.status(0, self._now())))

    def _of_stats(self) -> HttpAnswer:
        return _json(dict(self._stats.snapshot()))

    def _ready(self) -> HttpAnswer:
        slaves = sum(1 for _ in self._core.swarm.registry.working())
        return _json({"ready": True, "slaves": slaves})


def _json(value: object) -> HttpAnswer:
    return HttpAnswer(msgspec.json.encode(value))
