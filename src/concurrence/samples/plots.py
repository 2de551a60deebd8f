"""The plots of the samples benchmark and amdahl; the one file that imports matplotlib, the extra ``samples``."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from concurrence.samples.amdahl_law import AmdahlFit, UslFit, limit, speed_up, usl
from concurrence.samples.cpu_usage import Sample, middle_share

_BLUE, _ORANGE, _RED, _GREY = "#2266cc", "#c46a00", "#b3374a", "#8894a4"
_DPI = 150
_MAX_LINES = 16  # cores beyond are only part of the mean


class Point(NamedTuple):
    """A speed-up in the plot.

    Attributes:
        workers: N.
        speed_up: Its mean.
        low: The least of all runs.
        high: The greatest.
        is_simulated: Whether it comes from the simulator.
    """

    workers: int
    speed_up: float
    low: float
    high: float
    is_simulated: bool


def draw_usage(path: Path, samples: Sequence[Sample]) -> None:
    """How busy each core was over time, with the mean of all, as the seed's figure shows it.

    Args:
        path: The file, .png or .svg.
        samples: What was seen.
    """
    figure, axes = _new((9, 4))
    times = [each.at for each in samples]
    cores = sorted({core for each in samples for core in each.busy})
    for core in cores[:_MAX_LINES]:
        shares = [100 * each.busy.get(core, 0.0) for each in samples]
        axes.plot(times, shares, linewidth=0.9, alpha=0.65, label=f"core {core}")
    if samples:
        means = [100 * sum(each.busy.values()) / max(1, len(each.busy)) for each in samples]
        axes.plot(times, means, color="black", linewidth=1.8, label="mean")
        axes.axvspan(0.1 * times[-1], 0.9 * times[-1], color=_GREY, alpha=0.12)
    share = middle_share(samples)
    told = f": {100 * share:.1f}% through the middle 80%" if share is not None else ""
    axes.set(title=f"CPU usage{told}", xlabel="seconds", ylabel="busy, %", ylim=(0, 105))
    if cores:
        axes.legend(loc="lower center", ncols=min(6, len(cores) + 1), fontsize="small")
    figure.savefig(path, dpi=_DPI)


def draw_speed_ups(path: Path, points: Sequence[Point], fit: AmdahlFit, gunther: UslFit | None) -> None:
    """Measured and simulated speed-ups, the fitted laws, and the limit.

    Args:
        path: The file, .png or .svg.
        points: The speed-ups.
        fit: Amdahl's law.
        gunther: Gunther's law; None if there are too few points for it.
    """
    figure, axes = _new((8, 5))
    most = max(point.workers for point in points)
    grid = [1 + (most - 1) * step / 200 for step in range(201)]
    curve = [speed_up(fit.parallel, n) for n in grid]
    top = 1.15 * max(*curve, *(point.high for point in points))
    axes.plot(grid, grid, color=_GREY, linewidth=1, label="N workers, N times as fast")
    if fit.low is not None and fit.high is not None:
        low, high = ([speed_up(end, n) for n in grid] for end in (fit.low, fit.high))
        axes.fill_between(grid, low, high, color=_BLUE, alpha=0.15, label="95% interval of P")
    axes.plot(grid, curve, color=_BLUE, label=f"Amdahl, P = {fit.parallel:.4f}")
    if gunther is not None:
        bent = [usl(gunther.contention, gunther.coherence, n) for n in grid]
        name = rf"Gunther, $\sigma$ = {gunther.contention:.4f}, $\kappa$ = {gunther.coherence:.2g}"
        axes.plot(grid, bent, color=_ORANGE, linestyle="-.", label=name)
    most_of_all = limit(fit.parallel)
    if isfinite(most_of_all):
        name = f"limit 1/(1 - P) = {most_of_all:.1f}"
        if most_of_all < 2 * top:
            top = max(top, 1.1 * most_of_all)
            axes.axhline(most_of_all, color=_RED, linestyle="--", linewidth=1, label=name)
        else:
            axes.plot([], [], color=_RED, linestyle="--", linewidth=1, label=f"{name}, above")
    _draw_points(axes, points, is_simulated=False)
    _draw_points(axes, points, is_simulated=True)
    axes.set(title="Speed-up", xlabel="workers N", ylabel="S(N) = T(1) / T(N)", xlim=(1 - most / 50, most * 1.02))
    axes.set_ylim(0, top)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper left", fontsize="small")
    figure.savefig(path, dpi=_DPI)


def _draw_points(axes: Any, points: Sequence[Point], *, is_simulated: bool) -> None:
    some = [point for point in points if point.is_simulated == is_simulated]
    workers, middles = [point.workers for point in some], [point.speed_up for point in some]
    if not some:
        return
    if is_simulated:
        axes.plot(workers, middles, "D", color=_RED, markerfacecolor="none", label="simulated")
        return
    below = [max(0.0, point.speed_up - point.low) for point in some]
    above = [max(0.0, point.high - point.speed_up) for point in some]
    axes.errorbar(workers, middles, yerr=[below, above], fmt="o", color=_RED, capsize=3, label="measured")


def _new(size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure that belongs to nobody: no window, and nothing global."""
    figure: Any = Figure(figsize=size, layout="constrained")  # its types have holes
    axes = figure.subplots()
    axes.grid(visible=True, alpha=0.3)
    return figure, axes
