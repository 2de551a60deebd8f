"""What a master serves over HTTP besides its methods: its status, figures, metrics, and a page with all that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from concurrence.nodes import metrics
from concurrence.nodes.status import status_by_names
from concurrence.scheduling.core import MasterCore
from concurrence.scheduling.job_views import PLAIN_TASKS, job_views
from concurrence.scheduling.measures import Failure
from concurrence.telemetry.api import IStats
from concurrence.telemetry.prometheus import CONTENT_TYPE
from concurrence.transport.http_pages import HttpAnswer, HttpPages
from concurrence.version import __version__

MAX_ROWS = 200
"""Jobs and nodes that the page shows; of the others it tells how many there are."""

_FOLDER = Path(__file__).parent / "page"
_FILES = {
    "/": ("status.html", "text/html"),
    "/status.css": ("status.css", "text/css"),
    "/status.js": ("status.js", "text/javascript"),
    "/status.svg": ("status.svg", "image/svg+xml"),
}


class MasterPages:
    """Makes the pages of a master.

    Args:
        name: The master's name.
        core: What it knows of the swarm.
        stats: Its counters.
        now: Tells its time.
    """

    def __init__(self, name: str, core: MasterCore, stats: IStats, now: Callable[[], float]) -> None:
        self._name = name
        self._core = core
        self._stats = stats
        self._now = now

    def pages(self) -> HttpPages:
        """All of them."""
        fixed = {path: HttpAnswer((_FOLDER / name).read_bytes(), kind) for path, (name, kind) in _FILES.items()}
        return HttpPages(
            made={
                "/status": lambda: _json(status_by_names(self._core.status(0, self._now()))),
                "/stats": lambda: _json({name: asdict(each) for name, each in self._stats.snapshot().items()}),
                "/metrics": self._metrics,
                "/ready": self._ready,
            },
            fixed=fixed,
            events=lambda: msgspec.json.encode(self.event()),
            front=(_FOLDER / "closed.html").read_bytes(),
        )

    def event(self) -> dict[str, Any]:
        """What the page shows now."""
        swarm, now = self._core.swarm, self._now()
        status = self._core.status(0, now)
        jobs = job_views(swarm, now)
        nodes = sorted(
            (node for node in status.nodes if node.kind != "admin"), key=lambda node: (node.kind, node.name)
        )
        slaves = [node for node in status.nodes if node.kind == "slave"]
        failures = list(swarm.measures.failures)
        first = swarm.measures.failure_count - len(failures) + 1
        return {
            "name": self._name,
            "version": __version__,
            "scheduler": status.scheduler,
            "uptime": status.uptime,
            "tasks": msgspec.structs.asdict(swarm.measures.totals(swarm.ledger.jobs.values())),
            "slaves": len(slaves),
            "workers": sum(node.workers for node in slaves),
            "nodes": [msgspec.structs.asdict(node) for node in nodes[:MAX_ROWS]],
            "more_nodes": max(0, len(nodes) - MAX_ROWS),
            "jobs": [msgspec.structs.asdict(job) for job in jobs[:MAX_ROWS]],
            "more_jobs": max(0, len(jobs) - MAX_ROWS),
            "failures": [_failure(first + place, each, now) for place, each in enumerate(failures)][::-1],
        }

    def _metrics(self) -> HttpAnswer:
        uptime = self._core.status(0, self._now()).uptime
        stats = self._stats.snapshot()
        text = metrics.of_master(self._core.swarm, self._core.rejected, self._name, uptime, stats)
        return HttpAnswer(text.encode(), CONTENT_TYPE)

    def _ready(self) -> HttpAnswer:
        slaves = sum(1 for _ in self._core.swarm.registry.working())
        return _json({"ready": True, "slaves": slaves})


def _failure(number: int, failure: Failure, now: float) -> dict[str, Any]:
    return {
        "number": number,
        "ago": max(0.0, now - failure.at),
        "job": failure.job or PLAIN_TASKS,
        "task": f"{failure.system:016x}/{failure.counter}",
        "slave": failure.slave,
        "attempt": failure.attempt,
        "kind": failure.kind,
        "message": failure.message,
        "traceback": failure.traceback,
    }


def _json(value: object) -> HttpAnswer:
    return HttpAnswer(msgspec.json.encode(value))
