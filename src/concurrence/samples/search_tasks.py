"""What the search sample sends to the swarm: its task, and the task system that steers the search.

Apart from the application, so that a worker imports nothing that only a client needs.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

from concurrence import ITaskMaster, ITaskSystem, Shared, Task, TaskCancelled, TaskError
from concurrence.samples.search_kernel import (
    Cities,
    Explored,
    Node,
    can_win,
    explore,
    nearest_neighbours,
    root,
    tour_length,
)

_NODES_PER_TASK = 16
_MANY = 50_000
_PATIENT = 20
_TASKS_PER_WORKER = 2


class Explore(Task):
    """Searches some nodes for a budget: a hard one comes back as the parts that are still open.

    Args:
        cities: The problem, which travels once to each slave.
        nodes: Where to search, the most promising first.
        best: The length of the shortest round trip known when it is pushed.
        budget: How many nodes it looks into at most.
    """

    max_retries = 2

    def __init__(self, cities: Shared[Cities], nodes: list[Node], best: int, budget: int) -> None:
        super().__init__(f"below {best}: {len(nodes)} nodes from {nodes[0].bound:.0f}")
        self.cities = cities
        self.nodes = nodes
        self.best = best
        self.budget = budget

    def __call__(self) -> Explored:
        """What came of it."""
        return explore(self.cities.value, self.nodes, self.best, self.budget)


class Frontier:
    """The best round trip so far, and what is still open, the most promising first. Pure: no clock, no swarm.

    The task system steers the swarm by it, and the search in one process is steered by it too.

    Args:
        cities: The problem.
        budget: How many nodes are looked into before a part is split.

    Attributes:
        best: The length of the shortest round trip so far.
        tour: That trip.
        explored: How many nodes were looked into.
        pruned: How many were left out because of their bound.
        improved: How often a shorter one was found.
        share: Which part of the whole search is open.
    """

    def __init__(self, cities: Cities, budget: int) -> None:
        self.share = 0.0
        self.tour = nearest_neighbours(cities.distances)
        self.best = tour_length(cities.distances, self.tour)
        self.explored = self.pruned = self.improved = 0
        self._budget = budget
        self._open: list[Node] = []
        self.give_back([root(cities)])

    def __len__(self) -> int:
        return len(self._open)

    @property
    def least(self) -> float:
        """Nothing that is open is shorter; the best if nothing is."""
        return self._open[0].bound if self._open else float(self.best)

    @property
    def budget(self) -> int:
        """What the next task may spend: when very much is open, parts are searched to their end, not split."""
        return self._budget if len(self._open) < _MANY else self._budget * _PATIENT

    def take(self, workers: int) -> list[Node]:
        """The most promising nodes for one task: few while others need work too.

        Args:
            workers: How many there are.
        """
        count = min(_NODES_PER_TASK, max(1, len(self._open) // (_TASKS_PER_WORKER * workers)))
        taken = [heapq.heappop(self._open) for _ in range(min(count, len(self._open)))]
        self.share -= sum(node.share for node in taken)
        return taken

    def put(self, found: Explored) -> bool:
        """Take in what came of a task; whether it found a shorter round trip."""
        self.explored += found.explored
        self.pruned += found.pruned
        is_better = found.tour is not None and found.length < self.best
        if is_better and found.tour is not None:
            self.best, self.tour = found.length, found.tour
            self.improved += 1
            waiting, self._open, self.share = self._open, [], 0.0
            self.give_back(waiting)
        self.give_back(found.open)
        return is_better

    def give_back(self, nodes: Iterable[Node]) -> None:
        """Open nodes, but for those that cannot win any more."""
        for node in nodes:
            if can_win(node.bound, self.best):
                heapq.heappush(self._open, node)
                self.share += node.share
            else:
                self.pruned += 1


def search_alone(cities: Cities, budget: int) -> Frontier:
    """The same search in this process: what the swarm is compared with."""
    frontier = Frontier(cities, budget)
    while len(frontier):
        budget = frontier.budget
        frontier.put(explore(cities, frontier.take(1), frontier.best, budget))
    return frontier


class Found(NamedTuple):
    """The task system's one result.

    Attributes:
        length: Of the shortest round trip found.
        tour: The cities in order.
        explored: Nodes that were looked into.
        pruned: Nodes that were left out because of their bound.
        improved: How often a shorter round trip was found.
        tasks: How many tasks it took.
        cancelled: How many of them were cancelled, because news made them pointless.
        failures: Why tasks failed; without any the round trip is proven to be a shortest one.
    """

    length: int
    tour: tuple[int, ...]
    explored: int
    pruned: int
    improved: int
    tasks: int
    cancelled: int
    failures: list[str]

    def __str__(self) -> str:
        """What ``concurrence attach`` prints."""
        if self.failures:
            proof = (
                f"not proven to be the shortest: {len(self.failures)} tasks failed; the first: {self.failures[0]}"
            )
        else:
            proof = "proven to be the shortest: nothing is open that could be shorter"
        return (
            f"a round trip of {self.length}, {proof}\n"
            f"the cities in order: {' '.join(map(str, self.tour))}\n"
            f"nodes: {self.explored:,} explored, {self.pruned:,} pruned by their bounds\n"
            f"tasks: {self.tasks:,}, {self.cancelled:,} of them cancelled when they could not win any more; "
            f"{self.improved} shorter round trips on the way"
        )


class SearchSystem(ITaskSystem):
    """Steers the search: keeps the best, gives the next tasks the new bound, cancels what cannot win any more.

    No more tasks are under way than the workers need. So the next one always knows the newest bound, and begins
    where there is most hope; a running one ends soon, because of its budget.

    Args:
        cities: The problem.
        budget: How many nodes a task looks into before it hands back what is open.
    """

    name = "search"

    def __init__(self, cities: Cities, budget: int) -> None:
        self.cities = Shared(cities)
        self.frontier = Frontier(cities, budget)
        self.running: set[Explore] = set()
        self.tasks = self.cancelled = 0
        self.failures: list[str] = []

    def generate_tasks(self, master: ITaskMaster) -> Iterable[Task]:
        """The first task has the whole search for itself; it is split when its budget is used up."""
        return list(self.next_tasks(master))

    def next_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        """As many tasks as keep all workers busy."""
        workers = max(1, sum(slave.workers for slave in master.slaves))
        while len(self.frontier) and len(self.running) < _TASKS_PER_WORKER * workers:
            budget = self.frontier.budget
            task = Explore(self.cities, self.frontier.take(workers), self.frontier.best, budget)
            self.running.add(task)
            self.tasks += 1
            yield task

    def task_finished(
        self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None
    ) -> Iterable[Task]:
        """Take in what a task found, and steer by it."""
        ended = cast("Explore", task)
        self.running.remove(ended)
        if error is None:
            if self.frontier.put(result):
                self.cancel_hopeless(master)
        elif isinstance(error, TaskCancelled):
            self.cancelled += 1
            self.frontier.give_back(ended.nodes)
        else:
            self.failures.append(f"{task.name}: {error}")
        self.report(master)
        return list(self.next_tasks(master))

    def cancel_hopeless(self, master: ITaskMaster) -> None:
        """There is a shorter round trip: whatever holds nothing shorter than that may stop at once."""
        hopeless = [task for task in self.running if not can_win(task.nodes[0].bound, self.frontier.best)]
        master.cancel([task.task_id for task in hopeless if task.task_id is not None])

    def report(self, master: ITaskMaster) -> None:
        """Which part of the search is done, and between which bounds the shortest length lies."""
        least = min([self.frontier.least, *(task.nodes[0].bound for task in self.running)])
        share = self.frontier.share + sum(node.share for task in self.running for node in task.nodes)
        text = f"best {self.frontier.best}, none below {least:.0f}, {self.frontier.explored:,} nodes"
        master.report_progress(100 * (1 - share), 100, text)

    def gather_result(self, master: ITaskMaster) -> Found:
        """The shortest round trip, and what its proof took."""
        frontier = self.frontier
        return Found(
            frontier.best,
            frontier.tour,
            frontier.explored,
            frontier.pruned,
            frontier.improved,
            self.tasks,
            self.cancelled,
            self.failures,
        )
