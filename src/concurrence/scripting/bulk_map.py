"""``swarm.map``: many items in one task, results as they come, input as it is needed."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import length_hint
from queue import Empty
from typing import Any, Self, TypeVar, cast

from concurrence.errors import TaskCancelled, TaskError, UsageError
from concurrence.scripting.bars import weakly
from concurrence.scripting.futures import original, waker
from concurrence.scripting.loop import SwarmLoop
from concurrence.scripting.pack_flow import End, PackFlow
from concurrence.tasks import waiting
from concurrence.tasks.functions import FunctionTask, TaskFunction, callable_name
from concurrence.tasks.packs import Items, PackCall, PackSizing
from concurrence.wire import faults

R = TypeVar("R")


class MapResults(Iterator[R], AsyncIterator[R]):
    """The results of ``map``, as they come.

    An item that raised raises here, at its turn; iterating again goes on behind it.

    Args:
        loop: The swarm's.
        flow: The packs.
        ordered: In the order of the items, or as they come.
        timeout: Seconds from now to the last one; None for as long as it takes.
    """

    def __init__(self, loop: SwarmLoop, flow: PackFlow, *, ordered: bool, timeout: float | None) -> None:
        self._loop = loop
        self._flow = flow
        self._ordered = ordered
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._current: Iterator[R] = iter(cast("list[R]", []))
        self._parts: deque[list[R] | TaskError] = deque()
        self._early: dict[int, End] = {}
        self._next_item = 0
        self._is_over = False
        self._taking = threading.RLock()  # of threads that share the results; an input may take them, too

    @property
    def total(self) -> int | None:
        """How many items there are; None while nobody knows."""
        items = self._flow.items
        return items.taken if items.is_drained else items.total

    @property
    def done(self) -> int:
        """How many items have ended, whether their results were taken or not."""
        return self._flow.done

    def cancel(self) -> None:
        """Take no more input and cancel what is unfinished; whoever iterates gets :class:`TaskCancelled` once."""
        if not self._is_over:
            self._flow.cancel()

    def __len__(self) -> int:
        total = self.total
        if total is None:
            raise TypeError("how many results this map has nobody knows yet: its input does not say")
        return total

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        total = self.total
        return f"<MapResults: {self.done:,} of {'?' if total is None else f'{total:,}'} done>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from concurrence.scripting.html_views import standing_html  # noqa: PLC0415  scripts do not pay for HTML

        return standing_html("MapResults", self._flow.standing(), "done")

    # --- iterating ---

    def __iter__(self) -> Iterator[R]:  # noqa: PYI034  it is faster than self
        # From item to item in C. What is left of the present part is shared with __next__ and further iterators.
        return chain.from_iterable(_Parts(self._next_part))

    def __next__(self) -> R:
        while True:
            for result in self._current:
                return result
            self._next_part()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        try:
            while True:
                for result in self._current:
                    return result
                if not (self._parts or self._loop.is_inline or await self._await_part()):
                    raise StopAsyncIteration
                self._next_part()
        except StopIteration:  # a coroutine cannot raise it
            raise StopAsyncIteration from None

    def _next_part(self) -> Iterator[R]:
        """What is left of the present results, or the next, up to the next item that raised."""
        with self._taking:
            return self._take_part()

    def _take_part(self) -> Iterator[R]:
        if not length_hint(self._current):
            while not self._parts:
                waiting.check("iterating map()", is_done=self._is_over or not self._flow.ends.empty())
                if not self._prepare():
                    raise StopIteration
                try:
                    self._take(self._loop.take(self._flow.ends, self._deadline))
                except Empty:
                    raise self._too_late() from None
            part = self._parts.popleft()
            if isinstance(part, TaskError):
                raise original(part)
            self._current = iter(part)
        return self._current

    async def _await_part(self) -> bool:
        import asyncio  # noqa: PLC0415  a script without coroutines does not pay for it

        while not self._parts:
            if not self._prepare():
                return False
            try:
                self._take(self._flow.ends.get_nowait())
                continue
            except Empty:
                pass
            wake, waiter = waker()
            self._flow.wakers[waiter] = wake
            left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
            try:
                if self._flow.ends.empty():
                    await asyncio.wait_for(waiter, left)
            except TimeoutError:
                raise self._too_late() from None
            finally:
                del self._flow.wakers[waiter]
        return True

    def _prepare(self) -> bool:
        """Take input; False if there is nothing to wait for any more.

        Raises:
            Exception: What the input raised, once everything before it was taken.
            TaskCancelled: The map was cancelled.
        """
        flow = self._flow
        if not (self._is_over or flow.items.is_container):
            # Here, in the consumer's thread: it may be the results of another map.
            flow.fill()
        if self._is_over:
            return False
        if flow.is_cancelled:
            self._is_over = True
            if flow.lost is not None:
                raise flow.lost
            raise TaskCancelled("the map was cancelled", kind=faults.KIND_CANCELLED)
        if flow.is_over and flow.ends.empty():
            self._is_over = True
            if flow.on_over is not None:
                flow.on_over()
            if flow.items.error is not None:
                raise flow.items.error
        return not self._is_over

    def _take(self, end: End | None) -> None:
        if end is None:
            return  # something else has changed
        self._flow.consumed += end.size
        if not self._ordered:
            self._parts.extend(end.parts)
            self._flow.delivered = self._flow.consumed
            return
        self._early[end.start] = end
        while (following := self._early.pop(self._next_item, None)) is not None:
            self._parts.extend(following.parts)
            self._next_item += following.size
        self._flow.delivered = self._next_item

    def _too_late(self) -> TimeoutError:
        return TimeoutError(f"the map did not end within {self._timeout:g} s, {self!r}; {self._loop.describe()}")


class _Parts(Iterator[Iterator[R]]):
    """The parts of results, for ``chain``."""

    def __init__(self, following: Callable[[], Iterator[R]]) -> None:
        self._following = following

    def __next__(self) -> Iterator[R]:
        return self._following()


def start_map(
    loop: SwarmLoop,
    function: Callable[..., R],
    iterables: Sequence[Iterable[Any]],
    *,
    ordered: bool,
    pack: int | None,
    timeout: float | None,
) -> MapResults[R]:
    """Begin to push packs.

    Raises:
        PackingError: The function cannot be pickled.
        UsageError: The arguments mean nothing.
    """
    if not callable(function):
        raise UsageError(f"map was given {function!r:.100} to call, which is no function")
    if not iterables:
        raise UsageError("map was given nothing to call the function with", hint="swarm.map(function, items)")
    if pack is not None and pack < 1:
        raise UsageError(f"a pack of {pack} items is none", hint="pack=1 gives each item a task of its own.")
    options = dict(cast("TaskFunction[..., R]", function).options) if isinstance(function, TaskFunction) else {}
    if options.get("timeout") or options.get("max_retries"):
        if pack not in (None, 1):
            raise UsageError(
                f"pack={pack} and a time-out or retries of the task function exclude each other: those are a "
                "task's, and a pack is one task",
                hint="Leave pack= out: each item is a task of its own then.",
            )
        pack = 1
    call = PackCall(cast("Callable[..., Any]", function), len(iterables) > 1)
    loop.check_task(FunctionTask(call, ([],)))
    try:
        items = Items(iterables)
    except TypeError as error:
        raise UsageError(f"map was given what cannot be iterated: {error}") from error
    flow = PackFlow(loop, call, items, PackSizing(loop.workers, pack), options)
    results: MapResults[R] = MapResults(loop, flow, ordered=ordered, timeout=timeout)
    bar = loop.bars.begin(callable_name(cast("Any", function)).rpartition(":")[2], weakly(flow.standing))
    flow.consumer = weakref.ref(results)
    flow.on_over = bar.end if bar is not None else None
    if waiting.place() is None or (items.is_container and loop.room > 0):
        flow.fill()
    if items.is_container and not items.is_drained:
        loop.add_feed(flow)
    return results
