"""What map sends: packs, how large they are, and where their items come from."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from concurrence.tasks.functions import task
from concurrence.tasks.ownership import error_from
from concurrence.tasks.packs import MAX_PACK_BYTES, PACK_SECONDS, Items, PackCall, PackSizing
from concurrence.tasks.values import pack_value, unpack_value


def half(n: int) -> int:
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n // 2


def add(a: int, b: int) -> int:
    return a + b


def stop(n: int) -> int:
    if n == 1:
        raise StopIteration
    return n


def leave(n: int) -> int:
    raise SystemExit(n)


class TestPackCall:
    def test_items_that_raise_do_not_take_the_others_along(self) -> None:
        seconds, results, faults, *_ = PackCall(half, False)([0, 1, 2, 3, 4])
        assert seconds > 0
        assert results == [0, None, 1, None, 2]
        assert [index for index, _ in faults] == [1, 3]
        error = error_from(faults[1][1], "slave", 1)
        assert repr(error.cause) == "ValueError('3 is odd')"
        assert "in half" in error.remote_traceback
        assert "tasks/packs.py" not in error.remote_traceback

    def test_a_pack_of_one_raises(self) -> None:
        with pytest.raises(ValueError, match="1 is odd"):
            PackCall(half, False)([1])

    def test_stop_iteration_ends_an_item_not_the_pack(self) -> None:
        _, results, faults, *_ = PackCall(stop, False)([0, 1, 2])
        assert results == [0, None, 2]
        assert "StopIteration" in error_from(faults[0][1], "", 1).message

    def test_leaving_the_process_is_the_items_failure(self) -> None:
        assert len(PackCall(leave, False)([1, 2]).faults) == 2

    def test_several_arguments(self) -> None:
        assert PackCall(add, True)([(1, 2), (3, 4)]).results == [3, 7]

    def test_it_travels_with_its_function(self) -> None:
        payload, buffers = pack_value(PackCall(task(add), True))
        call = unpack_value(payload, buffers)
        assert type(call) is PackCall
        assert call([(1, 2)]).results == [3]


class TestSizing:
    def test_it_begins_with_one_and_grows_with_what_is_measured(self) -> None:
        sizing = PackSizing(2)
        assert sizing.next(1_000_000) == 1
        sizing.observe(1, 1e-6)
        assert sizing.next(1_000_000) == 32
        sizing.observe(32, 32e-6)
        assert sizing.next(1_000_000) == 1024

    def test_a_pack_takes_a_moment(self) -> None:
        sizing = PackSizing(2)
        for _ in range(20):
            sizing.observe(100, 1.0)
        assert sizing.next(1_000_000) == int(PACK_SECONDS / 0.01)

    def test_long_items_go_alone(self) -> None:
        sizing = PackSizing(2)
        sizing.observe(1, 3.0)
        assert sizing.next(100) == 1

    def test_the_tail_is_spread(self) -> None:
        sizing = PackSizing(4)
        for _ in range(20):
            sizing.observe(1000, 0.001)
        assert sizing.next(80_000) == 10_000
        assert sizing.next(8) <= 8_000

    def test_large_items_and_results_make_small_packs(self) -> None:
        sizing = PackSizing(2)
        sizing.observe(1000, 1e-3)
        assert sizing.next(None, item_bytes=MAX_PACK_BYTES / 4) == 4
        sizing.observe(10, 1e-5, result_bytes=MAX_PACK_BYTES / 2)
        assert sizing.next(None) == 2

    def test_a_fixed_size_is_kept_and_more_are_under_way_if_they_are_short(self) -> None:
        sizing = PackSizing(2, 5)
        assert (sizing.next(1000), sizing.under_way) == (5, 6)
        sizing.observe(5, 5e-4)
        assert (sizing.next(1000), sizing.under_way) == (5, 600)


def drain(items: Items, count: int = 3) -> list[Any]:
    taken: list[Any] = []
    while not items.is_drained:
        taken.extend(items.take(count))
    return taken


class TestItems:
    @pytest.mark.parametrize("given", [range(7), list(range(7)), tuple(range(7)), dict.fromkeys(range(7))])
    def test_containers(self, given: Any) -> None:
        items = Items([given])
        assert (items.is_container, items.total, items.left) == (True, 7, 7)
        assert drain(items) == list(range(7))
        assert (items.taken, items.left) == (7, 0)

    def test_nothing(self) -> None:
        assert Items([[]]).is_drained
        assert Items([{}]).is_drained
        assert drain(Items([iter(())])) == []

    def test_rows_of_an_array_are_a_slice_of_it(self) -> None:
        rows = np.zeros((100, 1000))
        items = Items([rows])
        assert items.item_bytes == 8000
        assert np.shares_memory(items.take(10), rows)

    def test_a_list_is_taken_as_it_is_now(self) -> None:
        given = [1, 2, 3]
        items = Items([given])
        given.clear()
        assert drain(items) == [1, 2, 3]

    def test_the_shortest_of_several_ends_it(self) -> None:
        items = Items([range(5), "abc"])
        assert (items.is_container, items.total) == (True, 3)
        assert drain(items, 2) == [(0, "a"), (1, "b"), (2, "c")]

    def test_iterators_are_drained_as_far_as_needed(self) -> None:
        count = itertools.count()
        items = Items([count])
        assert (items.is_container, items.total) == (False, None)
        assert items.take(4) == [0, 1, 2, 3]
        assert next(count) == 4

    def test_what_came_before_an_exception_is_kept(self) -> None:
        def failing() -> Iterator[int]:
            yield from range(20)
            raise KeyError("input")

        items = Items([failing()])
        assert drain(items, 100) == list(range(20))
        assert repr(items.error) == "KeyError('input')"

    def test_a_slow_iterator_gives_what_it_has(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = itertools.count(step=0.03)
        monkeypatch.setattr(time, "monotonic", lambda: next(clock))
        assert len(Items([itertools.count()]).take(1_000)) == 2
