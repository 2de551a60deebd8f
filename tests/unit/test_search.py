from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import pairwise, permutations
from typing import cast

import numpy as np
import pytest
from fake_master import FakeMaster
from scipy.optimize import LinearConstraint, milp

from concurrence.errors import TaskCancelled, TaskError
from concurrence.samples.search import Search
from concurrence.samples.search_kernel import (
    Distances,
    can_win,
    explore,
    prepare,
    random_distances,
    root,
    tour_length,
)
from concurrence.samples.search_tasks import Explore, Found, Frontier, SearchSystem, search_alone
from concurrence.testing import environment, run_app


def shortest(distances: Distances) -> int:
    """The length of the shortest round trip by dynamic programming over sets, as Held and Karp did in 1962."""
    count = len(distances)
    costs = {(1 << city, city): distances[0][city] for city in range(1, count)}
    for _ in range(count - 2):
        longer: dict[tuple[int, int], int] = {}
        for (seen, here), cost in costs.items():
            for city in range(1, count):
                if not seen >> city & 1:
                    key = seen | 1 << city, city
                    longer[key] = min(longer.get(key, cost + distances[here][city]), cost + distances[here][city])
        costs = longer
    return min(cost + distances[here][0] for (_, here), cost in costs.items())


def shortest_by_solver(distances: Distances) -> int:
    """The same by a solver for whole-number programs, forbidding one by one the small circles that it finds."""
    count = len(distances)
    edges = [(one, two) for one in range(count) for two in range(one)]
    costs = [distances[one][two] for one, two in edges]
    rows = [[float(city in edge) for edge in edges] for city in range(count)]
    cuts: list[LinearConstraint] = []
    while True:
        found = milp(
            costs,
            integrality=np.ones(len(edges)),
            bounds=(0, 1),
            constraints=[LinearConstraint(rows, 2, 2), *cuts],
        )
        chosen = [edge for edge, is_in in zip(edges, found.x, strict=True) if is_in > 0.5]
        circles = list(circles_of(chosen, count))
        if len(circles) == 1:
            return round(found.fun)
        for circle in circles:
            inside = [float(one in circle and two in circle) for one, two in edges]
            cuts.append(LinearConstraint([inside], -np.inf, len(circle) - 1))


def circles_of(edges: list[tuple[int, int]], count: int) -> Iterator[set[int]]:
    left = set(range(count))
    while left:
        circle: set[int] = set()
        reached = {min(left)}
        while reached:
            circle |= reached
            reached = {city for edge in edges if set(edge) & reached for city in edge} - circle
        left -= circle
        yield circle


def is_tour(tour: tuple[int, ...], count: int) -> bool:
    return sorted(tour) == list(range(count))


@pytest.mark.parametrize("count", [4, 5, 7, 9, 10])
@pytest.mark.parametrize("seed", range(4))
def test_the_search_finds_what_dynamic_programming_finds(count: int, seed: int) -> None:
    distances = random_distances(count, seed)
    found = search_alone(prepare(distances), budget=3)
    assert found.best == shortest(distances)
    assert found.best == tour_length(distances, found.tour)
    assert is_tour(found.tour, count)
    assert (len(found), found.least) == (0, found.best)
    assert found.share == pytest.approx(0.0, abs=1e-9)


def test_distances_that_no_map_has_are_searched_too() -> None:
    dice = random.Random(5)
    drawn = {frozenset((one, two)): dice.randrange(100) for one in range(9) for two in range(one)}
    distances = tuple(tuple(drawn.get(frozenset((one, two)), 0) for two in range(9)) for one in range(9))
    assert search_alone(prepare(distances), budget=50).best == shortest(distances)


def test_cities_in_one_place_are_no_trouble() -> None:
    assert search_alone(prepare(((0,) * 6,) * 6), budget=5).best == 0


def test_no_bound_is_above_what_can_be_reached() -> None:
    distances = random_distances(7, 3)
    cities = prepare(distances)
    nodes = explore(cities, [root(cities)], 10**6, 1).open
    assert len(nodes) == 5  # city 2 never comes before city 1
    for node in nodes:
        rest = [city for city in range(7) if node.left >> city & 1]
        reachable = min(tour_length(distances, (*node.path, *order)) for order in permutations(rest))
        assert cities.least <= node.bound <= reachable + 1e-6
    assert sum(node.share for node in nodes) == pytest.approx(1.0)


def test_the_problem_of_the_default_options_by_an_independent_solver() -> None:
    with environment(Search) as opened:
        app = opened.component(Search)
        distances = random_distances(app.cities, app.seed)
    assert shortest_by_solver(distances) == 5402
    # All of it takes the sample some seconds: the tests of real swarms and benchmarks have smaller ones.
    assert prepare(distances).least <= 5402


def test_the_problem_that_real_swarms_are_tested_with() -> None:
    assert shortest_by_solver(random_distances(36, 1)) == 5638


def test_what_is_known_to_be_best_is_proven_without_finding_it_again() -> None:
    cities = prepare(random_distances(10, 1))
    best = search_alone(cities, 100).best
    found = explore(cities, [root(cities)], best, 10**6)
    assert (found.length, found.tour, found.open) == (best, None, [])


# --- steering ---


@pytest.fixture
def system() -> SearchSystem:
    return SearchSystem(prepare(random_distances(30, 1)), budget=40)


def begin(system: SearchSystem, master: FakeMaster) -> list[Explore]:
    return cast("list[Explore]", master.number(system.generate_tasks(master)))


def finish(system: SearchSystem, master: FakeMaster, task: Explore) -> list[Explore]:
    further = system.task_finished(master, task, task(), None)
    return cast("list[Explore]", master.number(further))


def test_a_hard_part_is_split_and_no_more_is_under_way_than_workers_need(system: SearchSystem) -> None:
    master = FakeMaster(workers=3)
    (first,) = begin(system, master)
    further = finish(system, master, first)
    assert len(further) == 6
    assert all(task.nodes for task in further)
    assert len(system.frontier) > 0
    assert len(finish(system, master, further[0])) == 1


def test_news_reach_the_next_tasks_and_end_those_that_cannot_win_any_more(system: SearchSystem) -> None:
    master = FakeMaster(workers=4)
    (first,) = begin(system, master)
    one, *others = finish(system, master, first)
    news = one()._replace(length=5392, tour=tuple(range(30)))
    further = system.task_finished(master, one, news, None)
    assert {task.task_id for task in others if not can_win(task.nodes[0].bound, 5392)} == set(master.cancelled)
    for task in cast("list[Explore]", further):
        assert task.best == 5392
        assert all(can_win(node.bound, 5392) for node in task.nodes)


def test_everything_under_way_is_cancelled_once_nothing_can_win(system: SearchSystem) -> None:
    master = FakeMaster()
    (first,) = begin(system, master)
    one, *others = finish(system, master, first)
    perfect = one()._replace(length=5355, tour=tuple(range(30)))
    assert system.task_finished(master, one, perfect, None) == []
    assert set(master.cancelled) == {task.task_id for task in others}
    for task in others:
        assert system.task_finished(master, task, None, TaskCancelled("cancelled")) == []
    found = system.gather_result(master)
    assert (found.length, found.cancelled, found.failures) == (5355, 3, [])
    assert master.progress[-1][0] == pytest.approx(100.0)


def test_what_was_cancelled_but_can_win_is_searched_again(system: SearchSystem) -> None:
    master = FakeMaster(workers=1)
    (first,) = begin(system, master)
    (again,) = cast("list[Explore]", system.task_finished(master, first, None, TaskCancelled("by somebody")))
    assert again.nodes == first.nodes


def test_a_failure_is_no_proof(system: SearchSystem) -> None:
    master = FakeMaster()
    (first,) = begin(system, master)
    assert system.task_finished(master, first, None, TaskError("MemoryError: no")) == []
    found = system.gather_result(master)
    assert "MemoryError: no" in found.failures[0]
    assert "not proven to be the shortest: 1 tasks failed" in str(found)


def test_when_very_much_is_open_parts_are_searched_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    frontier = Frontier(prepare(random_distances(8, 1)), budget=7)
    assert frontier.budget == 7
    monkeypatch.setattr("concurrence.samples.search_tasks._MANY", 1)
    assert frontier.budget == 140


def test_progress_only_ever_grows_towards_the_whole(system: SearchSystem) -> None:
    master = FakeMaster()
    waiting = begin(system, master)
    while waiting:
        waiting += finish(system, master, waiting.pop(0))
    done = [progress[0] for progress in master.progress]
    assert done[-1] == pytest.approx(100.0)
    assert all(after >= before - 1e-9 for before, after in pairwise(done))
    assert system.gather_result(master).length == search_alone(prepare(random_distances(30, 1)), 40).best


# --- the application ---


def test_the_application_says_what_it_found_and_compares() -> None:
    run = run_app(Search, overrides=["search.cities=12", "search.seed=1", "search.budget=5"])
    length = shortest(random_distances(12, 1))
    assert run.exit_code == 0
    assert run.said[0].startswith(f"a round trip of {length}, proven to be the shortest")
    assert run.said[-1].startswith("the same search in one process: ")


def test_an_incomplete_search_ends_with_1_and_an_interrupted_one_says_what_it_knows() -> None:
    class Broken(Search):
        def work_finished(self, result: Found, system_id: int) -> None:
            super().work_finished(result._replace(failures=["MemoryError: no"]), system_id)
            self.progress(system_id, 1, 2, "best 12")
            self.interrupted()

    run = run_app(Broken, overrides=["search.cities=8"])
    assert run.exit_code == 1
    assert run.said[-1] == "interrupted: best 12"
    assert math.isfinite(run.summary.wall)
