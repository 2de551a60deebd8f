"""What a slave has of what it offers: workers, room for chunks, labels; and how much of that is taken. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TypeAlias

from concurrence.wire.messages import SlaveDescription

Needs: TypeAlias = Sequence[tuple[str, float]]
"""What the tasks of a chunk need of a slave, by name."""


def cores_of(needs: Needs) -> int:
    """How many workers one task takes: one, unless it needs a larger ``cpu``."""
    return max((ceil(amount) for name, amount in needs if name == "cpu"), default=1) or 1


class SlaveLoad:
    """What a slave has to do, against what its machine offers.

    Args:
        description: Its machine.

    Attributes:
        description: Its machine.
        chunks: The chunks that it has, claimed from the work queue or directed to it, and what each takes of it.
        weight: How much of its credit they use: one each, and those that take several workers as much as these.
        taken: How much of its labels they use.
        is_draining: Whether it takes no more work, and gives back what has not started.
        kept_for: Resources that no other task may have of it, because one that needs much of them waits for them;
            with ``cpu`` among them it takes no other chunks at all.
    """

    def __init__(self, description: SlaveDescription) -> None:
        self.description = description
        self.chunks: dict[int, Needs] = {}
        self.weight = 0
        self.taken: dict[str, float] = {}
        self.kept_for: frozenset[str] = frozenset()
        self.is_draining = False
        self._busy = 0

    @property
    def workers(self) -> int:
        """Number of its workers."""
        return self.description.workers

    @property
    def idle_workers(self) -> int:
        """How many of its workers have nothing to do."""
        return max(0, self.description.workers - self._busy)

    @property
    def room(self) -> int:
        """How many more chunks it takes."""
        if self.is_draining:
            return 0
        return max(0, self.description.credit - self.weight)

    @property
    def used(self) -> int:
        """How much of its credit is in use."""
        return min(self.weight, self.description.credit)

    def offers(self, resources: Needs) -> bool:
        """Whether it has as much of all these resources, if nothing else takes any of them."""
        if not resources:
            return True
        total = {"cpu": float(self.workers), **self.description.labels}
        return all(amount <= total.get(name, 0.0) for name, amount in resources)

    def has_free(self, resources: Needs) -> bool:
        """Whether it has as much of all these, beyond what its chunks take and what is kept for another."""
        for name, amount in resources:
            if name in self.kept_for:
                return False
            if name == "cpu":
                if amount > 1 and ceil(amount) > self.idle_workers:
                    return False
            elif amount > self.description.labels.get(name, 0.0) - self.taken.get(name, 0.0):
                return False
        return True

    def may_get(self, resources: Needs) -> bool:
        """Whether what was kept for a task can be sent: its workers are freed there, by the slave itself."""
        labels = self.description.labels
        return len(self.chunks) < self.description.credit and all(
            name == "cpu" or amount <= labels.get(name, 0.0) - self.taken.get(name, 0.0)
            for name, amount in resources
        )

    def has_smaller(self, resources: Needs) -> bool:
        """Whether chunks are there that take less of one of these: such as would go on taking what comes free."""
        for name, amount in resources:
            for needs in self.chunks.values():
                taken = float(cores_of(needs)) if name == "cpu" else dict(needs).get(name, 0.0)
                if 0.0 < taken < amount:
                    return True
        return False

    def add(self, chunk: int, needs: Needs) -> None:
        """It has a chunk, whose tasks need so much."""
        if chunk in self.chunks:
            return
        self.chunks[chunk] = needs
        if not needs:
            self.weight += 1
            self._busy += 1
            return
        self._count(needs, 1)

    def discard(self, chunk: int) -> None:
        """It does not have a chunk any more."""
        needs = self.chunks.pop(chunk, None)
        if needs is None:
            return
        if not needs:
            self.weight -= 1
            self._busy -= 1
            return
        self._count(needs, -1)

    def weight_of(self, needs: Needs) -> int:
        """How much of its credit a chunk uses: one that takes several workers as much as these."""
        cores = cores_of(needs)
        return 1 if cores == 1 else -(-cores * self.description.credit // max(1, self.workers))

    def sanity_check(self) -> None:
        """Check that what its chunks take is counted.

        Raises:
            AssertionError: It is not.
        """
        chunks = self.chunks.values()
        assert self.weight == sum(map(self.weight_of, chunks)), "it counts its credit wrongly"
        assert self._busy == sum(map(cores_of, chunks)), "it counts its busy workers wrongly"
        for name, amount in self.taken.items():
            taken = sum(each for needs in chunks for label, each in needs if label == name)
            assert abs(taken - amount) < 1e-6, f"it counts {name} wrongly"

    def _count(self, needs: Needs, sign: int) -> None:
        self.weight += sign * self.weight_of(needs)
        self._busy += sign * cores_of(needs)
        for name, amount in needs:
            if name != "cpu":
                left = self.taken.get(name, 0.0) + sign * amount
                if left > 1e-9:  # what is left of a sum of fractions is nothing
                    self.taken[name] = left
                else:
                    self.taken.pop(name, None)
