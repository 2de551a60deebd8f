"""The page of metrics, from the declarations that nodes write their metrics by."""

from __future__ import annotations

from collections.abc import Iterable

from concurrence.nodes.metrics import OF_ALL_NODES, OF_MASTERS, OF_SLAVES
from concurrence.telemetry.prometheus import Metric

_INTRO = """\
What a node tells at `/metrics` of its HTTP port, as Prometheus reads it. How to have it collected, and how to
count things of your own: [monitoring](../monitoring.md).

A metric of type counter only grows while the node lives; a histogram is the metrics `NAME_bucket`, `NAME_sum` and
`NAME_count`; a summary is `NAME` with the label `quantile` (0.5, 0.9 and 0.99), `NAME_sum` and `NAME_count`. Names
end in their unit. Times of tasks are taken per chunk: all tasks of a chunk count with their mean.
"""
_WHO = {"all nodes": OF_ALL_NODES, "masters": OF_MASTERS, "slaves": OF_SLAVES}


def metrics_markdown() -> str:
    """The page."""
    lines = ["# Metrics", "", _INTRO]
    for who, metrics in _WHO.items():
        lines += [f"## Of {who}", "", *_table(metrics), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(metrics: Iterable[Metric]) -> list[str]:
    return [
        "| metric | type | labels | what it tells |",
        "|---|---|---|---|",
        *(row(metric) for metric in metrics),
    ]


def row(metric: Metric) -> str:
    """The line of the table for a metric."""
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    cells = [f"`{metric.name}`", metric.kind, labels, metric.help]
    return "|".join(["", *(f" {cell} " if cell else " " for cell in cells), ""])
