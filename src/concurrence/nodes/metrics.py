"""The metrics of nodes: what there is, and how it is found."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from concurrence.scheduling.api import SwarmState
from concurrence.telemetry.api import StatSummary
from concurrence.telemetry.prometheus import Exposition, Metric
from concurrence.version import __version__

if sys.platform != "win32":
    import resource

OF_ALL_NODES = (
    Metric("concurrence_info", "gauge", "Always 1; which version of Concurrent this is.", ("version", "node")),
    Metric("concurrence_uptime_seconds", "gauge", "Seconds since the node is up."),
    Metric(
        "concurrence_loop_lag_seconds",
        "summary",
        "How late the node's loop was, once a second; quantiles of the last minutes.",
    ),
    Metric("concurrence_peak_memory_bytes", "gauge", "The largest resident memory that the node's process had."),
    Metric(
        "concurrence_stat", "summary", "What components average by name; quantiles of the last minutes.", ("name",)
    ),
    Metric("concurrence_stat_events_total", "counter", "What components count by name.", ("name",)),
)
OF_MASTERS = (
    Metric(
        "concurrence_tasks",
        "gauge",
        "Tasks: queued, delayed, running now; finished, failed, cancelled since the start.",
        ("state",),
    ),
    Metric("concurrence_tasks_ended_total", "counter", "Tasks that ended, by how.", ("state",)),
    Metric("concurrence_task_seconds", "histogram", "Seconds that tasks ran."),
    Metric(
        "concurrence_queue_wait_seconds", "histogram", "Seconds that tasks waited at the master for their turn."
    ),
    Metric(
        "concurrence_transfer_seconds",
        "histogram",
        "Seconds that chunks of tasks were away without running: on the wire, and waiting at a slave.",
    ),
    Metric("concurrence_busy_seconds_total", "counter", "Seconds that workers spent in tasks."),
    Metric(
        "concurrence_moved_bytes_total", "counter", "Bytes of tasks and results between owners, master and slaves."
    ),
    Metric("concurrence_jobs", "gauge", "Task systems, and clients' plain tasks, that are not over."),
    Metric("concurrence_slaves", "gauge", "Connected slaves: working, or draining.", ("state",)),
    Metric("concurrence_workers", "gauge", "Workers of connected slaves."),
    Metric("concurrence_chunks", "gauge", "Chunks of tasks at slaves."),
    Metric("concurrence_nodes", "gauge", "Connected nodes by kind.", ("kind",)),
    Metric("concurrence_messages_rejected_total", "counter", "Messages of nodes that were refused."),
)
OF_SLAVES = (
    Metric("concurrence_connected", "gauge", "Whether the slave is registered with its master."),
    Metric("concurrence_draining", "gauge", "Whether the slave takes no more work."),
    Metric("concurrence_workers", "gauge", "Its workers."),
    Metric("concurrence_chunks", "gauge", "Chunks of tasks that it has."),
)
_KILOBYTE = 1 if sys.platform == "darwin" else 1024
_LAG = "loop.lag"


def of_every_node(
    exposition: Exposition, name: str, uptime: float, stats: Mapping[str, StatSummary]
) -> Exposition:
    """Add what every node tells.

    Args:
        exposition: Where to.
        name: The node's name.
        uptime: Seconds since it is up.
        stats: Its statistics.
    """
    exposition.add("concurrence_info", 1, __version__, name)
    exposition.add("concurrence_uptime_seconds", uptime)
    if _LAG in stats:
        exposition.add_summary("concurrence_loop_lag_seconds", stats[_LAG])
    if sys.platform != "win32":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KILOBYTE
        exposition.add("concurrence_peak_memory_bytes", peak)
    for key, summary in stats.items():
        if summary.values and key != _LAG:
            exposition.add_summary("concurrence_stat", summary, key)
    for key, summary in stats.items():
        if summary.events:
            exposition.add("concurrence_stat_events_total", summary.events, key)
    return exposition


def of_master(swarm: SwarmState, rejected: int, name: str, uptime: float, stats: Mapping[str, StatSummary]) -> str:
    """All metrics of a master, as Prometheus reads them.

    Args:
        swarm: What it knows.
        rejected: Messages that it refused.
        name: Its name.
        uptime: Seconds since it is up.
        stats: Its statistics.
    """
    found = of_every_node(Exposition((*OF_ALL_NODES, *OF_MASTERS)), name, uptime, stats)
    totals = swarm.measures.totals(swarm.ledger.jobs.values())
    ended = {"finished": totals.finished, "failed": totals.failed, "cancelled": totals.cancelled}
    states = {"queued": totals.queued, "delayed": totals.delayed, "running": totals.running, **ended}
    for state, count in states.items():
        found.add("concurrence_tasks", count, state)
    for state, count in ended.items():
        found.add("concurrence_tasks_ended_total", count, state)
    found.add_histogram("concurrence_task_seconds", swarm.measures.task)
    found.add_histogram("concurrence_queue_wait_seconds", swarm.measures.queue)
    found.add_histogram("concurrence_transfer_seconds", swarm.measures.transfer)
    found.add("concurrence_busy_seconds_total", totals.busy)
    found.add("concurrence_moved_bytes_total", totals.moved)
    found.add("concurrence_jobs", len(swarm.ledger.jobs))
    slaves = [slave for slave in swarm.registry.slaves() if slave.peer is not None]
    draining = sum(slave.is_draining for slave in slaves)
    found.add("concurrence_slaves", len(slaves) - draining, "working")
    found.add("concurrence_slaves", draining, "draining")
    found.add("concurrence_workers", sum(slave.workers for slave in slaves))
    found.add("concurrence_chunks", sum(len(slave.chunks) for slave in slaves))
    kinds = [node.hello.kind for node in swarm.registry if node.peer is not None]
    for kind in ("client", "host", "slave"):
        found.add("concurrence_nodes", kinds.count(kind), kind)
    found.add("concurrence_messages_rejected_total", rejected)
    return found.text()


def of_slave(name: str, uptime: float, state: Mapping[str, float], stats: Mapping[str, StatSummary]) -> str:
    """All metrics of a slave, as Prometheus reads them.

    Args:
        name: Its name.
        uptime: Seconds since it is up.
        state: ``connected``, ``draining``, ``workers`` and ``chunks``.
        stats: Its statistics.
    """
    found = of_every_node(Exposition((*OF_ALL_NODES, *OF_SLAVES)), name, uptime, stats)
    for key in ("connected", "draining", "workers", "chunks"):
        found.add(f"concurrence_{key}", state[key])
    return found.text()
