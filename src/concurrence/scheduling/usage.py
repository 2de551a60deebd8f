"""What each client's tasks took of the swarm, from what workers measured; kept while the client is there. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from msgspec import Struct
from msgspec.structs import replace

from concurrence.scheduling.ledger.jobs import Settled
from concurrence.scheduling.ledger.ledger import Ledger
from concurrence.scheduling.registry import Registry, SlaveNodeRecord
from concurrence.wire.messages import ChunkResults, SlaveUsage, Usage
from concurrence.wire.usage_messages import MAX_USAGE_SLAVES

OTHERS = "(others)"
"""The name under which the slaves beyond the bound are added up."""

_MAX_SECONDS = 1e6  # that a slave may claim for one chunk


class _Row(Struct):
    """What a client's tasks took of one slave; see :class:`~concurrence.wire.messages.SlaveUsage`."""

    workers: int
    present: float = 0.0  # of incarnations that are gone
    tasks: int = 0
    chunks: int = 0
    busy: float = 0.0
    packing: float = 0.0
    handling: float = 0.0
    sending: float = 0.0
    transfer: float = 0.0
    starved: float = 0.0
    sent: int = 0
    received: int = 0
    cpu: float = 0.0

    def told(self, name: str, present: float) -> SlaveUsage:
        """The same as part of a message.

        Args:
            name: The slave's name.
            present: Seconds that its present incarnation was there.
        """
        return SlaveUsage(
            name, self.workers, self.present + present, self.tasks, self.chunks, self.busy, self.packing,
            self.handling, self.sending, self.transfer, self.starved, self.sent, self.received,
            self.cpu,
        )  # fmt: skip


class _ClientUsage:
    """The sums of one client."""

    def __init__(self, now: float) -> None:
        self.since = self.last = now
        self.queued = 0.0
        self.queued_tasks = 0
        self.systems = 0.0
        self.rows: dict[str, _Row] = {}

    def row(self, slave: SlaveNodeRecord) -> _Row:
        name = slave.name if slave.name in self.rows or len(self.rows) < MAX_USAGE_SLAVES else OTHERS
        row = self.rows.get(name)
        if row is None:
            row = self.rows[name] = _Row(slave.workers)
        return row


class Usages:
    """The sums of all clients that are connected and have pushed something."""

    def __init__(self) -> None:
        self._clients: dict[str, _ClientUsage] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def begin(self, client: str, registry: Registry, now: float) -> None:
        """A client pushes something, itself or by one of its task systems.

        Args:
            client: Its node id.
            registry: Knows whether it is there: of one that has left nothing is kept.
            now: The time.
        """
        if client not in self._clients and client in registry:
            self._clients[client] = _ClientUsage(now)

    def forget(self, client: str) -> None:
        """A client is gone."""
        self._clients.pop(client, None)

    def waited(self, client: str, seconds: float, tasks: int) -> None:
        """So many tasks have waited for their turn, each so long."""
        usage = self._clients.get(client)
        if usage is not None:
            usage.queued += seconds * tasks
            usage.queued_tasks += tasks

    def ran(
        self, slave: SlaveNodeRecord, message: ChunkResults, settled: Settled, received: int, now: float
    ) -> None:
        """A slave brought results that count.

        Args:
            slave: Who.
            message: What its worker measured.
            settled: What they led to.
            received: Bytes of the results.
            now: The time.
        """
        assignment = settled.assignment
        usage = self._clients.get(assignment.job.client)
        if usage is None:
            return
        usage.last = now
        row = usage.row(slave)
        busy, handling, waited = _sane(message.busy), _sane(message.handling), _sane(message.waited)
        # The worker waited; while its chunk was on the way, or the result is now, that was for want of speed. Only
        # what was before the chunk existed was for want of work, and what was before the first push was neither.
        transfer = min(waited, max(0.0, now - assignment.at - busy - handling))
        row.tasks += settled.ran
        row.chunks += 1
        row.busy += busy
        row.cpu += busy if message.cpu is None else _sane(message.cpu)
        row.packing += min(_sane(message.packing), busy)
        row.handling += min(handling, now - usage.since)
        row.sending += min(_sane(message.sending), now - usage.since)
        row.transfer += transfer
        row.starved += min(waited - transfer, max(0.0, assignment.at - usage.since))
        row.sent += settled.size
        row.received += received

    def system_ended(self, client: str, seconds: float, now: float) -> None:
        """A task system ended, which was at work for so long itself."""
        usage = self._clients.get(client)
        if usage is not None:
            usage.systems += _sane(seconds)
            usage.last = now

    def left(self, slave: SlaveNodeRecord, now: float) -> None:
        """A slave is gone."""
        for usage in self._clients.values():
            usage.row(slave).present += max(0.0, now - max(slave.joined, usage.since))

    def told(
        self, client: str, request: int, ledger: Ledger, slaves: Iterable[SlaveNodeRecord], now: float
    ) -> Usage:
        """The answer to a client that asks.

        Args:
            client: Its node id.
            request: The number of its question.
            ledger: Knows whether it has anything unfinished.
            slaves: Those that are connected.
            now: The time.
        """
        usage = self._clients.get(client) or _ClientUsage(now)
        is_over = not any(job.client == client and (job.function or job.tasks) for job in ledger.jobs.values())
        end = usage.last if is_over else now
        rows = dict(usage.rows)
        told: dict[str, SlaveUsage] = {}
        for slave in slaves:
            row = rows.pop(slave.name, None) or _Row(slave.workers)
            row.workers = slave.workers
            _add(told, row.told(slave.name, max(0.0, end - max(slave.joined, usage.since))))
        for name, row in rows.items():
            _add(told, row.told(name, 0.0))
        return Usage(
            request, end - usage.since, usage.queued, usage.queued_tasks, usage.systems, list(told.values())
        )


def _add(told: dict[str, SlaveUsage], row: SlaveUsage) -> None:
    """One more row; what is beyond the bound is added up, as if it was one slave with the workers of all."""
    if row.name != OTHERS and len(told) < MAX_USAGE_SLAVES:
        told[row.name] = row
        return
    sum_, workers = told.get(OTHERS, SlaveUsage(OTHERS, 0, 0.0)), row.workers
    total = sum_.workers + workers
    present = (sum_.present * sum_.workers + row.present * workers) / total if total else 0.0
    told[OTHERS] = replace(
        sum_,
        workers=total,
        present=present,
        **{
            name: getattr(sum_, name) + getattr(row, name)
            for name in SlaveUsage.__struct_fields__
            if name not in ("name", "workers", "present")
        },
    )


def _sane(seconds: float) -> float:
    """Seconds that a slave or host claims, within reason."""
    return min(max(seconds, 0.0), _MAX_SECONDS) if isfinite(seconds) else 0.0
