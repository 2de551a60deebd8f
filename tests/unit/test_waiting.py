"""The ban on waiting: where it holds, and what the error says."""

from __future__ import annotations

import threading

import pytest

from concurrence.errors import WouldBlock
from concurrence.tasks import waiting


@pytest.mark.parametrize(
    "place", [waiting.HANDLER, waiting.TASK, waiting.SYSTEM, waiting.CALLBACK, waiting.SOURCE]
)
def test_waiting_is_refused_where_it_would_block(place: waiting.Place) -> None:
    waiting.check("result()")
    before = waiting.enter(place)
    try:
        assert waiting.place() is place
        with pytest.raises(WouldBlock) as caught:
            waiting.check("result()")
        assert f"result() was called inside {place.name}" in caught.value.message
        assert caught.value.hint == place.cure
    finally:
        waiting.leave(before)
    waiting.check("result()")


@pytest.mark.parametrize(
    ("place", "is_refused"), [(waiting.CALLBACK, False), (waiting.SOURCE, False), (waiting.TASK, True)]
)
def test_what_is_done_needs_no_waiting_but_in_tasks_that_would_be_chance(
    place: waiting.Place, is_refused: bool
) -> None:
    before = waiting.enter(place)
    try:
        if is_refused:
            with pytest.raises(WouldBlock):
                waiting.check("result()", is_done=True)
        else:
            waiting.check("result()", is_done=True)
    finally:
        waiting.leave(before)


def test_places_nest_and_belong_to_a_thread() -> None:
    outer = waiting.enter(waiting.SYSTEM)
    inner = waiting.enter(waiting.TASK)
    seen: list[waiting.Place | None] = []
    thread = threading.Thread(target=lambda: seen.append(waiting.place()))
    thread.start()
    thread.join()
    assert seen == [None]
    waiting.leave(inner)
    assert waiting.place() is waiting.SYSTEM
    waiting.leave(outer)
    assert waiting.place() is None
