"""Futures by themselves: states, waiting, callbacks, errors."""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar, assert_type

import pytest

from concurrence.errors import TaskCancelled, TaskError, UsageError, WouldBlock
from concurrence.scripting.completion import as_completed, wait
from concurrence.scripting.futures import Future
from concurrence.tasks import waiting
from concurrence.tasks.functions import FunctionTask

T = TypeVar("T")


class Home:
    """A swarm that ends what the test says."""

    is_inline = False

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.cancelled: list[Future[Any]] = []

    def check_here(self) -> None:
        """It is."""

    def take(self, queue: SimpleQueue[T], deadline: float | None) -> T:
        return queue.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))

    def cancel_future(self, future: Future[Any]) -> None:
        self.cancelled.append(future)

    def describe(self) -> str:
        return "2 tasks are unfinished"

    def future(self) -> Future[int]:
        return Future(self, FunctionTask(abs, (1,)))


@pytest.fixture
def home() -> Home:
    return Home()


def end(future: Future[Any], result: Any = None, error: TaskError | None = None) -> None:
    with future.home.lock:
        callbacks = future.settle(result, error)
    for callback in callbacks or ():
        callback(future)


def later(call: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(0.02, call)
    timer.start()
    return timer


def failure(cause: BaseException | None = None) -> TaskError:
    error = TaskError("it failed", cause=cause, slave="vm", attempt=1, remote_traceback='T\n  File "x.py", line 1')
    error.__cause__ = cause
    return error


def test_a_future_waits_until_another_thread_ends_it(home: Home) -> None:
    future = home.future()
    assert (future.done(), repr(future)) == (False, "<Future abs(1) pending>")
    timer = later(lambda: end(future, 5))
    assert assert_type(future.result(10), int) == 5
    timer.join()
    assert (future.done(), future.cancelled(), future.exception(), future.error) == (True, False, None, None)
    assert repr(future) == "<Future abs(1) finished>"


def test_an_expired_wait_says_what_is_pending(home: Home) -> None:
    with pytest.raises(TimeoutError, match=r"abs\(1\) has not ended within 0\.01 s; 2 tasks are unfinished"):
        home.future().result(0.01)


def test_the_tasks_own_exception_is_raised_and_caused_by_the_rest(home: Home) -> None:
    future = home.future()
    error = failure(ZeroDivisionError("by zero"))
    end(future, None, error)
    with pytest.raises(ZeroDivisionError, match="by zero") as caught:
        future.result()
    assert caught.value.__cause__ is future.error is error
    assert error.__cause__ is None  # no circle
    assert future.exception() is caught.value
    with pytest.raises(ZeroDivisionError) as again:
        future.result()
    text = "".join(traceback.format_exception(again.value))
    assert text.count("it failed (slave vm, attempt 1)") == 1
    assert text.count("futures.py") == 2 * text.count("in result")
    assert repr(future) == "<Future abs(1) failed: it failed>"


@pytest.mark.parametrize("cause", [None, SystemExit(3), KeyboardInterrupt(), StopIteration()])
def test_what_cannot_be_raised_here_is_a_task_error(home: Home, cause: BaseException | None) -> None:
    future = home.future()
    end(future, None, failure(cause))
    with pytest.raises(TaskError, match="it failed"):
        future.result()


def test_a_cancelled_task(home: Home) -> None:
    future = home.future()
    assert future.cancel()
    assert home.cancelled == [future]
    end(future, None, TaskCancelled("cancelled"))
    assert future.cancelled()
    assert not future.cancel()
    with pytest.raises(TaskCancelled):
        future.result()


def test_an_exception_does_not_keep_its_future(home: Home) -> None:
    future = home.future()
    end(future, None, failure(ValueError()))
    gone = weakref.ref(future)
    gc.disable()
    try:
        with pytest.raises(ValueError):  # noqa: PT011
            future.result()
        del future
        assert gone() is None
    finally:
        gc.enable()


def test_callbacks_run_once_in_order_and_may_fail(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    future = home.future()
    seen: list[Any] = []
    future.add_done_callback(lambda each: seen.append(each.result()))
    future.add_done_callback(lambda each: 1 // 0)
    future.add_done_callback(lambda each: seen.append(waiting.place()))
    with caplog.at_level(logging.ERROR):
        end(future, 7)
    future.add_done_callback(lambda each: seen.append("late"))
    assert seen == [7, waiting.CALLBACK, "late"]
    assert "ZeroDivisionError" in caplog.text
    assert waiting.place() is None


def test_a_callback_may_not_wait(home: Home) -> None:
    first, second = home.future(), home.future()
    raised: list[BaseException] = []

    def wait_for_another(each: Future[int]) -> None:
        try:
            second.result()
        except WouldBlock as error:
            raised.append(error)

    first.add_done_callback(wait_for_another)
    end(first)
    assert "inside a done-callback" in str(raised[0])


def test_as_completed_yields_in_the_order_of_ends(home: Home) -> None:
    futures = [home.future() for _ in range(4)]
    end(futures[2])
    completed = as_completed([*futures, futures[0]], timeout=60)
    assert futures.index(next(completed)) == 2
    timer = later(lambda: [end(futures[index]) for index in (3, 0)])
    assert [futures.index(next(completed)) for _ in range(2)] == [3, 0]
    timer.join()
    with pytest.raises(TimeoutError, match="1 of 4 futures have not ended"):
        list(as_completed(futures, timeout=0.05))
    nothing: list[Future[int]] = []
    assert list(as_completed(nothing)) == []


@pytest.mark.parametrize(
    ("when", "expected", "patience"),
    [("FIRST_COMPLETED", 1, 60), ("FIRST_EXCEPTION", 2, 60), ("ALL_COMPLETED", 4, 60), ("ALL_COMPLETED", 3, 0.05)],
)
def test_wait(home: Home, when: Any, expected: int, patience: float) -> None:
    futures = [home.future() for _ in range(4)]
    end(futures[0])
    errors = [None, failure(), None]
    timers = [later(lambda: end(futures[1], None, errors[1]))] if when == "FIRST_EXCEPTION" else []
    if when == "ALL_COMPLETED":
        end(futures[1], None, failure())
        end(futures[2])
        timers += [later(lambda: end(futures[3]))] if expected == 4 else []
    done, not_done = wait(futures, patience, return_when=when)
    for timer in timers:
        timer.join()
    assert (len(done), len(not_done)) == (expected, 4 - expected)
    assert done == set(futures[:expected])


def test_a_future_cannot_travel(home: Home) -> None:
    with pytest.raises(UsageError, match="cannot travel"):
        pickle.dumps(home.future())


def test_awaiting(home: Home) -> None:
    async def main() -> None:
        future = home.future()
        timer = later(lambda: end(future, 3))
        assert await future == 3
        assert await future == 3
        timer.join()
        failed = home.future()
        end(failed, None, failure(KeyError("k")))
        with pytest.raises(KeyError):
            await failed

    asyncio.run(main())


def test_a_cancelled_await_leaves_the_future_alone(home: Home) -> None:
    future = home.future()

    async def main() -> None:
        async def waiter() -> int:
            return await future

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiter(), 0.01)

    asyncio.run(main())
    end(future, 4)
    assert future.result() == 4


def test_looks(home: Home) -> None:
    future = home.future()
    end(future, "<b>")
    assert "&lt;b&gt;" in future._repr_html_()  # pyright: ignore[reportPrivateUsage]  notebooks call it
