"""Waiting for several futures: ``as_completed`` and ``wait``."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Final, Generic, Literal, NamedTuple, TypeVar

from concurrence.errors import UsageError
from concurrence.scripting.futures import Future
from concurrence.tasks import waiting

R = TypeVar("R")

ALL_COMPLETED: Final = "ALL_COMPLETED"
FIRST_COMPLETED: Final = "FIRST_COMPLETED"
FIRST_EXCEPTION: Final = "FIRST_EXCEPTION"


class DoneAndNotDone(NamedTuple, Generic[R]):
    """What :func:`wait` returns."""

    done: set[Future[R]]
    not_done: set[Future[R]]


def as_completed(futures: Iterable[Future[R]], timeout: float | None = None) -> Iterator[Future[R]]:
    """The futures in the order in which their tasks end.

    Args:
        futures: Of one swarm or of several.
        timeout: Seconds from now to the last one.

    Raises:
        TimeoutError: Not all ended in time.
        UsageError: Among them is what is no future.
        WouldBlock: This is a place where nobody may wait.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    return _completions(dict.fromkeys(_checked("as_completed()", futures)), timeout, deadline)


def _completions(
    pending: dict[Future[R], None], timeout: float | None, deadline: float | None
) -> Iterator[Future[R]]:
    queue: SimpleQueue[Future[R]] = SimpleQueue()
    total = len(pending)
    put = queue.put
    for future in pending:
        future.when_done(put)
    try:
        while pending:
            waiting.check("as_completed()", is_done=not queue.empty())
            try:
                future = _take(pending, queue, deadline)
            except Empty:
                home = next(iter(pending)).home
                raise TimeoutError(
                    f"{len(pending)} of {total} futures have not ended within {timeout:g} s; {home.describe()}"
                ) from None
            del pending[future]
            yield future
            del future  # its result may be large, and the next may take long
    finally:
        for future in pending:
            future.forget(put)


def wait(
    futures: Iterable[Future[R]],
    timeout: float | None = None,
    return_when: Literal["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"] = ALL_COMPLETED,
) -> DoneAndNotDone[R]:
    """Wait until all have ended, or one has, or one has failed; or until the time is up.

    Args:
        futures: Of one swarm or of several.
        timeout: Seconds to wait at most.
        return_when: As in :mod:`concurrent.futures`.

    Returns:
        Those that have ended, and those that have not.

    Raises:
        UsageError: The arguments mean nothing.
        WouldBlock: This is a place where nobody may wait.
    """
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise UsageError(
            f"wait() was given return_when={return_when!r}",
            hint=f"It knows {ALL_COMPLETED!r}, {FIRST_COMPLETED!r} and {FIRST_EXCEPTION!r}.",
        )
    everything = set(_checked("wait()", futures))
    for future in everything:
        future.ask()
    done = {future for future in everything if future.done()}
    failed = any(future.error is not None for future in done)
    enough = return_when == FIRST_COMPLETED or (return_when == FIRST_EXCEPTION and failed)
    waiting.check("wait()", is_done=len(done) == len(everything) or (bool(done) and enough))
    if not done or not enough:
        try:
            for future in as_completed(everything - done, timeout):
                done.add(future)
                if return_when == FIRST_COMPLETED or (return_when == FIRST_EXCEPTION and future.error is not None):
                    break
        except TimeoutError:
            pass  # what is not done says it
    return DoneAndNotDone(done, everything - done)


def _take(pending: dict[Future[R], None], queue: SimpleQueue[Future[R]], deadline: float | None) -> Future[R]:
    try:
        return queue.get_nowait()
    except Empty:
        pass
    homes = (future.home for future in pending)
    # Inline swarms work only while somebody waits: they go first, and one swarm is the rule.
    first = next(homes)
    home = first if first.is_inline else next((each for each in homes if each.is_inline), first)
    return home.take(queue, deadline)


def _checked(what: str, futures: Iterable[Future[R]]) -> list[Future[R]]:
    found = list(futures)
    for each in found:
        if not isinstance(each, Future):  # pyright: ignore[reportUnnecessaryIsInstance]  authors need no checker
            raise UsageError(
                f"{what} was given {each!r:.200}, which is no future of a swarm",
                hint="Give it what swarm.submit returned. The results of swarm.map are iterated as they are.",
            )
    return found
