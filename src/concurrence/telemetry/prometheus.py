"""The text in which Prometheus reads metrics, version 0.0.4. Pure.

Our own, because it is a page of code: the official library keeps a registry of its own, and takes 60 ms to import.
Its parser reads what is written here, in a test.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from concurrence.telemetry.api import StatSummary
from concurrence.telemetry.histogram import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is.

    Attributes:
        name: Its name; that of a counter ends in ``_total``.
        kind: ``gauge``, ``counter``, ``histogram`` or ``summary``.
        help: What it tells, in a line.
        labels: The names of its labels.
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()


class Exposition:
    """Collects metrics and writes them down.

    Args:
        metrics: All that there may be; others are refused.
    """

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = {metric.name: metric for metric in metrics}
        self._lines: dict[str, list[str]] = {}

    def add(self, name: str, value: float, *labels: str) -> None:
        """A gauge or counter.

        Args:
            name: Which.
            value: Its value now.
            labels: The values of its labels, in order.
        """
        self._add(name, name, value, self._pairs(name, labels))

    def add_histogram(self, name: str, histogram: Histogram, *labels: str) -> None:
        """A histogram."""
        pairs = self._pairs(name, labels)
        for bound, count in histogram.cumulated():
            self._add(name, f"{name}_bucket", count, {**pairs, "le": _number(bound)})
        self._add(name, f"{name}_sum", histogram.total, pairs)
        self._add(name, f"{name}_count", histogram.count, pairs)

    def add_summary(self, name: str, summary: StatSummary, *labels: str) -> None:
        """A summary."""
        pairs = self._pairs(name, labels)
        for share, value in (("0.5", summary.p50), ("0.9", summary.p90), ("0.99", summary.p99)):
            self._add(name, name, value, {**pairs, "quantile": share})
        self._add(name, f"{name}_sum", summary.mean * summary.values, pairs)
        self._add(name, f"{name}_count", summary.values, pairs)

    def text(self) -> str:
        """All of them."""
        lines: list[str] = []
        for name, samples in self._lines.items():
            metric = self._metrics[name]
            lines += [f"# HELP {name} {_escaped(metric.help)}", f"# TYPE {name} {metric.kind}", *samples]
        return "\n".join([*lines, ""])

    def _pairs(self, name: str, labels: tuple[str, ...]) -> dict[str, str]:
        return dict(zip(self._metrics[name].labels, labels, strict=True))

    def _add(self, name: str, sample: str, value: float, labels: Mapping[str, str]) -> None:
        shown = ",".join(f'{key}="{_escaped(text, quoted=True)}"' for key, text in labels.items())
        line = f"{sample}{{{shown}}} {_number(value)}" if shown else f"{sample} {_number(value)}"
        self._lines.setdefault(name, []).append(line)


def _escaped(text: str, *, quoted: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    # Names come from users: what UTF-8 cannot say must not spoil the whole page.
    return (escaped.replace('"', '\\"') if quoted else escaped).encode("utf-8", "replace").decode("utf-8")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(int(value)) if float(value).is_integer() and abs(value) < 2**53 else repr(float(value))
