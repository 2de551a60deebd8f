"""What it costs to do what has to be avoided: each pair of concurrence.samples.antipatterns, done badly and well.

    python benchmarks/antipatterns.py [--repeats R] [--write docs/antipatterns.md]

Bad and good take turns on one warm private swarm with two workers; a time is the median. Memory is the peak of
what Python allocated in the script's process, in a run of its own, because looking slows it down. With --write the
table and the code in the page are replaced; a test holds the code against the functions.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import gc
import inspect
import os
import platform
import re
import statistics
import sys
import textwrap
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from concurrence import Swarm, local_swarm
from concurrence.samples.antipatterns import PAIRS, Pair

_WORKERS = 2
_NOT_RUN = "<!-- not run: a test runs these functions of concurrence.samples.antipatterns -->"
_PART = re.compile(r"(?P<begin><!-- (?P<name>pair \w+|measured) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)


class Quiet:
    """A display that shows nothing, so that showing is not measured."""

    def say(self, text: str) -> None:
        """Nothing."""

    def announce(self, path: Path, what: str) -> None:
        """Nothing."""

    def output(self, source: str, text: str) -> None:
        """Nothing."""

    def progress(self, done: float, total: float, text: str) -> None:
        """Nothing."""


class Cost(NamedTuple):
    """What a function took.

    Attributes:
        seconds: The median.
        megabytes: The peak.
    """

    seconds: float
    megabytes: float


def measure(swarm: Swarm, pair: Pair, repeats: int) -> tuple[Cost, Cost]:
    """What the bad and the good function of a pair take.

    Raises:
        RuntimeError: Their results differ.
    """
    functions = pair.bad[-1], pair.good[-1]
    if functions[0](swarm) != functions[1](swarm):  # which also warms up
        raise RuntimeError(f"{pair.title}: the results differ")
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for function, taken in zip(functions, seconds, strict=True):
            begun = time.perf_counter()
            function(swarm)
            taken.append(time.perf_counter() - begun)
    bad, good = (
        Cost(statistics.median(taken), peak(swarm, function))
        for function, taken in zip(functions, seconds, strict=True)
    )
    return bad, good


def peak(swarm: Swarm, function: Callable[[Swarm], Any]) -> float:
    """Megabytes that Python allocates at most while a function runs."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        function(swarm)
        return max(0.0, tracemalloc.get_traced_memory()[1] - before) / 1e6
    finally:
        tracemalloc.stop()


def wrong(swarm: Swarm, pair: Pair) -> str:
    """What comes of a pair whose bad function does not do the same.

    Raises:
        RuntimeError: It does.
    """
    good = pair.good[-1](swarm)
    try:
        bad = pair.bad[-1](swarm)
    except Exception as error:
        if pair.raises is None or not isinstance(error, pair.raises):
            raise
        first = str(getattr(error, "message", error)).splitlines()[0]
        return f"raises `{type(error).__name__}`: {first}"
    if bad == good:
        raise RuntimeError(f"{pair.title}: the results are equal")
    return f"has another result: `{shortened(bad)}` instead of `{shortened(good)}`"


def shortened(value: object) -> str:
    """A value, if it is not long."""
    return textwrap.shorten(repr(value), 24, placeholder=" ...]")


def machine() -> str:
    """What it was measured on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"model name\s*:\s*(.+)", info.read_text())):
        cpu = found[1]
    return f"{os.cpu_count()} cores ({cpu}), Python {platform.python_version()}, {_WORKERS} workers"


def table(repeats: int) -> str:
    """All pairs, measured, as the page has them."""
    lines = [
        "| who ... | takes | instead of | times as long | memory of the script, MB |",
        "|---|---|---|---|---|",
    ]
    others = ["| who ... | |", "|---|---|"]
    with local_swarm(_WORKERS, display=Quiet()) as swarm:
        for pair in PAIRS.values():
            if not pair.is_measured:
                others.append(f"| {pair.title} | {wrong(swarm, pair)} |")
                continue
            bad, good = measure(swarm, pair, repeats)
            lines.append(
                f"| {pair.title} | {bad.seconds:.3f} s | {good.seconds:.3f} s | {bad.seconds / good.seconds:.1f} "
                f"| {bad.megabytes:.1f} instead of {good.megabytes:.1f} |"
            )
    median = f"Medians of {repeats} runs each, in turns, on a machine with {machine()}."
    return "\n".join([*lines, "", median, "", *others, ""])


def code(pair: Pair) -> str:
    """A pair as the page shows it."""
    bad, good = ("\n\n".join(inspect.getsource(each) for each in side) for side in (pair.bad, pair.good))
    return f"{_NOT_RUN}\n```python\n# not like this\n{bad}\n\n# but like this\n{good}```\n"


def rendered(page: str, measured: str | None = None) -> str:
    """The page with the code as it is now.

    Args:
        page: The page as it was.
        measured: What replaces the table; None for the one that it has.
    """

    def part(found: re.Match[str]) -> str:
        if found["name"] != "measured":
            return found["begin"] + code(PAIRS[found["name"].removeprefix("pair ")]) + found["end"]
        return found[0] if measured is None else found["begin"] + measured + found["end"]

    return _PART.sub(part, page)


def main() -> int:
    """Measure, print, and write if wanted; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    arguments = parser.parse_args()
    measured = table(arguments.repeats)
    print(measured)
    if arguments.write is not None:
        arguments.write.write_text(rendered(arguments.write.read_text("utf-8"), measured), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
