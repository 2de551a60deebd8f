"""Statistics: averages, counters, the bound on names, several threads."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurrence.telemetry.api import IStats, StatSummary
from concurrence.telemetry.histogram import Histogram
from concurrence.telemetry.sketch import Sketch, quantiles
from concurrence.telemetry.stats import OTHER, Stats


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def figures(summary: StatSummary) -> tuple[float, ...]:
    """What does not depend on the time."""
    return (
        summary.values,
        summary.mean,
        summary.minimum,
        summary.maximum,
        summary.last,
        summary.events,
    )


def test_average_keeps_all_figures() -> None:
    stats: IStats = Stats()
    for value in (3.0, -1.0, 4.0):
        stats.add_avg("seconds", value)
    assert figures(stats.snapshot()["seconds"]) == (3, 2.0, -1.0, 4.0, 4.0, 0)


def test_value_is_optional() -> None:
    stats = Stats()
    stats.add_avg("tasks")
    assert figures(stats.snapshot()["tasks"]) == (1, 1.0, 1, 1, 1, 0)


def test_counter_and_average_of_one_name_stay_apart() -> None:
    stats = Stats()
    stats.count("x")
    stats.count("x", 4)
    assert figures(stats.snapshot()["x"]) == (0, 0.0, 0.0, 0.0, 0.0, 5)
    stats.add_avg("x", 7.0)
    assert figures(stats.snapshot()["x"]) == (1, 7.0, 7.0, 7.0, 7.0, 5)


def test_snapshot_is_sorted_and_does_not_change() -> None:
    stats = Stats()
    stats.count("b")
    stats.count("a")
    before = stats.snapshot()
    stats.count("a")
    assert list(before) == ["a", "b"]
    assert before["a"].events == 1


def test_names_beyond_the_bound_are_counted_under_other() -> None:
    stats = Stats(max_names=2)
    for name in ("a", "b", "c", "d", "a"):
        stats.count(name)
    stats.add_avg("e", 5.0)
    events = {name: summary.events for name, summary in stats.snapshot().items()}
    assert events == {"a": 2, "b": 1, OTHER: 2}
    assert stats.snapshot()[OTHER].mean == 5.0


def test_names_are_bounded_by_default() -> None:
    stats = Stats()
    for number in range(1_200):
        stats.count(f"name {number}")
    assert len(stats.snapshot()) == 1_001
    assert stats.snapshot()[OTHER].events == 200


@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_figures_agree_with_the_values(values: list[float]) -> None:
    stats = Stats()
    for value in values:
        stats.add_avg("x", value)
    summary = stats.snapshot()["x"]
    assert (summary.values, summary.last) == (len(values), values[-1])
    assert (summary.minimum, summary.maximum) == (min(values), max(values))
    assert summary.mean == pytest.approx(sum(values) / len(values), abs=1e-3)


def test_threads_lose_nothing() -> None:
    stats = Stats()

    def work() -> None:
        for _ in range(5_000):
            stats.count("x")
            stats.add_avg("y", 2.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    snapshot = stats.snapshot()
    assert snapshot["x"].events == 20_000
    assert (snapshot["y"].values, snapshot["y"].mean) == (20_000, 2.0)


def test_rates_are_those_of_the_last_minute() -> None:
    clock = Clock()
    stats = Stats(now=clock)
    for second in range(300):
        clock.now = float(second)
        for _ in range(100 if second < 200 else 10):
            stats.count("events")
            stats.add_avg("values")
        stats.mark()
    clock.now = 300.0
    found = stats.snapshot()
    assert found["events"].rate == pytest.approx(10.0, rel=0.1)
    assert found["values"].rate == pytest.approx(10.0, rel=0.1)
    clock.now = 1_000.0
    stats.mark()
    clock.now = 1_070.0
    assert stats.snapshot()["events"].rate == 0.0


def test_what_comes_in_the_first_second_has_a_rate_too() -> None:
    stats = Stats(now=Clock())
    stats.count("events", 5)
    assert stats.snapshot()["events"].rate == 5.0


def test_quantiles_are_those_of_the_last_minutes() -> None:
    clock = Clock()
    stats = Stats(now=clock)
    for number in range(1_000):
        stats.add_avg("seconds", float(number))
    assert stats.snapshot()["seconds"].p50 == pytest.approx(500, abs=30)
    clock.now = 1_000.0
    stats.mark()
    stats.add_avg("seconds", 7.0)
    found = stats.snapshot()["seconds"]
    assert (found.p50, found.p99, found.values, found.maximum) == (7.0, 7.0, 1_001, 999.0)


@pytest.mark.parametrize("number", [1, 7, 511, 512, 513, 20_000])
def test_quantiles_of_any_number_of_values(number: int) -> None:
    stats = Stats(now=Clock())
    for position in range(number):
        stats.add_avg("x", float(position * 7_919 % number))
    found = stats.snapshot()["x"]
    assert (found.values, found.minimum, found.maximum) == (number, 0.0, number - 1)
    for share, value in ((0.5, found.p50), (0.9, found.p90), (0.99, found.p99)):
        assert value == pytest.approx(share * number, abs=max(1.0, 0.03 * number))


def test_values_that_are_not_finite_are_left_out_and_what_is_no_number_is_refused_where_it_is_added() -> None:
    stats = Stats()
    for value in (1.0, float("nan"), float("inf"), 3.0):
        stats.add_avg("x", value)
    assert figures(stats.snapshot()["x"])[:5] == (2, 2.0, 1.0, 3.0, 3.0)
    with pytest.raises(TypeError):
        stats.add_avg("x", "3")  # pyright: ignore[reportArgumentType]  that is the point
    assert stats.snapshot()["x"].values == 2


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3_000))
def test_a_sketch_is_small_and_its_quantiles_are_values(values: list[float]) -> None:
    sketch = Sketch()
    for start in range(0, len(values), 100):
        sketch.add(values[start : start + 100])
    samples = sketch.weighted()
    assert len(samples) < 1_500
    assert sum(weight for _, weight in samples) == len(values)
    low, high = quantiles(samples, (0.0, 1.0))
    assert min(values) <= low <= high <= max(values)


def test_a_histogram_counts_at_most_the_bound() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    histogram.observe(2.0, 10)
    assert histogram.cumulated() == [(1.0, 2), (2.0, 13), (float("inf"), 14)]
    assert (histogram.count, histogram.total) == (14, 32.0)
