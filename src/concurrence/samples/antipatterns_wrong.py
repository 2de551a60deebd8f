"""What has to be avoided because it is wrong, not only slow: what is refused, and what has another result.

The functions stand in pairs, as those of :mod:`concurrence.samples.antipatterns`, which lists them.
"""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

from concurrence import Swarm, connect


def square(number: int) -> int:
    """Hardly anything to do."""
    return number * number


# --- waiting ---


def waits_for_others(number: int) -> int:
    """A worker that waits does nothing else: if all wait, nobody works. So it is refused."""
    with connect("client.toml") as swarm:
        return number + swarm.submit(square, number).result()


def waiting_in_a_task(swarm: Swarm) -> int:
    """The same holds for handlers of an application, task systems and done-callbacks."""
    return sum(swarm.submit(waits_for_others, number).result() for number in range(3))


def waiting_where_one_may(swarm: Swarm) -> int:
    """The script may wait; applications react in task_finished()."""
    squares = [swarm.submit(square, number) for number in range(3)]
    return sum(number + future.result() for number, future in enumerate(squares))


# --- global state ---

found: list[int] = []


def remember(number: int) -> None:
    """Appends to a list of the worker's own process, which ends with it."""
    found.append(number)


def state_in_globals(swarm: Swarm) -> list[int]:
    """The script's list stays empty; with inline=True it does not, so that a test of that kind does not help."""
    found.clear()
    for _ in swarm.map(remember, range(100)):
        pass
    return sorted(found)


def return_it(number: int) -> int:
    """What a task knows travels as its result."""
    return number


def state_in_results(swarm: Swarm) -> list[int]:
    """Who owns the tasks keeps the state: the script, the application, or the task system."""
    return sorted(swarm.map(return_it, range(100)))


# --- what does not travel ---


def capturing_a_lock(swarm: Swarm) -> list[int]:
    """A lock, an open file or a connection means something in this process only."""
    lock = threading.Lock()

    def locked(number: int) -> int:
        with lock:
            return number * number

    return list(swarm.map(locked, range(100)))


def made_in_the_task(number: int) -> int:
    """Needs no lock: a worker runs one task at a time. A file is opened here, by its name."""
    with open(os.devnull, "w", encoding="utf-8") as file:
        file.write(f"{number}\n")
    return number * number


def making_it_in_the_task(swarm: Swarm) -> list[int]:
    """What travels is the name."""
    return list(swarm.map(made_in_the_task, range(100)))


# --- effects that add up ---


def append_line(path: str, number: int) -> None:
    """Adds a line; if its slave is lost before the result is told, it is run again, and there are two."""
    with Path(path).open("a") as file:
        file.write(f"{number}\n")


def effects_that_add_up(swarm: Swarm) -> list[int]:
    """A task runs at least once. Here number 3 runs twice, as if its slave had been lost at the end."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/lines"
        for number in (*range(5), 3):
            swarm.submit(append_line, path, number).result()
        return sorted(int(line) for line in Path(path).read_text().split())


def write_own_file(folder: str, number: int) -> None:
    """Writes a file of its own name, whole or not at all: doing so again changes nothing."""
    path = Path(folder) / f"{number}"
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    unfinished.write_text(f"{number}\n")
    unfinished.replace(path)


def effects_that_can_be_repeated(swarm: Swarm) -> list[int]:
    """Better still: return it. A result is told exactly once."""
    with tempfile.TemporaryDirectory() as folder:
        for number in (*range(5), 3):
            swarm.submit(write_own_file, folder, number).result()
        return sorted(int(path.read_text()) for path in Path(folder).iterdir())
