"""Statistics: averages, counters, the bound on names, several threads."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurrence.telemetry.api import IStats, StatSummary
from concurrence.telemetry.stats import OTHER, Stats


def test_average_keeps_all_figures() -> None:
    stats: IStats = Stats()
    for value in (3.0, -1.0, 4.0):
        stats.add_avg("seconds", value)
    assert stats.snapshot()["seconds"] == StatSummary(3, 2.0, -1.0, 4.0, 4.0, 0)


def test_value_is_optional() -> None:
    stats = Stats()
    stats.add_avg("tasks")
    assert stats.snapshot()["tasks"] == StatSummary(1, 1.0, 1, 1, 1, 0)


def test_counter_and_average_of_one_name_stay_apart() -> None:
    stats = Stats()
    stats.count("x")
    stats.count("x", 4)
    assert stats.snapshot()["x"] == StatSummary(0, 0.0, 0.0, 0.0, 0.0, 5)
    stats.add_avg("x", 7.0)
    assert stats.snapshot()["x"] == StatSummary(1, 7.0, 7.0, 7.0, 7.0, 5)


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
