"""What the DNA sample sends to the swarm: three ways to share out the same products.

``naive``: a task for each nucleotide, and in it a list of its own of all the matrices that it needs.
``optimized``: the same tasks, but all matrices travel once to each slave. ``prefix``: a few tasks for blocks of
nucleotides, in two rounds, in which no product is calculated twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np

from concurrence import ITaskMaster, ITaskSystem, Shared, Task, TaskError
from concurrence.samples.dna_curve import Matrices, product, suffix_products


class NaiveTask(Task):
    """Places one nucleotide: takes the steps behind it, up to 1.3 MB of them. How not to do it.

    Args:
        index: Which nucleotide.
        points: What it consists of.
        steps: The steps that follow it.
    """

    def __init__(self, index: int, points: Matrices, steps: Matrices) -> None:
        super().__init__(f"nucleotide {index}")
        self.index = index
        self.points = points
        self.steps = steps

    def __call__(self) -> Matrices:
        """Where its points are."""
        return self.points @ product(self.steps)


class SharedTask(Task):
    """Places one nucleotide: takes its number, and finds the steps where they were shared.

    Args:
        index: Which nucleotide.
        points: What it consists of.
        steps: All steps.
    """

    def __init__(self, index: int, points: Matrices, steps: Shared[Matrices]) -> None:
        super().__init__(f"nucleotide {index}")
        self.index = index
        self.points = points
        self.steps = steps

    def __call__(self) -> Matrices:
        """Where its points are."""
        return self.points @ product(self.steps.value[self.index :])


class BlockTask(Task):
    """The first round of the prefix product: what the steps of a block come to.

    Args:
        number: Which block.
        block: Its steps, from the first up to but not including the last.
        steps: All steps.
    """

    def __init__(self, number: int, block: range, steps: Shared[Matrices]) -> None:
        super().__init__(f"steps {block.start}-{block.stop - 1}")
        self.number = number
        self.block = block
        self.steps = steps

    def __call__(self) -> Matrices:
        """Their product."""
        return product(self.steps.value[self.block.start : self.block.stop])


class PlaceTask(Task):
    """The second round: places all nucleotides of a block.

    Args:
        block: Its steps.
        points: What a nucleotide consists of.
        steps: All steps.
        behind: What all steps behind the block come to.
    """

    def __init__(self, block: range, points: Matrices, steps: Shared[Matrices], behind: Matrices) -> None:
        super().__init__(f"nucleotides {block.start}-{block.stop - 1}")
        self.index = block.start
        self.block = block
        self.points = points
        self.steps = steps
        self.behind = behind

    def __call__(self) -> Matrices:
        """Where the points of each are."""
        own = self.steps.value[self.block.start : self.block.stop]
        return np.matmul(self.points, suffix_products(own, self.behind))


class Curve(NamedTuple):
    """A task system's one result.

    Attributes:
        path: The axes are which nucleotide, which point, coordinate.
        failures: Why tasks failed, in their own words.
    """

    path: Matrices
    failures: list[str]


class CurveSystem(ITaskSystem):
    """What the three have in common: a path that is put together as its pieces arrive.

    Args:
        points: What each nucleotide consists of.
        steps: The steps between them.
    """

    def __init__(self, points: Matrices, steps: Matrices) -> None:
        self.points = points
        self.path = np.tile(points, (len(steps) + 1, 1, 1))  # the last one is where it is
        self.failures: list[str] = []
        self.placed = 0

    def task_finished(
        self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None
    ) -> list[Task] | None:
        """Put what a task placed where it belongs."""
        if error is not None:
            self.failures.append(f"{task.label}: {error}")
            return None
        index = cast("NaiveTask | SharedTask | PlaceTask", task).index
        count = len(result) if result.ndim > 2 else 1
        self.path[index : index + count] = result
        self.placed += count
        master.report_progress(self.placed, len(self.path) - 1, "nucleotides")
        return None

    def gather_result(self, master: ITaskMaster) -> Curve:
        """The whole path."""
        return Curve(self.path, self.failures)


class NaiveSystem(CurveSystem):
    """A task for each nucleotide, with matrices of its own: gigabytes, of which only a few are under way."""

    name = "dna, naive"

    def __init__(self, points: Matrices, steps: Matrices) -> None:
        super().__init__(points, steps)
        self.steps = steps

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        """The tasks, made as the swarm takes them."""
        for index in range(len(self.steps)):
            yield NaiveTask(index, self.points, self.steps[index:].copy())


class SharedSystem(CurveSystem):
    """A task for each nucleotide; the matrices travel once to each slave."""

    name = "dna, optimized"

    def __init__(self, points: Matrices, steps: Matrices) -> None:
        super().__init__(points, steps)
        self.steps = Shared(steps)

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        """The tasks, made as the swarm takes them."""
        return (SharedTask(index, self.points, self.steps) for index in range(len(self.path) - 1))


class PrefixSystem(CurveSystem):
    """Few tasks in two rounds: the products of blocks, then the nucleotides of each.

    Args:
        points: What each nucleotide consists of.
        steps: The steps between them.
        blocks: How many blocks there are at most.
    """

    name = "dna, prefix"

    def __init__(self, points: Matrices, steps: Matrices, blocks: int) -> None:
        super().__init__(points, steps)
        self.steps = Shared(steps)
        count = min(blocks, len(steps))
        bounds = [len(steps) * number // count for number in range(count + 1)]
        self.blocks = [range(start, stop) for start, stop in pairwise(bounds)]
        self.products: dict[int, Matrices] = {}

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        """The first round."""
        return (BlockTask(number, block, self.steps) for number, block in enumerate(self.blocks))

    def task_finished(
        self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None
    ) -> list[Task] | None:
        """Keep the product of a block; with the last one begins the second round."""
        if not isinstance(task, BlockTask) or error is not None:
            return super().task_finished(master, task, result, error)
        self.products[task.number] = result
        return self._second_round() if len(self.products) == len(self.blocks) else None

    def _second_round(self) -> list[Task]:
        tasks: list[Task] = []
        behind = np.eye(4)
        for number in range(len(self.blocks) - 1, -1, -1):
            tasks.append(PlaceTask(self.blocks[number], self.points, self.steps, behind))
            behind = self.products[number] @ behind
        return tasks
