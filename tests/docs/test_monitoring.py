"""The pages name every metric that there is, as it is, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from concurrence.nodes.metrics import OF_ALL_NODES, OF_MASTERS, OF_SLAVES

DOCS = Path(__file__).parents[2] / "docs"
KNOWN = {metric.name: metric for metric in (*OF_ALL_NODES, *OF_MASTERS, *OF_SLAVES)}
ENDS = ("", "_bucket", "_sum", "_count")


def test_every_metric_is_in_the_reference() -> None:
    text = (DOCS / "reference" / "metrics.md").read_text("utf-8")
    for title, metrics in (("all nodes", OF_ALL_NODES), ("masters", OF_MASTERS), ("slaves", OF_SLAVES)):
        part = text.partition(f"## Of {title}\n")[2].partition("\n#")[0]
        rows = [line for line in part.splitlines() if line.startswith("| `")]
        assert len(rows) == len(metrics)
        for line, metric in zip(rows, metrics, strict=True):
            told = (f"| `{metric.name}` |", f"| {metric.kind} |", metric.help, *(f"`{x}`" for x in metric.labels))
            assert all(word in line for word in told)


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: path.name)
def test_no_other_metric_is_named(page: Path) -> None:
    named = set(re.findall(r"\bconcurrence_[a-z_]+", page.read_text("utf-8")))
    fixtures = {"concurrence_swarm", "concurrence_environment"}
    named -= fixtures
    assert {name for name in named if not any(name.removesuffix(end) in KNOWN for end in ENDS)} == set()
