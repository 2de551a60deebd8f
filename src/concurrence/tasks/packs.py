"""Many items in one task: what ``map`` sends, how many items it sends at once, and how it takes them. Pure.

A task costs some tens of microseconds wherever it runs; a pack pays that once for all of its items.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, NamedTuple, cast

from concurrence.tasks.functions import TaskFunction
from concurrence.tasks.loading import exception_fault
from concurrence.tasks.nursery import nursery
from concurrence.wire.faults import encode_fault

PACK_SECONDS = 0.075
"""What a pack should take: long against its price, short against a person's patience."""

LEAST_SECONDS = 0.004
"""The tail is not spread thinner than this."""

MAX_ITEMS = 262_144
MAX_UNSIZED_ITEMS = 16_384
MAX_PACK_BYTES = 4 * 1024 * 1024
MAX_PACK_PARTS = 200  # items with buffers of their own: each is a frame of the message
_BUFFER_BYTES = 32 * 1024
_MAX_UNDER_WAY = 1_000
_GROWTH = 32  # the first few items may not be like the others
_DRAIN_SECONDS = 0.05
_FAST_SECONDS = 0.002


class PackEnd(NamedTuple):
    """What a pack returns.

    Attributes:
        seconds: What its items took, all together.
        results: One for each item; None where it raised.
        faults: The positions of those that raised, and why, encoded.
        slave: Who ran it; for the owner to fill in.
        attempt: The number of the attempt; the same.
    """

    seconds: float
    results: list[Any]
    faults: list[tuple[int, bytes]]
    slave: str = ""
    attempt: int = 1


class PackCall(TaskFunction[..., Any]):
    """A function that takes a whole pack of items; it travels once for all packs of a ``map``.

    Args:
        function: What is called with each item.
        is_starred: Whether an item is a tuple of arguments.
    """

    def __init__(self, function: Callable[..., Any], is_starred: bool) -> None:
        super().__init__(function, {})
        self.is_starred = is_starred

    def __call__(self, items: Sequence[Any]) -> PackEnd:
        """Run all items; what one raises is its own end, not that of the pack.

        A pack of one raises it: that task's failure then is the item's, with slave, attempt and output.
        """
        function: Callable[..., Any] = self.function
        if isinstance(function, TaskFunction):
            function = cast("TaskFunction[..., Any]", function).function
        results: list[Any] = []
        faults: list[tuple[int, bytes]] = []
        nursery.begin_pack(results.__len__)  # extend makes it longer with each item
        started = time.perf_counter()
        rest = map(_Starred(function) if self.is_starred else function, items)
        while len(results) < len(items):
            try:
                results.extend(rest)  # what came before an exception stays
                if len(results) < len(items):
                    raise StopIteration("the function raised StopIteration")  # noqa: TRY301  extend took it for the end
            except BaseException as error:
                if len(items) == 1:
                    raise
                nursery.drop(len(results))
                faults.append((len(results), encode_fault(exception_fault(error))))
                results.append(None)
        return PackEnd(time.perf_counter() - started, results, faults)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return PackCall, (self.function, self.is_starred)


class _Starred:
    """Calls a function with a tuple of arguments."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, arguments: tuple[Any, ...]) -> Any:
        return self._function(*arguments)


class PackSizing:
    """How many items go into the next pack.

    Args:
        workers: How many run at once.
        fixed: The number that the author wants; None to measure.
    """

    def __init__(self, workers: int, fixed: int | None = None) -> None:
        self.workers = max(1, workers)
        self._fixed = fixed
        self._item_seconds: float | None = None
        self._item_bytes = 0.0
        self._largest = 1

    def observe(self, items: int, seconds: float, result_bytes: float = 0.0) -> None:
        """A pack came back.

        Args:
            items: How many it had.
            seconds: What they took.
            result_bytes: What one result has, roughly.
        """
        sample = max(seconds, 1e-9) / max(1, items)
        mean = self._item_seconds
        self._item_seconds = sample if mean is None else (mean + sample) / 2
        self._item_bytes = max(self._item_bytes, result_bytes)
        self._largest = max(self._largest, items)

    @property
    def under_way(self) -> int:
        """How many packs are pushed before one has to end: enough that no worker waits for the next one."""
        per_worker = 3  # one that runs, one behind it, one on its way
        if self._fixed is not None and self._item_seconds is not None:
            per_worker = int(2 * PACK_SECONDS / (self._fixed * self._item_seconds))
        return self.workers * max(3, min(per_worker, _MAX_UNDER_WAY))

    def next(self, left: int | None, item_bytes: float = 0.0) -> int:
        """How many, at most.

        Args:
            left: Items that are still to be sent; None if nobody knows.
            item_bytes: What one item has, roughly.
        """
        if self._fixed is not None:
            return self._fixed
        if self._item_seconds is None:
            return 1
        count = min(int(PACK_SECONDS / self._item_seconds), self._largest * _GROWTH, MAX_ITEMS)
        if left is None:
            count = min(count, MAX_UNSIZED_ITEMS)
        else:
            # A share of what remains, so that all workers are busy to the end.
            share = -(-left // (2 * self.workers))
            count = min(count, max(share, int(LEAST_SECONDS / self._item_seconds)))
        size = max(item_bytes, self._item_bytes)
        if size > 0:
            count = min(count, int(MAX_PACK_BYTES / size))
        if size >= _BUFFER_BYTES:
            count = min(count, MAX_PACK_PARTS)
        return max(1, count)


class Items:
    """What ``map`` was given, taken pack by pack.

    Args:
        iterables: One, or several that go in parallel.

    Attributes:
        is_container: Whether taking items runs nobody's code and cannot wait: a list, a range, an array.
        is_drained: Whether there are no more.
        error: What the iterable raised; it is drained then.
        taken: How many were taken.
        total: How many there will have been; None if nobody knows.
    """

    def __init__(self, iterables: Sequence[Iterable[Any]]) -> None:
        self.is_drained = False
        self.error: Exception | None = None
        self.taken = 0
        self.is_container = all(_is_container(each) for each in iterables)
        sized = [len(each) for each in iterables if isinstance(each, Sized) and _is_container(each)]
        self.total: int | None = min(sized) if len(sized) == len(iterables) else None
        only: Any = iterables[0] if len(iterables) == 1 else None
        self._slices: Any = _sliceable(only)
        self._iterator: Iterator[Any] = (
            iter(())
            if self._slices is not None
            else iter(only)
            if only is not None
            else zip(*iterables, strict=False)
        )
        self.item_bytes = 0.0
        self._left_over: list[Any] = []
        if self.total == 0:
            self.is_drained = True
        elif self._slices is not None and self.total:
            self.item_bytes = size_of(self._slices) / self.total if _is_array(only) else size_of(self._slices[0])

    @property
    def left(self) -> int | None:
        """How many are to come; None if nobody knows."""
        return None if self.total is None else max(0, self.total - self.taken)

    def take(self, count: int) -> Sequence[Any]:
        """The next items: at most so many, fewer if they come slowly, none if it is drained."""
        if self.is_drained:
            return ()
        if self._slices is not None:
            items: Sequence[Any] = self._slices[self.taken : self.taken + count]
            self.taken += len(items)
            self.is_drained = self.taken >= (self.total or 0)
            return items
        collected, self._left_over = self._left_over, []
        try:
            is_last = self._collect(collected, count)
        except BaseException:  # Ctrl-C, mostly: what was taken by then is not lost
            self._left_over = collected
            raise
        # In this order: whoever sees in another thread that it is drained knows how much there was.
        self.taken += len(collected)
        self.is_drained = self.is_drained or is_last or (self.total is not None and self.taken >= self.total)
        if collected:
            self.item_bytes = max(self.item_bytes, size_of(collected[0]))
        return collected

    def _collect(self, collected: list[Any], count: int) -> bool:
        """Whether there are no more."""
        started = now = time.monotonic()
        burst = 1
        while len(collected) < count and now - started < _DRAIN_SECONDS:
            wanted = min(burst, count - len(collected))
            before = len(collected)
            try:
                collected.extend(islice(self._iterator, wanted))  # what came before an exception stays
            except Exception as error:  # noqa: BLE001  the author's iterable; it is raised in its turn
                self.error = error
                return True
            if len(collected) - before < wanted:
                return True
            before_burst, now = now, time.monotonic()
            if now - before_burst < _FAST_SECONDS:
                burst *= 4
        return False


def size_of(value: Any) -> float:
    """The bytes of a value that says so; 0 for others, which are small more often than not."""
    nbytes: Any = getattr(value, "nbytes", None)
    if isinstance(nbytes, int):
        return float(nbytes)
    if isinstance(value, str | bytes | bytearray):
        return float(len(value))
    if isinstance(value, tuple | list):
        parts = cast("Sequence[Any]", value)
        return sum(size_of(part) for part in parts[:8]) * max(1.0, len(parts) / 8)
    return 0.0


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array_interface__") and bool(getattr(value, "shape", ()))


def _is_container(value: Any) -> bool:
    return isinstance(value, list | tuple | range | str | bytes | dict | set | frozenset) or _is_array(value)


def _sliceable(value: Any) -> Any:
    """What slices give the items of, as they are now; None if it has to be iterated."""
    if type(value) is list:
        return cast("list[Any]", value).copy()  # the author may change it while it is drained
    return value if type(value) in (tuple, range) or _is_array(value) else None
