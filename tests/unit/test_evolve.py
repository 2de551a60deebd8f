from __future__ import annotations

import pickle
from itertools import product
from typing import cast

import numpy as np
import pytest
from fake_master import FakeMaster

from concurrence.errors import TaskCancelled, TaskError
from concurrence.samples.evolve import Evolve
from concurrence.samples.evolve_kernel import (
    LONGEST,
    SHORTEST,
    Island,
    energy,
    evolve,
    lowest_energy,
    settle,
    signs,
)
from concurrence.samples.evolve_tasks import Epoch, Evolved, EvolveSystem, World
from concurrence.testing import run_app, run_system

WORLD = World(length=20, islands=3, size=6, generations=4, migrates=True, seed=3, seconds=100.0, epochs=0)
ALONE = WORLD._replace(migrates=False, epochs=4)
BEST_OF_20 = 641952
"""A sequence of 20 places with the lowest energy that there is."""


def energy_by_definition(numbers: tuple[int, ...]) -> int:
    shifted = (numbers[shift:] for shift in range(1, len(numbers)))
    return sum(sum(here * there for here, there in zip(numbers, other, strict=False)) ** 2 for other in shifted)


@pytest.mark.parametrize("length", range(SHORTEST, 14))
def test_the_lowest_energies_are_those_of_an_exhaustive_search(length: int) -> None:
    energies = [energy_by_definition(numbers) for numbers in product((1, -1), repeat=length)]
    assert lowest_energy(length) == min(energies)
    assert [energy(sequence, length) for sequence in range(2**length)] == energies


def test_so_are_those_of_longer_ones() -> None:
    bits = np.array([number.bit_count() for number in range(2**19)], np.int32)
    for length in range(14, 21):
        sequences = np.arange(2 ** (length - 1), dtype=np.int64)  # the others are the same with all signs turned
        overlaps = [(2 ** (length - shift) - 1, length - shift, shift) for shift in range(1, length)]
        sums = [size - 2 * bits[(sequences ^ (sequences >> shift)) & mask] for mask, size, shift in overlaps]
        assert lowest_energy(length) == int(np.sum(np.square(sums), axis=0).min())


def test_the_table_ends_where_it_says() -> None:
    assert (LONGEST, lowest_energy(LONGEST)) == (66, 257)
    assert lowest_energy(40) == 108
    assert energy(BEST_OF_20, 20) == lowest_energy(20) == 26


def test_signs_are_the_sequence() -> None:
    assert signs(0b00110, 5) == "++--+"


# --- an island ---


def test_an_epoch_depends_on_nothing_but_its_arguments() -> None:
    island = settle(20, 6, "a")
    kept = pickle.loads(pickle.dumps(island))
    after = evolve(island, 20, 5, "b")
    assert island == kept == settle(20, 6, "a")
    assert after == evolve(kept, 20, 5, "b") != evolve(kept, 20, 5, "c")
    assert after.evaluated > 5 * 20


def test_a_population_never_gets_worse_and_holds_nobody_twice() -> None:
    island = settle(12, 5, "x")
    for epoch in range(40):
        after = evolve(island, 12, 3, f"x{epoch}")
        assert after.best[0] <= island.best[0]
        assert after.energies == [energy(each, 12) for each in after.members]
        assert len(set(after.members)) == 5
        island = after
    assert island.best[0] == lowest_energy(12)


# --- the system ---


def begin(system: EvolveSystem, master: FakeMaster) -> list[Epoch]:
    system.init_system(master)
    return cast("list[Epoch]", master.number(system.generate_tasks(master)))


def island_of(*members: int) -> Island:
    return Island(list(members), [energy(each, 20) for each in members], 7)


def test_no_island_waits_and_a_migrant_comes_from_the_neighbour_as_it_is_known_now() -> None:
    system, master = EvolveSystem(WORLD), FakeMaster()
    first, second, third = begin(system, master)
    (again,) = cast("list[Epoch]", system.task_finished(master, second, island_of(1, 2, 5), None))
    assert (again.island, again.epoch) == (1, 1)
    assert again.population == island_of(1, 2, 5)._replace(evaluated=7)  # the neighbour is not known yet
    (visited,) = cast("list[Epoch]", system.task_finished(master, third, island_of(3, 4), None))
    best, worst = island_of(1, 2, 5).best[1], max((energy(each, 20), each) for each in (3, 4))[1]
    assert visited.population is not None
    assert set(visited.population.members) == {best, 3, 4} - {worst}
    system.task_finished(master, first, island_of(best, 9), None)
    assert system.gather_result(master).migrants == 2


def test_the_lowest_energy_ends_it_at_once() -> None:
    system, master = EvolveSystem(WORLD), FakeMaster()
    first, second, third = begin(system, master)
    assert system.task_finished(master, first, island_of(BEST_OF_20, 1), None) == []
    assert master.cancelled_all == 1
    for task in (second, third):
        assert system.task_finished(master, task, None, TaskCancelled("cancelled")) == []
    evolved = system.gather_result(master)
    assert (evolved.is_lowest, evolved.epochs, evolved.failures) == (True, 1, [])
    assert master.cancelled_all == 1


def test_time_ends_it_and_is_what_progress_shows() -> None:
    system, master = EvolveSystem(WORLD), FakeMaster()
    now = 50.0
    system.clock = lambda: now
    first, second, _ = begin(system, master)
    now = 90.0
    assert system.task_finished(master, first, island_of(1, 2), None)
    assert master.progress[-1][:2] == (40.0, 100.0)
    now = 151.0
    assert system.task_finished(master, second, island_of(3, 4), None) == []
    assert master.progress[-1][:2] == (100.0, 100.0)
    evolved = system.gather_result(master)
    assert (evolved.seconds, evolved.is_reproducible) == (101.0, False)


def test_after_a_failure_an_island_goes_on_from_where_it_was() -> None:
    system, master = EvolveSystem(WORLD._replace(migrates=False)), FakeMaster()
    first, *_ = begin(system, master)
    (second,) = cast("list[Epoch]", system.task_finished(master, first, island_of(1, 2), None))
    (third,) = cast("list[Epoch]", system.task_finished(master, second, None, TaskError("MemoryError: no")))
    assert (third.epoch, third.population) == (2, island_of(1, 2))
    assert system.gather_result(master).failures == ["island 0 epoch 1: MemoryError: no"]


def test_if_everything_fails_it_ends_and_says_why() -> None:
    system, master = EvolveSystem(WORLD), FakeMaster()
    tasks, ended = begin(system, master), 0
    while tasks:
        tasks += cast("list[Epoch]", system.task_finished(master, tasks.pop(0), None, TaskError("OSError: no")))
        ended += 1
        assert ended < 20
    with pytest.raises(RuntimeError, match=r"island 0 epoch 0: OSError: no"):
        system.gather_result(master)


def sequentially(world: World) -> tuple[int, int]:
    """The best of all islands, one after the other."""
    best: list[tuple[int, int]] = []
    for number in range(world.islands):
        island = world.settle(number)
        for epoch in range(world.epochs):
            island = world.evolve(island, number, epoch)
        best.append(island.best)
    return min(best)


def test_without_migrants_so_many_epochs_give_what_they_give_one_after_the_other() -> None:
    evolved: Evolved = run_system(EvolveSystem(ALONE))
    assert (evolved.energy, evolved.sequence) == sequentially(ALONE)
    assert (evolved.epochs, evolved.migrants, evolved.is_reproducible) == (12, 0, True)
    assert "the same options give the same again" in str(evolved)
    assert "another run may differ" in str(evolved._replace(world=WORLD))


# --- the application ---


def test_the_application_gets_to_the_lowest_energy_and_says_so() -> None:
    run = run_app(Evolve, overrides=["evolve.length=13", "evolve.islands=3", "evolve.size=5"])
    assert run.exit_code == 0
    assert run.said[0].startswith("13 places, up to 120 s; the lowest energy that is possible is 6")
    (line,) = [line for line in run.said if line.startswith("energy 6 (the lowest that is possible)")]
    sequence = line.rpartition(" ")[2]
    assert energy_by_definition(tuple(1 if sign == "+" else -1 for sign in sequence)) == 6
    assert "merit factor 14.08" in line


def test_an_interrupted_evolution_says_its_best_and_failures_end_with_1() -> None:
    class Broken(Evolve):
        def work_finished(self, result: Evolved, system_id: int) -> None:
            super().work_finished(result._replace(failures=["MemoryError: no"]), system_id)
            self.interrupted()

    run = run_app(Broken, overrides=["evolve.length=9", "evolve.islands=2", "evolve.size=4"])
    assert run.exit_code == 1
    assert run.said[-1].startswith("interrupted; the best so far: energy 12: ")
