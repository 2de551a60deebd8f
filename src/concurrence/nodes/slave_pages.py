"""What a slave offers over HTTP: that it lives, how it is, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import msgspec

from concurrence.nodes import metrics
from concurrence.nodes.common_methods import register_common
from concurrence.telemetry.api import IStats
from concurrence.telemetry.prometheus import CONTENT_TYPE
from concurrence.transport.http_pages import PEOPLE, HttpAnswer, HttpPages
from concurrence.transport.remote import ApiRequest, ApiService, jsonremote
from concurrence.version import __version__


class SlaveState(msgspec.Struct, frozen=True):
    """How a slave is.

    Attributes:
        slave: Its name.
        node: Its node id.
        master: The address of its master.
        connected: Whether it is registered there.
        draining: Whether it takes no more work.
        workers: Its workers.
        chunks: Chunks of tasks that it has.
    """

    slave: str
    node: str
    master: str
    connected: bool
    draining: bool
    workers: int
    chunks: int


class SlavePages:
    """Makes the pages and methods of a slave.

    Args:
        state: Tells how it is.
        stats: Its counters.
        now: Tells its time.
    """

    def __init__(self, state: Callable[[], SlaveState], stats: IStats, now: Callable[[], float]) -> None:
        self._state = state
        self._stats = stats
        self._now = now
        self._began = now()

    def register(self, service: ApiService) -> None:
        """Offer the methods."""
        register_common(service, self._stats)

        @jsonremote(service, roles=PEOPLE)
        def status(request: ApiRequest) -> dict[str, Any]:
            """Tell how the slave is."""
            return self._status()

    def pages(self) -> HttpPages:
        """All pages."""
        return HttpPages(
            made={
                "/": lambda: _json(self._status()),
                "/status": lambda: _json(self._status()),
                "/stats": lambda: _json({name: asdict(each) for name, each in self._stats.snapshot().items()}),
                "/metrics": self._metrics,
                "/ready": self._ready,
            }
        )

    def _status(self) -> dict[str, Any]:
        plain: dict[str, Any] = msgspec.structs.asdict(self._state())
        return {**plain, "package": __version__, "uptime": self._now() - self._began}

    def _metrics(self) -> HttpAnswer:
        state = self._state()
        figures = {
            "connected": float(state.connected),
            "draining": float(state.draining),
            "workers": float(state.workers),
            "chunks": float(state.chunks),
        }
        text = metrics.of_slave(state.slave, self._now() - self._began, figures, self._stats.snapshot())
        return HttpAnswer(text.encode(), CONTENT_TYPE)

    def _ready(self) -> HttpAnswer:
        state = self._state()
        is_ready = state.connected and not state.draining
        return HttpAnswer(msgspec.json.encode({"ready": is_ready}), status=200 if is_ready else 503)


def _json(value: object) -> HttpAnswer:
    return HttpAnswer(msgspec.json.encode(value))
