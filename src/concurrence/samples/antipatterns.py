"""What has to be avoided: pairs of functions that do the same, one as one should not, and one as one should.

Each takes a swarm. ``benchmarks/antipatterns.py`` measures them, ``docs/antipatterns.md`` shows and explains them,
and a test holds the results of both against each other. It is no plug-in: nothing loads it unless somebody wants
it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from concurrence import PackingError, Shared, Swarm, Task, WouldBlock
from concurrence.samples.antipatterns_wrong import (
    append_line,
    capturing_a_lock,
    effects_that_add_up,
    effects_that_can_be_repeated,
    made_in_the_task,
    making_it_in_the_task,
    remember,
    return_it,
    square,
    state_in_globals,
    state_in_results,
    waiting_in_a_task,
    waiting_where_one_may,
    waits_for_others,
    write_own_file,
)

# --- the data of all in every task ---

WORDS = 100_000
PARTS = [range(start, start + WORDS // 50) for start in range(0, WORDS, WORDS // 50)]


def make_words() -> list[str]:
    """A list that every task needs."""
    return [str(number) for number in range(WORDS)]


def letters_of(words: list[str], part: range) -> int:
    """How long some of the words are together."""
    return sum(len(words[number]) for number in part)


def data_in_every_task(swarm: Swarm) -> int:
    """The whole list travels with each task."""
    words = make_words()
    futures = [swarm.submit(letters_of, words, part) for part in PARTS]
    return sum(future.result() for future in futures)


def letters_of_shared(words: Shared[list[str]], part: range) -> int:
    """How long some of the words are together."""
    return sum(len(words.value[number]) for number in part)


def data_shared(swarm: Swarm) -> int:
    """The list travels once to each slave, and is unpickled once in each worker."""
    words = swarm.share(make_words())
    futures = [swarm.submit(letters_of_shared, words, part) for part in PARTS]
    return sum(future.result() for future in futures)


# --- tiny tasks ---

NUMBERS = 20_000


def tiny_tasks(swarm: Swarm) -> int:
    """Each number is a task of its own, with an id, a future, and a place in every queue."""
    futures = [swarm.submit(square, number) for number in range(NUMBERS)]
    return sum(future.result() for future in futures)


def packed_tasks(swarm: Swarm) -> int:
    """The swarm packs as many into a task as make it worth while."""
    return sum(swarm.map(square, range(NUMBERS)))


# --- one after the other ---

PUSHED = 2_000


class Square(Task):
    """Hardly anything to do."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def __call__(self) -> int:
        """The square."""
        return self.number * self.number


def one_after_the_other(swarm: Swarm) -> int:
    """Each task waits for the journey of the one before, and all workers but one have nothing to do."""
    return sum(swarm.push_task(Square(number)).result() for number in range(PUSHED))


def pushed_by_a_generator(swarm: Swarm) -> int:
    """The swarm takes tasks from the generator as it has room, and hands over results as they come."""
    pushed = swarm.push_tasks(Square(number) for number in range(PUSHED))
    return sum(future.result() for future in pushed)


# --- results as dicts of dicts ---

SIDE = 256


def column_as_dict(number: int) -> dict[int, int]:
    """A column of a picture, row by row."""
    return {row: (row * number) % 256 for row in range(SIDE)}


def columns_as_dicts(numbers: range) -> dict[int, dict[int, int]]:
    """Some columns by number."""
    return {number: column_as_dict(number) for number in numbers}


def results_as_dicts(swarm: Swarm) -> bytes:
    """Every number is an object with a key: to be pickled, sent, unpickled and looked up."""
    futures = [swarm.submit(columns_as_dicts, range(start, start + 16)) for start in range(0, SIDE * 16, 16)]
    picture: dict[int, dict[int, int]] = {}
    for future in futures:
        picture.update(future.result())
    return b"".join(bytes(picture[number][row] for row in range(SIDE)) for number in range(SIDE * 16))


def columns_as_bytes(numbers: range) -> bytes:
    """Some columns, one after the other."""
    return b"".join(bytes((row * number) % 256 for row in range(SIDE)) for number in numbers)


def results_as_bytes(swarm: Swarm) -> bytes:
    """A byte is a byte; who knows the order needs no keys. For numbers of all kinds: array, numpy."""
    futures = [swarm.submit(columns_as_bytes, range(start, start + 16)) for start in range(0, SIDE * 16, 16)]
    return b"".join(future.result() for future in futures)


# --- huge results ---

ROWS = 32


def make_row(number: int) -> list[int]:
    """Much that is made where the task runs."""
    return list(range(number, number + 200_000))


def all_results_to_the_client(swarm: Swarm) -> int:
    """Everything travels, so that one process adds it up."""
    futures = [swarm.submit(make_row, number) for number in range(ROWS)]
    return sum(sum(future.result()) for future in futures)


def sum_of_row(number: int) -> int:
    """What is wanted of it."""
    return sum(make_row(number))


def results_reduced_where_they_are(swarm: Swarm) -> int:
    """One number travels. What is left to combine belongs into a task system: that is near the master."""
    futures = [swarm.submit(sum_of_row, number) for number in range(ROWS)]
    return sum(future.result() for future in futures)


# --- one giant at the end ---

SECONDS = (*(0.1 for _ in range(8)), 0.8)


def work_for(seconds: float) -> float:
    """Takes a known time; it sleeps, so that the ratio is that of the order alone."""
    time.sleep(seconds)
    return seconds


def giant_last(swarm: Swarm) -> float:
    """All workers but one are idle while the last one goes on."""
    futures = [swarm.submit(work_for, seconds) for seconds in SECONDS]
    return max(future.result() for future in futures)


def giant_first(swarm: Swarm) -> float:
    """The longest first; the small ones fill what is left. Better still: split the giant."""
    futures = [swarm.submit(work_for, seconds) for seconds in sorted(SECONDS, reverse=True)]
    return max(future.result() for future in futures)


# --- printing ---

LINES = 2_000


def print_each(start: int) -> int:
    """A line for each step, which travels to the client."""
    total = 0
    for number in range(start, start + LINES):
        total += number
        print(f"step {number}: the total is {total}")  # noqa: T201  that is what is measured
    return total


def printing_in_a_loop(swarm: Swarm) -> int:
    """Nobody reads 32,000 lines, and beyond the bound of a task they are left out."""
    futures = [swarm.submit(print_each, start) for start in range(16)]
    return sum(future.result() for future in futures)


def print_once(start: int) -> int:
    """A line for all of it."""
    total = sum(range(start, start + LINES))
    print(f"steps {start} to {start + LINES - 1}: the total is {total}")  # noqa: T201
    return total


def printing_once(swarm: Swarm) -> int:
    """A line says what was done; how far it is belongs to report_progress of a task system."""
    futures = [swarm.submit(print_once, start) for start in range(16)]
    return sum(future.result() for future in futures)


class Pair(NamedTuple):
    """The same, done badly and well.

    Attributes:
        title: What the bad one does.
        bad: What the page shows of it; the last is the function that is run.
        good: The same of the good one.
        raises: What the bad one raises, instead of returning the same result.
        differs: Whether the bad one returns something else, which is wrong.
    """

    title: str
    bad: tuple[Callable[..., Any], ...]
    good: tuple[Callable[..., Any], ...]
    raises: type[Exception] | None = None
    differs: bool = False

    @property
    def is_measured(self) -> bool:
        """Whether both do the same, so that times can be compared."""
        return self.raises is None and not self.differs


PAIRS: dict[str, Pair] = {
    "data": Pair(
        "sends the data of all with every task",
        (letters_of, data_in_every_task),
        (letters_of_shared, data_shared),
    ),
    "tiny": Pair("makes tiny tasks", (square, tiny_tasks), (square, packed_tasks)),
    "push": Pair("waits for each before the next", (Square, one_after_the_other), (Square, pushed_by_a_generator)),
    "dicts": Pair(
        "returns dicts of dicts",
        (column_as_dict, columns_as_dicts, results_as_dicts),
        (columns_as_bytes, results_as_bytes),
    ),
    "huge": Pair(
        "has all results travel",
        (make_row, all_results_to_the_client),
        (make_row, sum_of_row, results_reduced_where_they_are),
    ),
    "giant": Pair("leaves the longest for the end", (work_for, giant_last), (work_for, giant_first)),
    "print": Pair("prints in a tight loop", (print_each, printing_in_a_loop), (print_once, printing_once)),
    "wait": Pair(
        "waits in a task",
        (square, waits_for_others, waiting_in_a_task),
        (square, waiting_where_one_may),
        raises=WouldBlock,
    ),
    "globals": Pair(
        "keeps state in globals", (remember, state_in_globals), (return_it, state_in_results), differs=True
    ),
    "captured": Pair(
        "captures what belongs to a process",
        (capturing_a_lock,),
        (made_in_the_task, making_it_in_the_task),
        raises=PackingError,
    ),
    "effects": Pair(
        "has effects that add up",
        (append_line, effects_that_add_up),
        (write_own_file, effects_that_can_be_repeated),
        differs=True,
    ),
}
