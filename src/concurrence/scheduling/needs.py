"""What tasks need and slaves lack, in words: the nearest slave, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from concurrence.scheduling.alone import Alone
from concurrence.scheduling.load import Needs
from concurrence.scheduling.registry import SlaveNodeRecord

_SHOWN = 3  # slaves that a text names


class Lack(NamedTuple):
    """Something of which a slave has too little.

    Attributes:
        name: The resource.
        needed: How much a task needs.
        there: How much the slave has in all.
    """

    name: str
    needed: float
    there: float

    def __str__(self) -> str:
        if self.name == "cpu":
            return f"has {self.there:g} worker{'s' if self.there != 1 else ''} and not {self.needed:g}"
        if not self.there:
            return f"has no {self.name}"
        return f"has {self.name}={self.there:g} and not {self.needed:g}"


def needs_text(needs: Needs) -> str:
    """What tasks need, as one writes it: ``cpu=2, gpu=1``."""
    return ", ".join(f"{name}={amount:g}" for name, amount in needs)


def lacks_of(slave: SlaveNodeRecord, needs: Needs) -> list[Lack]:
    """What a slave has too little of, if nothing else takes any of it."""
    there = {"cpu": float(slave.workers), **slave.description.labels}
    return [Lack(name, amount, there.get(name, 0.0)) for name, amount in needs if amount > there.get(name, 0.0)]


def nearest(slaves: Iterable[SlaveNodeRecord], needs: Needs) -> tuple[SlaveNodeRecord, list[Lack]] | None:
    """The slave that lacks least: the fewest resources, and of these the smallest part; None without any slave."""
    found = [(slave, lacks_of(slave, needs)) for slave in slaves]
    return min(found, key=lambda each: _distance(each[1]), default=None)


def why_nobody(slaves: Sequence[SlaveNodeRecord], needs: Needs) -> str:
    """Why no slave can ever run tasks with these needs: ``needs ..., which no connected slave offers; ...``."""
    text = f"needs {needs_text(needs)}, which no connected slave offers"
    near = nearest(slaves, needs)
    if near is None:
        return text
    slave, lacks = near
    which = f"the nearest, {slave.name}," if len(slaves) > 1 else slave.name
    return f"{text}: {which} {' and '.join(map(str, lacks))}"


def fix_for(slaves: Sequence[SlaveNodeRecord], needs: Needs, alone: Alone | None = None) -> str:
    """What to do about it: the smallest change of the nearest slave, or of the task.

    Args:
        slaves: All connected slaves.
        needs: What tasks need.
        alone: Whether no further slave can ever join.
    """
    near = nearest(slaves, needs)
    lacks = near[1] if near is not None else [Lack(name, amount, 0.0) for name, amount in needs]
    workers = [_whole(lack.needed) for lack in lacks if lack.name == "cpu"]
    options = [f"--workers {count}" for count in workers]
    arguments = [f"workers={count}" for count in workers]
    labels = [(lack.name, lack.needed) for lack in lacks if lack.name != "cpu"]
    if labels and near is not None:
        kept = [each for each in sorted(near[0].description.labels.items()) if each[0] not in dict(labels)]
        labels = [*kept, *labels]
    if labels:
        words = ",".join(f"{name}={amount:g}" for name, amount in labels)
        options.append(f'--set "slavenode.labels={words}"')
        arguments.append(f'overrides=["slavenode.labels={words}"]')
    less = f"or let the task need less {' and '.join(lack.name for lack in lacks)}."
    if alone is None:
        return f"Start a slave that offers it: concurrence slave {' '.join(options)}; {less}"
    how = f"{' '.join(options)}, in a script local_swarm({', '.join(arguments)})"
    if alone is Alone.INLINE:
        return f"Inline there is one worker, without labels. Run it in a private swarm: {how}; {less}"
    return f"No other slave can join a private swarm. Start it with more: {how}; {less}"


def names_of(slaves: Sequence[SlaveNodeRecord]) -> str:
    """The first names of some slaves, and how many more there are."""
    more = f" and {len(slaves) - _SHOWN} more" if len(slaves) > _SHOWN else ""
    return ", ".join(slave.name for slave in slaves[:_SHOWN]) + more


def _distance(lacks: Sequence[Lack]) -> tuple[int, float]:
    return len(lacks), sum(1.0 - lack.there / lack.needed for lack in lacks)


def _whole(amount: float) -> int:
    return -int(-amount // 1)
