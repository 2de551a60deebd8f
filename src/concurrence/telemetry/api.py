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

    Without any value, ``mean``, ``minimum``, ``maximum`` and ``last`` are 0.
    """

    values: int
    mean: float
    minimum: float
    maximum: float
    last: float
    events: int


class IStats(Interface):
    """Collects averages and counters; cheap enough to call for each task."""

    @abstractmethod
    def add_avg(self, name: str, value: float = 1) -> None:
        """Add a value to the average of a name.

        Args:
            name: What is averaged, for example ``task.seconds``.
            value: One observation.
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
