"""The ban on waiting: where code must not wait for results, because the swarm itself would stand still.

Whoever calls the author's code marks the thread for as long as it runs; whatever waits asks before it does. A mark
costs an attribute of a thread, so it may be set per notification.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from concurrence.errors import WouldBlock


class Place(NamedTuple):
    """A place where nobody may wait.

    Attributes:
        name: As in "inside ...".
        cure: What to do instead.
    """

    name: str
    cure: str


HANDLER = Place(
    "a handler of an application",
    "Push further tasks here, and react in task_finished() when they end.",
)
TASK = Place(
    "a task",
    "Push what does not depend on results with push_task(), and return what is known so far; who owns the task "
    "pushes what follows from it, in task_finished(), in a done-callback, or as a task system.",
)
SYSTEM = Place(
    "a task system",
    "Push or return further tasks, and react in task_finished() when they end.",
)
CALLBACK = Place(
    "a done-callback",
    "Give the future that is not done a callback too: future.add_done_callback(...).",
)
SOURCE = Place(
    "an iterable that push_tasks or map drains in the background",
    "Yield tasks or items that are known; push what depends on results from a done-callback. What map is given as "
    "an iterator is drained where its results are taken, and may wait.",
)


class _Here(threading.local):
    place: Place | None = None


_here = _Here()


def place() -> Place | None:
    """Where this thread is; None if it may wait."""
    return _here.place


def enter(where: Place | None) -> Place | None:
    """Mark this thread.

    Returns:
        Where it was: hand that to :func:`leave`.
    """
    before = _here.place
    _here.place = where
    return before


def leave(before: Place | None) -> None:
    """Put the mark back that :func:`enter` returned."""
    _here.place = before


def check(what: str, *, is_done: bool = False) -> None:
    """Refuse to wait where that would block the swarm.

    Handlers, tasks and task systems are refused even what is there already: whether it is would be chance.

    Args:
        what: What was called, as in ``result()``.
        is_done: Whether there is nothing to wait for.

    Raises:
        WouldBlock: It was called from a handler, a callback, a task or a task system.
    """
    where = _here.place
    if where is None or (is_done and where in (CALLBACK, SOURCE)):
        return
    raise WouldBlock(f"{what} was called inside {where.name}, where nobody may wait", hint=where.cure)
