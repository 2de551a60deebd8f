"""The packs of one ``swarm.map``: pushed as the input allows, their ends in a queue."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

from concurrence.errors import (
    Backpressure,
    ConcurrenceError,
    ConnectionFailed,
    PackingError,
    TaskCancelled,
    TaskError,
    UsageError,
)
from concurrence.nodes.progress import Standing
from concurrence.scripting.futures import Future, original
from concurrence.scripting.loop import SwarmLoop
from concurrence.tasks import waiting
from concurrence.tasks.functions import FunctionTask
from concurrence.tasks.ownership import error_from
from concurrence.tasks.packs import Items, PackCall, PackEnd, PackSizing, size_of
from concurrence.tasks.values import describe_error
from concurrence.wire import faults

_AHEAD = 4  # times what is under way may wait to be consumed, of an input whose end nobody knows
_SLOW_SECONDS = 0.1
_log = logging.getLogger(__name__)
_DIVISIBLE = (faults.KIND_RESULT, faults.KIND_WORKER)


class End(NamedTuple):
    """The end of a pack.

    Attributes:
        start: The number of its first item.
        size: How many it has.
        parts: Their results, with the errors of those that failed among them.
    """

    start: int
    size: int
    parts: list[list[Any] | TaskError]


class PackFlow:
    """Pushes packs and collects their ends.

    The items of a container are taken in the thread that drives the swarm, whatever the consumer does; those of an
    iterator in the consumer's, where its code may wait.

    Args:
        loop: The swarm's.
        call: What runs a pack.
        items: The input.
        sizing: How many items a pack has.
        options: Fields of the tasks.

    Attributes:
        ends: The packs that ended; None when something else happened.
        consumed: How many items the consumer has heard of; for the consumer to set.
        delivered: How many of them had their turn; the same.
        done: How many items have ended.
        wakers: Called after each end, in whatever thread.
        consumer: Whoever takes the ends; None once nobody can any more.
        on_over: Called before the last end, and when it is cancelled; perhaps several times, in whatever thread.
        failed: How many items have failed.
        is_cancelled: Whether :meth:`cancel` was called.
        lost: Why the swarm was lost before all was pushed.
    """

    def __init__(
        self, loop: SwarmLoop, call: PackCall, items: Items, sizing: PackSizing, options: Mapping[str, Any]
    ) -> None:
        self.items: Final = items
        self.ends: SimpleQueue[End | None] = SimpleQueue()
        self.consumed = 0
        self.delivered = 0
        self.done = 0
        self.wakers: dict[object, Callable[[object], None]] = {}
        self.consumer: Callable[[], object] = lambda: self
        self.on_over: Callable[[], object] | None = None
        self.failed = 0
        self.is_cancelled = False
        self.lost: ConcurrenceError | None = None
        self._loop = loop
        self._call = call
        self._sizing = sizing
        self._options = options
        self._size = 1
        self._under_way: set[Future[PackEnd]] = set()
        self._held: deque[tuple[int, Sequence[Any]]] = deque()
        self._unheard = 0
        self._first_unheard: TaskError | None = None
        self._filling = threading.RLock()
        self._counting = threading.Lock()

    # --- out ---

    @property
    def is_eager(self) -> bool:
        """Whether it could push at once: it pushes all it may, and goes on when a pack has ended."""
        return False

    @property
    def is_over(self) -> bool:
        """Whether the consumer has heard of everything."""
        return self.items.is_drained and self.consumed >= self.items.taken

    def feed(self) -> bool:
        """In the thread that drives the swarm: push what there is room for; False when the input is drained."""
        # Not blocking: whoever fills at this moment may be waiting for this thread to make room.
        if self._loop.room > 0 and self._filling.acquire(blocking=False):
            try:
                self.fill()
            finally:
                self._filling.release()
        return bool(self._held) or not self.items.is_drained

    def fill(self) -> None:
        """Push packs until enough are under way, or the input is slow."""
        with self._filling:
            items, sizing = self.items, self._sizing
            sizing.workers = self._loop.workers
            started = time.monotonic()
            while self._held and self._has_room():
                self._push_or_fail(*self._held.popleft())
            while not items.is_drained and self._wants_more() and self._has_room():
                start = items.taken
                taken = items.take(sizing.next(items.left, items.item_bytes))
                if len(taken):
                    self._size = len(taken)
                    self._push_or_fail(start, taken)
                if self._under_way and time.monotonic() - started > _SLOW_SECONDS:
                    return  # what is there goes first

    def cancel(self) -> None:
        """Take no more input, and cancel what is under way."""
        self.is_cancelled = self.items.is_drained = True
        for future in list(self._under_way):
            future.cancel()
        self._held.clear()
        self._tell_over()
        self._put(None)

    def standing(self) -> Standing:
        """How far it is."""
        total = self.items.taken if self.items.is_drained and not self.is_cancelled else self.items.total
        return Standing(self.done, self.failed, total, self.is_cancelled)

    def stop(self, lost: ConcurrenceError | None) -> None:
        """The swarm is closed or lost, or everything is cancelled."""
        self.lost = lost
        self.cancel()

    def _has_room(self) -> bool:
        """Whether a push would not be refused; where one may wait it waits instead."""
        return waiting.place() is None or self._loop.room > 0 or self._loop.is_closed

    def _wants_more(self) -> bool:
        most = self._sizing.under_way
        if self.items.total is None and self.items.taken - self.delivered >= _AHEAD * most * self._size:
            return False
        return len(self._under_way) < most

    def _push_or_fail(self, start: int, items: Sequence[Any]) -> None:
        try:
            self._push(start, items)
        except PackingError as error:
            text = error.message.replace("item 0 of argument 0 of", f"item {start} of the input of", 1)
            named = PackingError(text, hint=error.hint)
            self._fail(start, items, TaskError(text, kind="code", cause=named, hint=error.hint))
        except Backpressure:
            # Between the look at the room and the push others were quicker: later.
            self._hold(start, items)
        except UsageError as error:  # the swarm was closed
            self._fail(start, items, TaskError(error.message, kind="code", cause=error, hint=error.hint))

    def _hold(self, start: int, items: Sequence[Any]) -> None:
        self._held.append((start, items))
        if not self.items.is_container:
            self._put(None)  # the consumer pushes them
        elif self.items.is_drained:
            self._loop.resume(self)

    def _push(self, start: int, items: Sequence[Any]) -> None:
        """Push a pack; if it cannot be packed its halves, down to the item that is to blame."""
        future: Future[PackEnd] = Future(self._loop, FunctionTask(self._call, (items,), None, self._options))
        try:
            self._loop.push(future)
        except PackingError:
            if len(items) == 1:
                raise
            self._push_halves(start, items)
            return
        except (KeyboardInterrupt, ConnectionFailed):  # no room came, and nobody wants to wait for it
            self._hold(start, items)
            raise
        self._under_way.add(future)
        if self.is_cancelled:
            future.cancel()
        future.when_done(lambda ended: self._ended(ended, start, items))

    def _push_halves(self, start: int, items: Sequence[Any]) -> None:
        half = len(items) // 2
        self._push_or_fail(start, items[:half])
        self._push_or_fail(start + half, items[half:])

    # --- in ---

    def _ended(self, future: Future[PackEnd], start: int, items: Sequence[Any]) -> None:
        error = future.error
        try:
            if error is None:
                self._finished(future.result(), start)
            elif len(items) > 1 and not self.is_cancelled and _is_divisible(error):
                self._push_halves(start, items)
            else:
                if isinstance(error, TaskCancelled):
                    self.items.is_drained = True
                elif len(items) == 1:
                    error.message = error.message.replace("item 0 of item 1 of the result", "the result", 1)
                _note(error, start, len(items))
                self._fail(start, items, error)
        except Exception as problem:  # noqa: BLE001  whoever waits for these items is told
            text = describe_error(problem)
            self._fail(start, items, TaskError(text, kind=faults.KIND_LOST, cause=problem))
        finally:
            self._under_way.discard(future)

    def _finished(self, end: PackEnd, start: int) -> None:
        seconds, results, problems, slave, attempt = end
        sample = max((size_of(result) for result in results[:4]), default=0.0)
        self._sizing.observe(len(results), seconds, sample)
        parts: list[list[Any] | TaskError] = []
        position = 0
        for index, fault in problems:
            error = error_from(fault, slave, attempt)
            _note(error, start + index)
            parts += [results[position:index], error]
            position = index + 1
        parts.append(results[position:] if position else results)
        self._end(End(start, len(results), parts))

    def _fail(self, start: int, items: Sequence[Any], error: TaskError) -> None:
        self._end(End(start, len(items), [error] * len(items)))

    def _end(self, end: End) -> None:
        with self._counting:  # an item that cannot be packed ends where it is pushed
            self.done += end.size
            self.failed += sum(_is_failure(part) for part in end.parts)
        if self.items.is_drained and self.done >= self.items.taken:
            self._tell_over()
        self._put(end)

    def _tell_over(self) -> None:
        if self.on_over is not None:
            self.on_over()

    def _put(self, end: End | None) -> None:
        if self.consumer() is None:
            self._drop(end)
            return
        self.ends.put(end)
        for wake in list(self.wakers.values()):
            wake(end)

    def _drop(self, end: End | None) -> None:
        """Nobody takes the ends: keep none, and log what failed unless somebody heard of the first ones."""
        self.ends = SimpleQueue()
        failed = [part for part in end.parts if isinstance(part, TaskError)] if end is not None else []
        if failed and not isinstance(failed[0], TaskCancelled):
            self._unheard += len(failed)
            self._first_unheard = self._first_unheard or failed[0]
        error = self._first_unheard
        if error is not None and not self.consumed and self.items.is_drained and self.done >= self.items.taken:
            self._loop.log.error(
                "%d of %d items of a map that nobody looked at failed; the first: %s",
                self._unheard,
                self.done,
                error,
            )
            self._first_unheard = None


def _note(error: TaskError, start: int, count: int = 1) -> None:
    """Say on what will be raised which items it is about."""
    if isinstance(error, TaskCancelled):
        return
    raised = original(error)
    note = f"item {start} of map" if count == 1 else f"items {start} to {start + count - 1} of map"
    try:
        raised.add_note(note)
    except Exception as problem:  # noqa: BLE001  the author's class; without the note it is as good
        _log.debug("%s takes no note: %s", type(raised).__name__, describe_error(problem))


def _is_failure(part: list[Any] | TaskError) -> bool:
    return isinstance(part, TaskError) and not isinstance(part, TaskCancelled)


def _is_divisible(error: TaskError) -> bool:
    """Whether one of the items may be to blame, so that the others are worth another try."""
    too_large = error.kind == faults.KIND_LOST and "not accepted" in error.message
    return error.kind in _DIVISIBLE or too_large
