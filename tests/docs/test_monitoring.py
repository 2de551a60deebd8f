"""The page about monitoring names every metric that there is, as it is, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

from concurrence.nodes.metrics import OF_ALL_NODES, OF_MASTERS, OF_SLAVES
from concurrence.telemetry.prometheus import Metric

TEXT = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text("utf-8")


def row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |".replace("|  |", "| |")


def test_the_tables_are_what_nodes_tell() -> None:
    for title, metrics in (("all nodes", OF_ALL_NODES), ("masters", OF_MASTERS), ("slaves", OF_SLAVES)):
        part = TEXT.partition(f"### Of {title}\n")[2].partition("\n#")[0]
        rows = [line for line in part.splitlines() if line.startswith("| `")]
        assert rows == [row(metric) for metric in metrics]


def test_no_other_metric_is_named() -> None:
    known = {metric.name for metric in (*OF_ALL_NODES, *OF_MASTERS, *OF_SLAVES)}
    named = set(re.findall(r"\bconcurrence_[a-z_]+", TEXT))
    ends = ("", "_bucket", "_sum", "_count")
    assert {name for name in named if not any(name.removesuffix(end) in known for end in ends)} == set()
