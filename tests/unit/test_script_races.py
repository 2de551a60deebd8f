"""What may go wrong between the threads of a script: by itself, without a swarm."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import itertools
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

import concurrence
from concurrence import Swarm, Task
from concurrence.errors import UsageError
from concurrence.nodes.display import PlainDisplay
from concurrence.scheduling import functions
from concurrence.scripting.completion import as_completed, wait
from concurrence.scripting.futures import Future
from concurrence.scripting.waiters import Waiters
from concurrence.tasks import packing
from concurrence.tasks.packs import Items


class Vanishing(dict[int, SimpleQueue[None]]):
    """A dictionary from which another thread takes what is left right before it is asked."""

    def popitem(self) -> tuple[int, SimpleQueue[None]]:
        self.clear()
        return super().popitem()


def test_a_waiter_that_gives_up_at_the_moment_it_is_released() -> None:
    waiters = Waiters()
    with waiters.one() as queue:
        waiters._queues = Vanishing(waiters._queues)
        waiters.release()
        assert queue.empty()


class Watched(Items):
    """Notes how many items were taken by the time it says that there are no more."""

    _is_drained = False
    taken_then = 0

    @property
    def is_drained(self) -> bool:
        return self._is_drained

    @is_drained.setter
    def is_drained(self, value: bool) -> None:
        if value and not self._is_drained:
            self.taken_then = self.taken
        self._is_drained = value


@pytest.mark.parametrize("given", [([1, 2, 3], [4, 5, 6]), (dict.fromkeys(range(3)),), (iter(range(3)),)])
def test_another_thread_never_sees_that_all_is_taken_before_it_sees_how_much(given: Any) -> None:
    items = Watched(given)
    assert len(items.take(10)) == 3
    assert (items.is_drained, items.taken_then) == (True, 3)


@pytest.mark.parametrize("given", [[1, 2], [None], [threading.Lock()]])
def test_what_is_no_future_is_refused_with_words(given: list[Any]) -> None:
    for call in (as_completed, wait):
        with pytest.raises(UsageError, match=r"was given .*, which is no future of a swarm"):
            call(given)


def test_a_wait_for_what_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match="return_when='SOMETIMES'"):
        wait([], return_when="SOMETIMES")  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [SystemExit(3), ValueError("no")])
def test_callbacks_may_raise_what_they_like(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    called: list[str] = []

    def bad(future: Future[int]) -> None:
        called.append("bad")
        raise error

    with concurrence.local_swarm(inline=True) as swarm, caplog.at_level(logging.ERROR):
        future = swarm.submit(abs, -1)
        future.add_done_callback(bad)
        future.add_done_callback(lambda _: called.append("good"))
        assert (future.result(), called) == (1, ["bad", "good"])
        assert "a done-callback of <Future abs(-1) finished> raised" in caplog.text
        future.add_done_callback(bad)
    assert called == ["bad", "good", "bad"]


def test_ctrl_c_in_a_callback_loses_no_other_end() -> None:
    """Inline a callback runs in the thread that Ctrl-C arrives in."""

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    with concurrence.local_swarm(inline=True) as swarm:
        concurrence.wait([swarm.submit(abs, n) for n in range(50)])  # now many travel together
        futures = [swarm.submit(abs, n) for n in range(200)]
        told: list[int] = []
        futures[10].add_done_callback(interrupt)
        for future in futures:
            future.add_done_callback(lambda future: told.append(future.result()))
        with pytest.raises(KeyboardInterrupt):
            futures[-1].result()
        swarm.wait()
        assert sorted(told) == list(range(200))
        assert [future.result() for future in futures] == list(range(200))


@pytest.mark.parametrize("given", [range(400), "iterator"])
def test_several_threads_iterate_one_map(given: Any) -> None:
    with concurrence.local_swarm(workers=2) as swarm:
        results = swarm.map(abs, iter(range(400)) if given == "iterator" else given, pack=2)
        taken: list[list[int]] = [[], [], []]
        threads = [threading.Thread(target=part.extend, args=(results,), daemon=True) for part in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert sorted(itertools.chain(*taken)) == list(range(400))


def unlucky(n: int) -> int:
    if n == 3:
        raise ValueError("not 3")
    return n


def test_a_map_that_nobody_has_any_more_says_what_failed(caplog: pytest.LogCaptureFixture) -> None:
    with concurrence.local_swarm(inline=True) as swarm, caplog.at_level(logging.ERROR):
        results = swarm.map(unlucky, range(1000))
        flow = results._flow
        del results
        swarm.wait()
        assert (flow.done, flow.failed) == (1000, 1)
        assert flow.ends.qsize() <= 1
        assert "not 3" in caplog.text


def giving(n: int) -> Callable[[], int]:
    return lambda: n


def test_more_functions_at_once_than_an_owner_may_define(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those beyond travel with their tasks."""
    monkeypatch.setattr(packing, "_MAX_FUNCTIONS", 30)
    monkeypatch.setattr(functions, "MAX_FUNCTIONS", 40)
    with concurrence.local_swarm(inline=True) as swarm:
        futures = [swarm.submit(giving(n)) for n in range(100)]
        assert sum(future.result() for future in futures) == sum(range(100))
        futures.clear()
        assert swarm.submit(lambda: 7).result() == 7


def test_a_generator_that_exits_does_not_end_the_swarm() -> None:
    def tasks() -> Iterator[Any]:
        yield Task()
        sys.exit(3)

    with concurrence.local_swarm(workers=1) as swarm:
        pushed = swarm.push_tasks(tasks())
        with pytest.raises(SystemExit):
            list(pushed)
        assert swarm.submit(abs, -1).result(60) == 1


def test_whoever_waits_for_the_swarm_lets_an_unread_push_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrence.nodes import room  # noqa: PLC0415
    from concurrence.scripting import pushed_tasks  # noqa: PLC0415

    monkeypatch.setattr(pushed_tasks, "MAX_UNREAD", 50)
    monkeypatch.setattr(room, "SOURCE_TASKS", 100)

    with concurrence.local_swarm(workers=1, display=Silent()) as swarm:
        for drop in (False, True):
            pushed: Any = swarm.push_tasks(Task1() for _ in range(1000))
            settle(swarm)
            assert 50 <= pushed._feed.ended.qsize() < 500
            if drop:
                pushed = None
            swarm.wait(60)
        assert swarm.counts.finished == 2000


class Task1(Task):
    def __call__(self) -> int:
        return 1


class Silent(PlainDisplay):
    """Shows no bars."""


def settle(swarm: Swarm) -> None:
    """Wait until nothing is under way, though there is more to push."""
    import time  # noqa: PLC0415

    deadline = time.monotonic() + 60
    calm = 0
    while calm < 20 and time.monotonic() < deadline:
        calm = calm + 1 if not swarm._loop.unfinished else 0
        time.sleep(0.01)
    assert calm == 20
