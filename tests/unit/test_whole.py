"""What is pickled by value keeps the name of its file, and the same code gives the same bytes."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable

import pytest

from concurrence.tasks.values import Buffers
from concurrence.tasks.whole import dump_whole


def made(number: int) -> Callable[[int], int]:
    def inner(other: int) -> int:
        added = lambda: number + other  # noqa: E731  nested code
        return added()

    return inner


def test_code_keeps_the_name_of_its_file() -> None:
    again = pickle.loads(dump_whole(made(3)))
    assert again(4) == 7
    nested = [each for each in again.__code__.co_consts if hasattr(each, "co_filename")]
    assert [code.co_filename for code in (again.__code__, *nested)] == [__file__, __file__]


def test_warnings_tell_where_they_are_from() -> None:
    again = pickle.loads(dump_whole(lambda: warnings.warn("careful", stacklevel=1)))
    with pytest.warns(UserWarning, match="careful") as caught:
        again()
    assert caught[0].filename == __file__


def test_the_same_code_gives_the_same_bytes() -> None:
    first, second = made(3), made(3)
    assert dump_whole(first) == dump_whole(second)
    again = pickle.loads(dump_whole(first))
    assert dump_whole(pickle.loads(dump_whole(again))) == dump_whole(again)


def test_large_buffers_may_travel_apart() -> None:
    buffers = Buffers()
    data = dump_whole((made(3), pickle.PickleBuffer(bytes(100_000))), buffers)
    assert len(data) < 10_000
    assert [len(buffer) for buffer in buffers] == [100_000]
