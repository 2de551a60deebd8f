"""Amdahl's and Gunther's laws: the figures of the seed, and that the fits find what the times were made from."""

from __future__ import annotations

from math import inf, sqrt
from random import Random

import pytest

from concurrence.samples.amdahl_law import AmdahlFit, fit_amdahl, fit_usl, limit, speed_up, student_95, usl

SEED = [(0.67, 2.4), (0.98, 7.02), (1.0, 8.0)]


@pytest.mark.parametrize(("parallel", "expected"), SEED)
def test_the_figures_of_the_seed_for_eight_workers(parallel: float, expected: float) -> None:
    assert speed_up(parallel, 8) == pytest.approx(expected, abs=0.02)


def test_the_limit() -> None:
    assert limit(0.98) == pytest.approx(50)
    assert limit(1.0) == inf
    assert speed_up(0.98, 1e12) == pytest.approx(limit(0.98))
    assert speed_up(0.5, 1) == 1


@pytest.mark.parametrize("parallel", [0.0, 0.25, 0.67, 0.98, 1.0])
@pytest.mark.parametrize("others", [(2,), (2, 3, 4), (8, 64)])
def test_the_fit_finds_what_exact_times_were_made_from(parallel: float, others: tuple[int, ...]) -> None:
    times = {n: [10.0 / speed_up(parallel, n)] * 5 for n in (1, *others)}
    fit = fit_amdahl(times)
    assert fit.parallel == pytest.approx(parallel, abs=1e-9)
    assert (fit.low, fit.high) == (pytest.approx(parallel, abs=1e-6), pytest.approx(parallel, abs=1e-6))
    assert fit.serial_seconds == pytest.approx(10 * (1 - parallel), abs=1e-9)
    assert fit.parallel_seconds == pytest.approx(10 * parallel, abs=1e-9)


@pytest.mark.parametrize(("parallel", "speed"), SEED)
def test_the_fit_finds_p_from_the_seeds_own_speed_ups(parallel: float, speed: float) -> None:
    assert fit_amdahl({1: [1.0], 8: [1.0 / speed]}).parallel == pytest.approx(parallel, abs=0.004)


def test_its_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    random = Random(7)
    hits = 0
    for _ in range(400):
        times = {n: [random.gauss(1, 0.03) * 2.0 / speed_up(0.9, n) for _ in range(5)] for n in (1, 2, 4)}
        fit = fit_amdahl(times)
        assert fit.low is not None
        assert fit.high is not None
        assert fit.low < fit.parallel < fit.high
        hits += fit.low <= 0.9 <= fit.high
    assert 0.90 <= hits / 400 <= 0.99


def test_times_that_do_not_obey_the_law_widen_its_interval() -> None:
    """Each pair of workers costs something, by Gunther's law: which P that is depends on how many there are."""
    random = Random(7)

    def fitted(last: int) -> AmdahlFit:
        return fit_amdahl(
            {n: [random.gauss(1, 0.003) * 2.0 / usl(0.05, 0.01, n) for _ in range(5)] for n in range(1, last + 1)}
        )

    two, four, eight = fitted(2), fitted(4), fitted(8)
    assert [fit.lacks_fit for fit in (two, four, eight)] == [False, True, True]
    assert four.low is not None
    assert eight.high is not None
    # From scatter alone they would be 0.006 and 0.008 wide, and exclude each other.
    assert four.low < eight.high
    assert four.parallel - eight.parallel > 0.02


def test_scatter_alone_is_no_lack_of_fit() -> None:
    random = Random(11)
    found = [
        fit_amdahl({n: [random.gauss(1, 0.03) * 2.0 / speed_up(0.9, n) for _ in range(5)] for n in range(1, 5)})
        for _ in range(200)
    ]
    assert sum(fit.lacks_fit for fit in found) <= 0.1 * len(found)


@pytest.mark.parametrize(("freedom", "expected"), [(31, 2.0395), (38, 2.0244), (60, 2.0003), (1_000, 1.9623)])
def test_students_t_of_many_runs(freedom: int, expected: float) -> None:
    assert student_95(freedom) == pytest.approx(expected, abs=2e-4)


def test_two_times_leave_nothing_for_an_interval() -> None:
    fit = fit_amdahl({1: [2.0], 2: [1.1]})
    assert fit.parallel == pytest.approx(0.9)
    assert (fit.low, fit.high) == (None, None)


def test_faster_than_the_law_allows_is_all_parallel() -> None:
    assert fit_amdahl({1: [2.0, 2.0], 2: [0.9, 0.9]}).parallel == 1.0


@pytest.mark.parametrize("times", [{}, {1: [1.0]}, {2: [1.0], 4: [0.5]}, {1: [1.0], 2: list[float]()}])
def test_a_fit_needs_one_worker_and_another_number(times: dict[int, list[float]]) -> None:
    with pytest.raises(ValueError, match="one worker"):
        fit_amdahl(times)


@pytest.mark.parametrize(("contention", "coherence"), [(0.05, 0.0), (0.02, 0.001), (0.0, 0.0005), (0.0, 0.0)])
def test_gunthers_coefficients_are_found_again(contention: float, coherence: float) -> None:
    fit = fit_usl({n: usl(contention, coherence, n) for n in (1, 2, 4, 8, 16, 32)})
    assert fit.contention == pytest.approx(contention, abs=1e-9)
    assert fit.coherence == pytest.approx(coherence, abs=1e-9)
    assert fit.peak == (inf if coherence < 1e-12 else pytest.approx(sqrt((1 - contention) / coherence), rel=1e-6))


def test_gunthers_law_without_coherence_is_amdahls() -> None:
    assert usl(0.33, 0.0, 8) == pytest.approx(speed_up(0.67, 8))


def test_neither_coefficient_is_negative() -> None:
    faster = fit_usl({1: 1.0, 2: 2.1, 4: 4.4, 8: 9.0})
    assert (faster.contention, faster.coherence) == (0.0, 0.0)
    bent = fit_usl({1: 1.0, 2: 2.05, 4: 3.9, 8: 6.5})
    assert bent.contention >= 0
    assert bent.coherence > 0


def test_a_system_that_more_workers_only_slow_down_is_fastest_with_one() -> None:
    assert fit_usl({1: 1.0, 2: 0.8, 4: 0.6, 8: 0.3}).peak == pytest.approx(1.0, abs=0.01)
    assert fit_usl({n: usl(1.2, 0.0, n) for n in (1, 2, 4, 8)}).peak == 1.0
    assert fit_usl({n: usl(0.1, 3.0, n) for n in (1, 2, 4, 8)}).peak == 1.0


def test_gunthers_law_needs_four_numbers_of_workers() -> None:
    with pytest.raises(ValueError, match="4 numbers"):
        fit_usl({1: 1.0, 2: 1.9, 4: 3.5})
