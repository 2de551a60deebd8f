"""The table of docs/amdahl.md: what a swarm makes of jobs of several P, simulated as the sample amdahl does."""

from __future__ import annotations

from collections.abc import Iterator

from concurrence import ComponentManager
from concurrence.samples.amdahl_law import fit_amdahl, speed_up
from concurrence.samples.amdahl_runs import Job, Run, simulated
from concurrence.scheduling.pushpull import ZMQTaskScheduler

PARTS = (0.67, 0.9, 0.98, 1.0)
WORKERS = (2, 4, 8, 16)
SECONDS, TASK_SECONDS = 2.0, 0.02


def table() -> str:
    """The rows, in Markdown."""
    head, *rows = ["".join(f"| {cell} " for cell in cells).rstrip() for cells in _rows()]
    return "".join(f"{line} |\n" for line in (head, "|---" * (1 + 2 * len(PARTS)), *rows)).replace("--- |", "---|")


def _rows() -> Iterator[list[str]]:
    columns = {part: _speed_ups(part) for part in PARTS}
    yield ["N", *(cell for part in PARTS for cell in (f"P = {part:g}: law", "swarm"))]
    for count in WORKERS:
        pairs = ((speed_up(part, count), columns[part][count]) for part in PARTS)
        yield [f"{count}", *(cell for law, swarm in pairs for cell in (_three_digits(law), _three_digits(swarm)))]
    fits = {part: fit_amdahl({1: [1.0], **{n: [1 / s] for n, s in columns[part].items()}}) for part in PARTS}
    yield ["fitted P", *(cell for part in PARTS for cell in ("", f"{fits[part].parallel:.3f}"))]


def _speed_ups(part: float) -> dict[int, float]:
    """The speed-up by each number of workers."""
    tasks = round(SECONDS * part / TASK_SECONDS)
    serial, parallel = SECONDS * (1 - part), SECONDS * part
    alone = [Run(SECONDS, 0.0, parallel, 0.0, 0.0, 0.0, serial)]
    job = Job(tasks, parallel / tasks, serial)
    manager = ComponentManager()
    manager.register(ZMQTaskScheduler)
    return {n: simulated(manager, ZMQTaskScheduler.__name__, alone, job, n) for n in WORKERS}


def _three_digits(value: float) -> str:
    return f"{value:#.3g}".rstrip(".")
