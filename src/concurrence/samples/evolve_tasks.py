"""What the evolve sample sends to the swarm: an epoch of an island, and the task system that lets islands trade.

Apart from the application, so that a worker imports nothing that only a client needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

from concurrence import ITaskMaster, ITaskSystem, Task, TaskCancelled, TaskError
from concurrence.samples.evolve_kernel import Island, evolve, lowest_energy, settle, signs

_FAILURES_IN_A_ROW = 5


class World(NamedTuple):
    """What an evolution is told.

    Attributes:
        length: Places of a sequence.
        islands: How many populations.
        size: Members of each.
        generations: Children that are born in an epoch.
        migrates: Whether an island gets the best of its neighbour between two epochs.
        seed: Decides all that is left to chance.
        seconds: How long it goes on, unless the lowest energy that is possible is found before.
        epochs: How many epochs each island lives, whatever is found; 0 for as long as ``seconds`` says.
    """

    length: int
    islands: int
    size: int
    generations: int
    migrates: bool
    seed: int
    seconds: float
    epochs: int

    def settle(self, island: int) -> Island:
        """An island's first population."""
        return settle(self.length, self.size, f"{self.seed}/{island}")

    def evolve(self, population: Island, island: int, epoch: int) -> Island:
        """An epoch of an island: chance depends on its number and that of the epoch, not on where it is run."""
        return evolve(population, self.length, self.generations, f"{self.seed}/{island}/{epoch}")


class Epoch(Task):
    """Some generations of one island.

    Args:
        world: What the evolution was told.
        island: The island's number.
        epoch: How many epochs it had before.
        population: Its members; None for the first, which are made where they are needed.
    """

    max_retries = 2

    def __init__(self, world: World, island: int, epoch: int, population: Island | None) -> None:
        super().__init__(f"island {island} epoch {epoch}")
        self.world = world
        self.island = island
        self.epoch = epoch
        self.population = population

    def __call__(self) -> Island:
        """The population after the epoch."""
        population = self.population or self.world.settle(self.island)
        return self.world.evolve(population, self.island, self.epoch)


class Evolved(NamedTuple):
    """The task system's one result.

    Attributes:
        world: What it was told.
        energy: The lowest that was found.
        sequence: A sequence that has it.
        epochs: How many epochs were lived, all islands together.
        evaluated: How many energies were calculated.
        migrants: How many members went to another island.
        seconds: How long it took.
        failures: Why epochs failed.
    """

    world: World
    energy: int
    sequence: int
    epochs: int
    evaluated: int
    migrants: int
    seconds: float
    failures: list[str]

    @property
    def is_lowest(self) -> bool:
        """Whether no sequence of this length has a lower energy."""
        return self.energy == lowest_energy(self.world.length)

    @property
    def is_reproducible(self) -> bool:
        """Whether the same options lead to the same result: neither the clock nor the order of ends had a say."""
        world = self.world
        return not world.migrates and self.epochs == world.islands * world.epochs

    def __str__(self) -> str:
        """What ``concurrence attach`` prints."""
        length, lowest = self.world.length, lowest_energy(self.world.length)
        place = "the lowest that is possible" if self.is_lowest else f"the lowest that is possible is {lowest}"
        again = (
            "the same options give the same again"
            if self.is_reproducible
            else "another run may differ: who ended when decided what was tried"
        )
        return (
            f"energy {self.energy} ({place}), merit factor {length**2 / (2 * self.energy):.2f}: "
            f"{signs(self.sequence, length)}\n"
            f"{self.epochs:,} epochs on {self.world.islands} islands, {self.migrants:,} migrants, "
            f"{self.evaluated:,} energies in {self.seconds:.1f} s\n"
            f"seed {self.world.seed}: {again}"
        )


class EvolveSystem(ITaskSystem):
    """Lets islands evolve, each at its own pace: as soon as one epoch ends, that island's next one is pushed.

    Before, the best of the neighbour is put in, as it is known at that moment: nobody waits for anybody. So what
    comes out depends on the order in which epochs end, unless there are no migrants.

    Args:
        world: What the evolution is told.

    Attributes:
        clock: Tells the time in seconds.
    """

    name = "evolve"
    clock: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(self, world: World) -> None:
        self.world = world
        self.islands: list[Island | None] = [None] * world.islands
        self.best: tuple[int, int] | None = None
        self.epochs = self.evaluated = self.migrants = self.failed_in_a_row = 0
        self.failures: list[str] = []
        self.is_over = False
        self.began = 0.0

    def init_system(self, master: ITaskMaster) -> None:
        """Time counts from here, on the master's machine, whether or not a client looks on."""
        self.began = self.clock()

    def generate_tasks(self, master: ITaskMaster) -> Iterable[Task]:
        """The first epoch of each island."""
        return [Epoch(self.world, island, 0, None) for island in range(self.world.islands)]

    def task_finished(
        self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None
    ) -> Iterable[Task]:
        """An island's epoch ended: see what it found, and push its next one at once."""
        ended = cast("Epoch", task)
        if error is None:
            self.keep(ended.island, result)
        elif not isinstance(error, TaskCancelled):
            self.failures.append(f"{task.name}: {error}")
            self.failed_in_a_row += 1
        self.report(master)
        if self.is_over:
            return []
        if self.has_enough():
            self.is_over = True
            master.cancel()  # what runs now could not be better, or comes too late
            return []
        return self.following(ended)

    def keep(self, island: int, population: Island) -> None:
        """Keep what an epoch made of an island."""
        self.islands[island] = population
        self.failed_in_a_row = 0
        self.epochs += 1
        self.evaluated += population.evaluated
        self.best = min(self.best or population.best, population.best)

    def has_enough(self) -> bool:
        """Whether it is time to stop, or pointless to go on."""
        if self.failed_in_a_row >= _FAILURES_IN_A_ROW or self.clock() - self.began >= self.world.seconds:
            return True
        is_lowest = self.best is not None and self.best[0] == lowest_energy(self.world.length)
        return is_lowest and not self.world.epochs

    def following(self, ended: Epoch) -> list[Task]:
        """The island's next epoch, if it has one; after a failure it goes on from where it was."""
        epoch = ended.epoch + 1
        if self.world.epochs and epoch >= self.world.epochs:
            return []
        population = self.islands[ended.island]
        if self.world.migrates and population is not None:
            population = self.visited(population, self.islands[ended.island - 1])
        return [Epoch(self.world, ended.island, epoch, population)]

    def visited(self, population: Island, neighbour: Island | None) -> Island:
        """The population with its worst member replaced by the neighbour's best, unless that is there already."""
        if neighbour is None or neighbour.best[1] in population.members:
            return population
        self.migrants += 1
        members, energies = list(population.members), list(population.energies)
        place = energies.index(max(energies))
        energies[place], members[place] = neighbour.best
        return Island(members, energies)

    def report(self, master: ITaskMaster) -> None:
        """How far it is; the text changes only when something better was found."""
        world, best = self.world, self.best
        text = f"energy {best[0]}: {signs(best[1], world.length)}" if best is not None else ""
        if world.epochs:
            master.report_progress(self.epochs, world.islands * world.epochs, text)
        else:
            master.report_progress(min(self.clock() - self.began, world.seconds), world.seconds, text)

    def gather_result(self, master: ITaskMaster) -> Evolved:
        """The best of all islands, and what it took.

        Raises:
            RuntimeError: Not a single epoch came to its end.
        """
        if self.best is None:
            raise RuntimeError(f"no epoch came to its end; the first failure: {[*self.failures, 'none'][0]}")
        return Evolved(
            self.world,
            *self.best,
            self.epochs,
            self.evaluated,
            self.migrants,
            self.clock() - self.began,
            self.failures,
        )
