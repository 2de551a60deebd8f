"""Evolve: a genetic algorithm on islands, which looks for sequences of signs that hardly resemble themselves.

Each island is a population that evolves for an epoch, as a task, wherever there is room. As soon as its epoch
ends, a task system puts in the best of a neighbour and pushes the next one: no island waits for another, however
slow its machine is. It goes on for minutes; one can watch it, interrupt it, or leave it at the master and return:

    concurrence run evolve --master client.toml --detach
    concurrence attach NUMBER --master client.toml
"""

from __future__ import annotations

from typing import Any

from concurrence import ApplicationNode, BoolOption, DurationOption, IntOption, ITaskSystem
from concurrence.samples.evolve_kernel import LONGEST, SHORTEST, lowest_energy
from concurrence.samples.evolve_tasks import Evolved, EvolveSystem, World


class Evolve(ApplicationNode):
    """Looks for sequences of signs with a low energy, by a genetic algorithm on islands."""

    length = IntOption("evolve", "length", 44, "How many places a sequence has.", min=SHORTEST, max=LONGEST)
    duration = DurationOption(
        "evolve", "duration", 120.0, "How long it goes on, unless the lowest possible energy is found before."
    )
    epochs = IntOption(
        "evolve",
        "epochs",
        0,
        "Epochs of each island, whatever is found; 0 for as many as there is time for.",
        min=0,
    )
    islands = IntOption(
        "evolve", "islands", 8, "How many populations; have at least one per worker.", min=1, max=10_000
    )
    size = IntOption("evolve", "size", 20, "How many members a population has.", min=2, max=10_000)
    generations = IntOption("evolve", "generations", 20, "How many children are born in an epoch.", min=1)
    migrate = BoolOption("evolve", "migrate", True, "Whether islands get the best of their neighbours.")
    seed = IntOption("evolve", "seed", 1, "Decides all that is left to chance.")

    _so_far = ""

    def get_task_system(self) -> ITaskSystem:
        """The whole evolution."""
        lowest = lowest_energy(self.length)
        self.say(
            f"{self.length} places, up to {self.duration:.0f} s; the lowest energy that is possible is {lowest}"
        )
        return EvolveSystem(
            World(
                self.length,
                self.islands,
                self.size,
                self.generations,
                self.migrate,
                self.seed,
                self.duration,
                self.epochs,
            )
        )

    def progress(self, system_id: int, done: float, total: float, text: str) -> None:
        """Say what is better than anything before."""
        if text and text != self._so_far:
            self._so_far = text
            self.say(text)

    def interrupted(self) -> None:
        """Say what there is."""
        self.say(f"interrupted; the best so far: {self._so_far or 'nothing yet'}")

    def work_finished(self, result: Any, system_id: int) -> None:
        """Say what came out."""
        evolved: Evolved = result
        for line in str(evolved).splitlines():
            self.say(line)
        if evolved.failures:
            self.log.error("%d epochs failed; the first: %s", len(evolved.failures), evolved.failures[0])
        self.shutdown_main_loop(1 if evolved.failures else 0)
