"""What the small things cost that everything else is made of: reading an option, finding a component, starting.

    python benchmarks/small_things.py [--repeats R]

Each figure is the least of several repeats, beside the figure that it should not exceed. Ends with 1 if one does.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass

from concurrence import Component, Environment, ExtensionOption, ExtensionPoint, Interface, IntOption
from concurrence.telemetry.stats import Stats

_READS = 200_000


class IPart(Interface):
    """A part of something."""


class First(Component, IPart):
    """One part."""


class Second(Component, IPart):
    """Another part."""


class Whole(Component):
    """What has options and an extension point."""

    number = IntOption("whole", "number", 1, "How many there are.", live=True)
    part = ExtensionOption("whole", "part", IPart, "Second", "Which one there is.")
    parts = ExtensionPoint(IPart)


@dataclass(frozen=True)
class Figure:
    """What was measured, in seconds, and what it should not exceed."""

    name: str
    seconds: float
    target: float


def read_times(repeats: int) -> list[Figure]:
    """Seconds for one read of each kind; the loop around it is counted too."""
    with Environment.ephemeral(plugins=False) as environment:
        for cls in (First, Second, Whole):
            environment.register(cls)
        names = {"whole": environment.component(Whole), "manager": environment, "Whole": Whole}
        statements = [
            ("an option of a component", "whole.number", 100e-9),
            ("an option of the environment", "manager.log_level", 100e-9),
            ("an extension option", "whole.part", 100e-9),
            ("a component of a manager", "manager.component(Whole)", 100e-9),
            ("an extension point of two components", "whole.parts", 1e-6),
        ]
        return [
            Figure(
                name, min(timeit.repeat(statement, globals=names, number=_READS, repeat=repeats)) / _READS, target
            )
            for name, statement, target in statements
        ]


def count_times(repeats: int) -> list[Figure]:
    """Seconds for counting one thing, summing up included."""
    stats = Stats()
    chance = random.Random(1)
    values = [chance.random() for _ in range(1_000)]
    one_by_one = "for value in values:\n    add('task.seconds', value)"
    added = min(
        timeit.repeat(one_by_one, globals={"add": stats.add_avg, "values": values}, number=200, repeat=repeats)
    )
    counted = min(timeit.repeat("count('tasks')", globals={"count": stats.count}, number=_READS, repeat=repeats))
    return [
        Figure("stats.add_avg of a value", added / 200 / len(values), 200e-9),
        Figure("stats.count of an event", counted / _READS, 200e-9),
    ]


def process_time(*arguments: str) -> float:
    """Seconds that a fresh Python takes."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return time.perf_counter() - begun


def start_times(repeats: int) -> list[Figure]:
    """Seconds until something has started; what Python itself takes is taken off."""

    def least(measure: Callable[[], float]) -> float:
        return min(measure() for _ in range(repeats))

    bare = least(lambda: process_time("-c", "pass"))
    imported = least(lambda: process_time("-c", "import concurrence"))
    helped = least(lambda: process_time("-m", "concurrence.cli.main", "--help"))
    return [
        Figure("import concurrence, beyond Python", imported - bare, 0.02),
        Figure("concurrence --help, beyond Python", helped - bare, 0.3),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats: int = parser.parse_args().repeats
    figures = [*read_times(repeats), *count_times(repeats), *start_times(repeats)]
    for figure in figures:
        unit, factor = ("ns", 1e9) if figure.target < 1e-3 else ("ms", 1e3)
        verdict = "ok" if figure.seconds <= figure.target else "TOO SLOW"
        numbers = f"{figure.seconds * factor:8.1f} {unit}   target {figure.target * factor:6.0f} {unit}"
        print(f"{figure.name:<40} {numbers}   {verdict}")
    return int(any(figure.seconds > figure.target for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
