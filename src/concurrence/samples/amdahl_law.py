"""Amdahl's law and Gunther's universal scalability law, and how they are fitted to measured times. Pure.

- G. M. Amdahl, "Validity of the single processor approach to achieving large scale computing capabilities", AFIPS
  Spring Joint Computer Conference 1967. The formula is later than the paper, which argues in words.
- N. J. Gunther, "A simple capacity model of massively parallel transaction systems", CMG 1993; with its present
  name and coefficients in "Guerrilla Capacity Planning", Springer 2007.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, sqrt
from typing import NamedTuple

MIN_USL = 4
"""From so many numbers of workers on two coefficients can be told from noise."""

_T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t for a two-sided interval of 95%, by degrees of freedom from 1."""
_NORMAL_95 = 1.959964
_ONE_SIDED_95 = 1.644854
_ROUNDING = 1e-20  # of squares of relative deviations: times that were calculated, and not measured


class AmdahlFit(NamedTuple):
    """What measured times say of a job.

    Attributes:
        parallel: P, the part that runs in parallel, from 0 to 1.
        low: The lower end of its interval of 95%; None if the times do not vary enough to tell.
        high: The upper end.
        lacks_fit: Whether the times lie further from the law than what they scatter explains.
        serial_seconds: What the serial part takes.
        parallel_seconds: What the parallel part takes on one worker.
    """

    parallel: float
    low: float | None
    high: float | None
    serial_seconds: float
    parallel_seconds: float
    lacks_fit: bool = False


class UslFit(NamedTuple):
    """What speed-ups say of a system.

    Attributes:
        contention: Sigma, the part that workers do one after the other.
        coherence: Kappa, what each pair of workers costs, as a part of the work.
        peak: The number of workers beyond which it gets slower, 1 at least; infinity if it never does.
    """

    contention: float
    coherence: float
    peak: float


def speed_up(parallel: float, workers: float) -> float:
    """S(N) = 1 / ((1 - P) + P / N): how many times as fast as one worker so many are (Amdahl 1967).

    Args:
        parallel: P, the part of the work that runs in parallel, from 0 to 1.
        workers: N.
    """
    return 1.0 / ((1.0 - parallel) + parallel / workers)


def limit(parallel: float) -> float:
    """1 / (1 - P): what no number of workers exceeds; infinity for P = 1."""
    return 1.0 / (1.0 - parallel) if parallel < 1.0 else inf


def fit_amdahl(times: Mapping[int, Sequence[float]]) -> AmdahlFit:
    """Fit P to the times of a job on several numbers of workers.

    By the law T(N) = a + b / N, with a serial and b parallel seconds; a and b are the weighted least squares over
    all times, each weighted by the inverse of its square, because the noise of a time grows with it. P is
    b / (a + b), with the interval that the errors of a and b lead to (delta method, Student's t).

    The errors are what runs differ from the law. If the mean times of three numbers of workers or more lie further
    from it than the runs of one number differ among each other (F test, 95%), the law does not hold, and the
    errors are the distances of those means, of which there are few: the interval becomes wide.

    Args:
        times: Seconds of each run by the number of workers; each run independent of all others.

    Raises:
        ValueError: There are no times of one worker, or of no other number.
    """
    if 1 not in times or len(times) < 2 or not all(times.values()):
        raise ValueError("the law is fitted to times of one worker and of at least one other number of workers")
    rows = [
        (1.0 / workers, seconds, _mean(runs) ** -2) for workers, runs in sorted(times.items()) for seconds in runs
    ]
    weights = sum(w for _, _, w in rows)
    x_mean = sum(w * x for x, _, w in rows) / weights
    y_mean = sum(w * y for _, y, w in rows) / weights
    spread = sum(w * (x - x_mean) ** 2 for x, _, w in rows)
    parallel_seconds = sum(w * (x - x_mean) * (y - y_mean) for x, y, w in rows) / spread
    serial_seconds = y_mean - parallel_seconds * x_mean
    total = serial_seconds + parallel_seconds
    parallel = parallel_seconds / total
    low = high = None
    freedom, lacks_fit = len(rows) - 2, False
    if freedom > 0:
        residual = sum(w * (y - serial_seconds - parallel_seconds * x) ** 2 for x, y, w in rows) / freedom
        lack = _lack_of_fit(times, serial_seconds, parallel_seconds)
        if lack is not None:
            lacks_fit, residual, freedom = True, lack, len(times) - 2
        of_b = residual / spread
        of_a = residual * (1.0 / weights + x_mean**2 / spread)
        of_both = -residual * x_mean / spread
        by_a, by_b = -parallel_seconds / total**2, serial_seconds / total**2
        variance = by_a**2 * of_a + by_b**2 * of_b + 2 * by_a * by_b * of_both
        error = student_95(freedom) * sqrt(max(0.0, variance))
        low, high = _share(parallel - error), _share(parallel + error)
    return AmdahlFit(_share(parallel), low, high, serial_seconds, parallel_seconds, lacks_fit)


def _lack_of_fit(times: Mapping[int, Sequence[float]], serial: float, parallel: float) -> float | None:
    """The mean square of what the law does not explain of the mean times; None if scatter explains it."""
    freedom, inside = len(times) - 2, sum(map(len, times.values())) - len(times)
    if freedom < 1 or inside < 1:
        return None
    means = {workers: _mean(runs) for workers, runs in times.items()}
    lack = sum(len(times[n]) * (1.0 - (serial + parallel / n) / mean) ** 2 for n, mean in means.items()) / freedom
    scatter = sum((each / means[n] - 1.0) ** 2 for n, runs in times.items() for each in runs) / inside
    if lack <= _ROUNDING:
        return None
    if scatter <= 0:
        return lack
    # The cube root of F is nearly normal (Paulson 1942).
    root, above, below = (lack / scatter) ** (1 / 3), 2 / (9 * freedom), 2 / (9 * inside)
    normal = ((1 - below) * root - (1 - above)) / sqrt(below * root**2 + above)
    return lack if normal > _ONE_SIDED_95 else None


def student_95(freedom: int) -> float:
    """Student's t for a two-sided interval of 95%.

    Args:
        freedom: Degrees of freedom, from 1.
    """
    if freedom <= len(_T_95):
        return _T_95[freedom - 1]
    # The first terms of its expansion around the normal distribution (Cornish and Fisher 1938).
    z = _NORMAL_95
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def usl(contention: float, coherence: float, workers: float) -> float:
    """N / (1 + sigma (N - 1) + kappa N (N - 1)): the speed-up by Gunther's law (1993, 2007).

    With kappa = 0 it is Amdahl's law with sigma = 1 - P. Kappa makes it fall again.

    Args:
        contention: Sigma.
        coherence: Kappa.
        workers: N.
    """
    return workers / (1.0 + contention * (workers - 1.0) + coherence * workers * (workers - 1.0))


def fit_usl(speed_ups: Mapping[int, float]) -> UslFit:
    """Fit Gunther's two coefficients, neither below 0, to speed-ups.

    N / S - 1 is linear in both: sigma (N - 1) + kappa N (N - 1). Least squares, weighted by (S / N)^2, because the
    relative error of a speed-up is alike everywhere.

    Args:
        speed_ups: S by the number of workers; that of one worker is 1 and says nothing.

    Raises:
        ValueError: There are fewer than :data:`MIN_USL` numbers of workers.
    """
    if len(speed_ups) < MIN_USL:
        raise ValueError(f"the universal scalability law is fitted to {MIN_USL} numbers of workers or more")
    known = [(float(n), s) for n, s in sorted(speed_ups.items()) if n > 1 and s > 0]
    rows = [(n - 1.0, n * (n - 1.0), n / s - 1.0, (s / n) ** 2) for n, s in known]
    xx, xz = sum(w * x * x for x, _, _, w in rows), sum(w * x * z for x, z, _, w in rows)
    zz = sum(w * z * z for _, z, _, w in rows)
    xy, zy = sum(w * x * y for x, _, y, w in rows), sum(w * z * y for _, z, y, w in rows)
    determinant = xx * zz - xz * xz
    contention, coherence = (xy * zz - zy * xz) / determinant, (zy * xx - xy * xz) / determinant
    if coherence < 0:
        contention, coherence = max(0.0, xy / xx), 0.0
    elif contention < 0:
        contention, coherence = 0.0, max(0.0, zy / zz)
    return UslFit(contention, coherence, _peak(contention, coherence))


def _peak(contention: float, coherence: float) -> float:
    if contention >= 1.0:
        return 1.0
    return max(1.0, sqrt((1.0 - contention) / coherence)) if coherence > 0 else inf


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
