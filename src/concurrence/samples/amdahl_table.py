"""What the sample amdahl prints: a row for each number of workers, and what the laws make of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

from concurrence.samples.amdahl_law import AmdahlFit, UslFit, limit, speed_up
from concurrence.samples.amdahl_runs import Job, Run

PARTS = ("compute", "serialise", "transfer", "idle")
ENOUGH = 5
"""So many runs of each number of workers at least."""
BUSY = 1.15
"""With tasks that take so many times their CPU time, the cores were not the swarm's alone."""

_COLUMNS = (("workers", 8), ("time (s), least-most", 24), ("S(N)", 8), ("S/N", 7), ("queued", 9))


def header() -> str:
    """The first line."""
    return "".join(f"{name:>{width}}" for name, width in _COLUMNS) + "".join(f"{part:>11}" for part in PARTS)


def measured_row(workers: int, runs: Sequence[Run], alone: float) -> str:
    """The row of some runs.

    Args:
        workers: How many there were.
        runs: The runs.
        alone: Mean seconds with one worker.
    """
    seconds = [run.seconds for run in runs]
    mean = sum(seconds) / len(seconds)
    times = f"{mean:.3f}  {min(seconds):.3f}-{max(seconds):.3f}"
    faster = alone / mean
    queued = sum(run.queued for run in runs) / len(runs)
    shares = "".join(f"{100 * sum(run.share(part) for run in runs) / len(runs):>10.1f}%" for part in PARTS)
    return f"{workers:>8}{times:>24}{faster:>8.2f}{faster / workers:>7.2f}{queued:>8.3f}s{shares}"


def simulated_row(workers: int, faster: float, alone: float) -> str:
    """The row of a simulated swarm, marked by a star."""
    nothing = "".join(f"{'-':>11}" for _ in PARTS)
    times = f"{alone / faster:.3f}  simulated"
    return f"{f'*{workers}':>8}{times:>24}{faster:>8.2f}{faster / workers:>7.2f}{'-':>9}{nothing}"


def law_lines(fit: AmdahlFit, job: Job, speed_ups: Mapping[int, float]) -> list[str]:
    """What Amdahl's law makes of the measured times.

    Args:
        fit: The fitted law.
        job: What ran.
        speed_ups: The measured ones, by the number of workers.
    """
    interval = "" if fit.low is None else f", 95% interval {fit.low:.4f} to {fit.high:.4f}"
    if fit.serial_seconds < 0 or fit.parallel_seconds < 0:
        return [_outside(fit, speed_ups)]
    most = limit(fit.parallel)
    told = f"{most:,.1f}" if isfinite(most) else "none"
    workers = max(speed_ups)
    seconds = f"{fit.serial_seconds:.3f} s serial, {fit.parallel_seconds:.3f} s parallel"
    by_law, by_job = speed_up(fit.parallel, workers), speed_up(job.parallel, workers)
    lines = [
        f"Amdahl:  P = {fit.parallel:.4f}{interval}; limit 1/(1-P) = {told}",
        f"         {seconds}; without any overhead the job has P = {job.parallel:.4f}",
        f"         S({workers}) = {speed_ups[workers]:.2f}; the law says {by_law:.2f}, the job alone {by_job:.2f}",
    ]
    if fit.lacks_fit:
        lines.append("         the law does not fit these times: the interval is from how far they lie from it")
    return lines


def _outside(fit: AmdahlFit, speed_ups: Mapping[int, float]) -> str:
    """Times of which the law would say that a part took less than no time."""
    if fit.parallel_seconds < 0:
        return "Amdahl:  slower with more workers than with one: the law knows no such thing, and P is not told"
    workers = max(speed_ups, key=lambda n: speed_ups[n] / n)
    return (
        f"Amdahl:  faster than the law allows, with S({workers}) = {speed_ups[workers]:.2f}: nothing is seen of a "
        "serial part, and P is not told"
    )


def few_lines(repeats: int) -> list[str]:
    """A warning if there are too few runs for an interval to go by.

    Args:
        repeats: How often each number of workers was measured.
    """
    if repeats >= ENOUGH:
        return []
    return [f"note:    {repeats} runs each are few: with {ENOUGH} or more the interval is one to go by"]


def busy_lines(runs: Mapping[int, Sequence[Run]], job: Job) -> list[str]:
    """A warning if tasks took much longer than the CPU time that they burn: then others used the cores too.

    Args:
        runs: By the number of workers.
        job: What ran.
    """
    wanted = job.tasks * job.seconds
    stretch = {n: sum(run.compute for run in some) / len(some) / wanted for n, some in runs.items()}
    worst = max(stretch, key=lambda n: stretch[n])
    if stretch[worst] <= BUSY:
        return []
    took = f"with {worst} workers a task took {stretch[worst]:.1f} times its CPU time"
    return [f"note:    {took}: others, or more workers than cores, used the cores too; P says little"]


def usl_lines(fit: UslFit, measured: int, simulated: int) -> list[str]:
    """What Gunther's law makes of all speed-ups.

    Args:
        fit: The fitted law.
        measured: How many numbers of workers were measured.
        simulated: How many were simulated: without caches, memory or anything else that workers share.
    """
    fastest = f"{fit.peak:,.0f}"
    peak = f"fastest with {fastest} worker{'s' if fastest != '1' else ''}"
    if not isfinite(fit.peak):
        peak = "never slower with more workers"
    told = f" ({simulated} of {measured + simulated} numbers simulated)" if simulated else ""
    return [f"Gunther: contention {fit.contention:.4f}, coherence {fit.coherence:.2g}: {peak}{told}"]
