"""What a script's tasks took of its swarm so far: the report of ``swarm.report()``."""

from __future__ import annotations

from queue import Empty

from concurrence.errors import ConnectionFailed
from concurrence.nodes.display import RunSummary
from concurrence.nodes.run_report import RunReport, make_report
from concurrence.scripting.loop import SwarmLoop

PATIENCE = 30.0
"""Seconds to wait for the master's answer."""


def report_of(loop: SwarmLoop, *, is_private: bool) -> RunReport:
    """Ask the master, and put it together with what is known here.

    Args:
        loop: Drives the swarm.
        is_private: Whether the swarm is the script's own.

    Raises:
        ConnectionFailed: The master does not answer, or the swarm is lost.
    """
    try:
        usage = loop.ask_usage(PATIENCE)
    except Empty:
        raise ConnectionFailed(
            f"the master did not say within {PATIENCE:.0f} s what was used of it",
            hint="It is there, but busy, or the connection is lost for now. Try again.",
        ) from None
    systems, counts = loop.progress, loop.counts
    summary = RunSummary(
        wall=usage.seconds,
        busy=sum(slave.busy for slave in usage.slaves),
        finished=counts.finished + sum(each.finished for each in systems),
        failed=counts.failed + sum(each.failed for each in systems),
        cancelled=counts.cancelled + sum(each.cancelled for each in systems),
        moved=sum(slave.sent + slave.received for slave in usage.slaves),
    )
    return make_report(summary, usage, is_private=is_private)
