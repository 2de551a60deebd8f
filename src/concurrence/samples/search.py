"""Search: the shortest round trip through some cities, with the proof that there is none shorter.

Branch and bound: a part of the search is left out as soon as a bound says that it holds nothing shorter than what
is known. So what one task finds decides what the others still have to do, and no list of tasks can be written down
before. A task system steers: it gives the next tasks the newest bound, cancels running ones that can win nothing
any more, and splits what turns out to be hard.
"""

from __future__ import annotations

import time
from typing import Any

from concurrence import ApplicationNode, BoolOption, IntOption, ITaskSystem
from concurrence.samples.search_kernel import Cities, prepare, random_distances
from concurrence.samples.search_tasks import Found, SearchSystem, search_alone


class Search(ApplicationNode):
    """Finds the shortest round trip through some cities, and proves it."""

    cities = IntOption("search", "cities", 46, "How many cities; each more can double the work.", min=4, max=200)
    seed = IntOption("search", "seed", 4, "Where they lie: another number is another problem.")
    budget = IntOption(
        "search", "budget", 250, "How many nodes a task looks into before it is split.", min=1, max=1_000_000
    )
    compare = BoolOption("search", "compare", True, "Search in one process too, and tell the speed-up.")

    _so_far = ""

    def get_task_system(self) -> ITaskSystem:
        """The whole search: the client hears of it again at its end."""
        self._problem: Cities = prepare(random_distances(self.cities, self.seed))
        self._began = time.perf_counter()
        return SearchSystem(self._problem, self.budget)

    def progress(self, system_id: int, done: float, total: float, text: str) -> None:
        """Keep how far it is, for the case that somebody interrupts."""
        self._so_far = text

    def interrupted(self) -> None:
        """Say what is known so far."""
        self.say(f"interrupted: {self._so_far or 'nothing is known yet'}")

    def work_finished(self, result: Any, system_id: int) -> None:
        """Say what was found, and how long the same takes in one process."""
        seconds = time.perf_counter() - self._began
        found: Found = result
        for line in str(found).splitlines():
            self.say(line)
        if found.failures:
            self.log.error("the search is not complete: %s", found.failures[0])
            self.shutdown_main_loop(1)
            return
        self.say(f"the swarm took {seconds:.2f} s")
        self.shutdown_main_loop(self._compare(found, seconds) if self.compare else 0)

    def _compare(self, found: Found, seconds: float) -> int:
        """Search here, in one process, and compare length and time; returns the exit code."""
        began = time.perf_counter()
        alone = search_alone(self._problem, self.budget)
        took = time.perf_counter() - began
        self.say(
            f"the same search in one process: {took:.2f} s and {alone.explored:,} nodes, "
            f"so the swarm is {took / seconds:.2f} times as fast"
        )
        if alone.best != found.length:
            self.log.error("the swarm found %d, one process %d: one of them is wrong", found.length, alone.best)
            return 1
        return 0
