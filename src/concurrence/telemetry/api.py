"""The interface of statistics: averages and counters by name, and a snapshot of them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from concurrence.component import Interface

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class StatSummary:
    """What is known of one name: of the values added, and of the events counted.

    Without any value, ``mean``, ``minimum``, ``maximum``, ``last`` and the quantiles are 0.

    Attributes:
        values: How many values were added.
        mean: Their mean.
        minimum: The least.
        maximum: The greatest.
        last: The last one.
        events: How many events were counted.
        rate: Values and events a second, over about the last minute.
        p50: Half of the values of the last five to ten minutes are below it, about.
        p90: The same for nine of ten.
        p99: The same for 99 of 100.
    """

    values: int
    mean: float
    minimum: float
    maximum: float
    last: float
    events: int
    rate: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0


class IStats(Interface):
    """Collects averages and counters; cheap enough to call for each task."""

    @abstractmethod
    def add_avg(self, name: str, value: float = 1) -> None:
        """Add a value to the average of a name.

        Args:
            name: What is averaged, for example ``task.seconds``.
            value: One observation; one that is not finite is left out.

        Raises:
            TypeError: The value is no number.
        """

    @abstractmethod
    def count(self, name: str, n: int = 1) -> None:
        """Count events of a name.

        Args:
            name: What is counted, for example ``tasks.finished``.
            n: How many have happened.
        """

    @abstractmethod
    def snapshot(self) -> Mapping[str, StatSummary]:
        """The present state of all names, sorted by name; later calls do not change it."""
