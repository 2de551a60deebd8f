"""What ``concurrence top`` shows: snapshots of a swarm, the rates between them, and how that looks."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from concurrence.cli.display import human_bytes, human_seconds
from concurrence.cli.jobs import progress_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

RATE_SNAPSHOTS = 6
"""Rates are those between the newest and the oldest of so many snapshots."""

_COUNTED = ("finished", "failed")


class Frames:
    """The last snapshots, and what they say of rates.

    Args:
        address: Where the master is.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._snapshots: deque[dict[str, Any]] = deque(maxlen=RATE_SNAPSHOTS)
        self.trouble = ""

    @property
    def newest(self) -> dict[str, Any]:
        """The newest snapshot."""
        return self._snapshots[-1]

    def add(self, snapshot: dict[str, Any]) -> None:
        """A snapshot came; one of a master that was restarted has nothing to do with those before."""
        if self._snapshots and snapshot["master"] != self.newest["master"]:
            self._snapshots.clear()
        self._snapshots.append(snapshot)
        self.trouble = ""

    def slave_rate(self, slave: dict[str, Any]) -> float | None:
        """Tasks that ran on a slave in a second; None until there is something to compare."""
        return self._rate("slaves", "node", slave, ("finished",))

    def job_rate(self, job: dict[str, Any]) -> float | None:
        """Tasks of a job that ended in a second, finished or failed; None until there is something to compare."""
        return self._rate("jobs", "id", job, _COUNTED)

    def left(self, job: dict[str, Any]) -> float | None:
        """Seconds until a job is done, if it goes on like this; None if that cannot be told."""
        rate = self.job_rate(job)
        if job["total"]:
            rate, todo = self._rate("jobs", "id", job, ("done",)), job["total"] - job["done"]
        else:
            todo = job["queued"] + job["delayed"] + job["running"]
        return None if not rate or todo <= 0 else todo / rate

    def _rate(self, what: str, key: str, row: dict[str, Any], counted: Sequence[str]) -> float | None:
        for snapshot in self._snapshots:
            seconds = self.newest["uptime"] - snapshot["uptime"]
            before = next((each for each in snapshot[what] if each[key] == row[key]), None)
            if before is not None and seconds > 0:
                return max(0.0, sum(row[name] - before[name] for name in counted) / seconds)
        return None

    def render(self) -> RenderableType:
        """The newest snapshot, as a terminal shows it."""
        parts: list[RenderableType] = [self._heading()]
        if self.trouble:
            parts.append(Text(self.trouble, "bold red"))
        snapshot = self.newest
        slaves, jobs = snapshot["slaves"], snapshot["jobs"]
        parts += [Text(), self._slaves(slaves) if slaves else Text("no slave is connected: tasks wait")]
        parts += [Text(), self._jobs(jobs) if jobs else Text("no jobs: no client is connected")]
        return Group(*parts)

    def _heading(self) -> Text:
        snapshot = self.newest
        slaves = [slave for slave in snapshot["slaves"] if slave["state"] != "away"]
        workers, busy = (sum(slave[name] for slave in slaves) for name in ("workers", "busy"))
        rates = [rate for slave in slaves if (rate := self.slave_rate(slave)) is not None]
        parts = [
            f"master {self._address}",
            f"up {human_seconds(snapshot['uptime'])}",
            snapshot["scheduler"],
            f"{_plural(len(slaves), 'slave')}, {busy} of {_plural(workers, 'worker')} busy",
            f"{rate_text(sum(rates))} tasks/s" if rates else "",
        ]
        return Text(" · ".join(part for part in parts if part), "bold")

    def _slaves(self, slaves: Sequence[dict[str, Any]]) -> Table:
        table = _table(["slave", "state"], ["workers", "busy", "chunks", "finished", "tasks/s", "cores", "memory"])
        for slave in slaves:
            table.add_row(
                Text(slave["name"]),
                Text(slave["state"], "" if slave["state"] == "working" else "yellow"),
                str(slave["workers"]),
                str(slave["busy"]),
                str(slave["chunks"]),
                f"{slave['finished']:,}",
                rate_text(self.slave_rate(slave)),
                str(slave["cores"]),
                human_bytes(slave["memory"]) if slave["memory"] else "",
            )
        return table

    def _jobs(self, jobs: Sequence[dict[str, Any]]) -> Table:
        numbers = ["queued", "running", "finished", "failed", "tasks/s", "left"]
        table = _table(["job", "name", "client", "state"], numbers, ["progress"])
        for job in jobs:
            left = self.left(job)
            table.add_row(
                job["short"],
                Text(job["name"]),
                Text(job["client"]),
                Text("blocked", "red") if job["blocked"] else Text(job["state"]),
                f"{job['queued'] + job['delayed']:,}",
                f"{job['running']:,}",
                f"{job['finished']:,}",
                Text(f"{job['failed']:,}", "red" if job["failed"] else ""),
                rate_text(self.job_rate(job)),
                human_seconds(left) if left is not None else "",
                Text(progress_of(job) or (job["waits_for"] if job["blocked"] else "")),
            )
        return table


def rate_text(rate: float | None) -> str:
    """Tasks in a second, as people read it."""
    if rate is None:
        return ""
    return f"{rate:,.0f}" if rate >= 10 or not rate else f"{rate:.1f}"


def _table(words: Sequence[str], numbers: Sequence[str], last: Sequence[str] = ()) -> Table:
    table = Table(*words, box=None, pad_edge=False)
    for heading in numbers:
        table.add_column(heading, justify="right")
    for heading in last:
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    return table


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count != 1 else ''}"
