"""Mapping and pushing through an inline swarm: the real master, executor and codec in this thread."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Generator, Iterator
from typing import Any, assert_type

import numpy as np
import pytest

import concurrence
from concurrence import ITaskMaster, ITaskSystem, Swarm, Task, TaskCancelled, TaskError, task
from concurrence.errors import (
    Backpressure,
    ConcurrenceError,
    ConnectionFailed,
    PackingError,
    UsageError,
    WouldBlock,
)
from concurrence.nodes import room as room_module
from concurrence.scripting import pushed_tasks
from concurrence.scripting.bulk_map import MapResults


@pytest.fixture
def swarm() -> Generator[Swarm]:
    with concurrence.local_swarm(inline=True) as swarm:
        yield swarm


def double(n: int) -> int:
    return 2 * n


def picky(n: int) -> int:
    if n % 10 == 3:
        raise ValueError(f"not {n}")
    return n


def rows(n: int) -> Any:
    return np.full(100_000, n)


def unsendable(n: int) -> Any:
    return threading.Lock() if n == 5 else n


class Double(Task):
    ends: list[int] = []  # noqa: RUF012  of one test

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def __call__(self) -> int:
        return 2 * self.n

    def finished(self, result: Any, error: TaskError | None) -> None:
        self.ends.append(result)


class Summing(ITaskSystem):
    def __init__(self) -> None:
        self.total = 0

    def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
        return (Double(n) for n in range(10))

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        self.total += result
        if result == 2:
            with pytest.raises(WouldBlock, match="inside a task system"):
                concurrence.wait([])

    def gather_result(self, master: ITaskMaster) -> int:
        return self.total


def collect(results: MapResults[Any]) -> tuple[list[Any], list[BaseException]]:
    """All results, and all that was raised."""
    taken: list[Any] = []
    raised: list[BaseException] = []
    while True:
        try:
            taken.append(next(results))
        except StopIteration:
            return taken, raised
        except Exception as error:  # noqa: BLE001  what is raised is what is tested
            raised.append(error)


class TestMap:
    @pytest.mark.parametrize("given", [range(1000), list(range(1000)), dict.fromkeys(range(1000)), "iterator"])
    @pytest.mark.parametrize("pack", [None, 1, 7])
    def test_every_item_once_and_in_order(self, swarm: Swarm, given: Any, pack: int | None) -> None:
        results = swarm.map(double, iter(range(1000)) if given == "iterator" else given, pack=pack)
        assert_type(results, MapResults[int])
        assert list(results) == [2 * n for n in range(1000)]
        assert (len(results), results.done, repr(results)) == (1000, 1000, "<MapResults: 1,000 of 1,000 done>")
        assert list(results) == []

    def test_as_they_come(self, swarm: Swarm) -> None:
        assert sorted(swarm.map(double, range(500), ordered=False)) == [2 * n for n in range(500)]

    def test_many_items_travel_in_few_tasks(self, swarm: Swarm) -> None:
        assert sum(1 for _ in swarm.map(abs, range(100_000))) == 100_000
        assert swarm.counts.finished < 500

    def test_several_iterables(self, swarm: Swarm) -> None:
        assert list(swarm.map(pow, [1, 2, 3], itertools.count(2))) == [1, 8, 81]

    @pytest.mark.parametrize("given", [range(100), "iterator"])
    @pytest.mark.parametrize("pack", [None, 1, 100])
    def test_items_that_raise_raise_at_their_turn(self, swarm: Swarm, given: Any, pack: int | None) -> None:
        results = swarm.map(picky, iter(range(100)) if given == "iterator" else given, pack=pack)
        assert [next(results), next(results), next(results)] == [0, 1, 2]
        with pytest.raises(ValueError, match="not 3") as caught:
            next(results)
        assert "in picky" in str(caught.value.__cause__)
        assert "slave inline, attempt 1)" in str(caught.value.__cause__)
        assert list(itertools.islice(results, 5)) == [4, 5, 6, 7, 8]
        taken, raised = collect(results)
        assert (len(taken), len(raised)) == (82, 9)

    def test_an_iterator_may_be_endless_and_is_drained_only_a_little_ahead(self, swarm: Swarm) -> None:
        count = itertools.count()
        results = swarm.map(double, count, pack=10)
        assert list(itertools.islice(results, 200)) == [2 * n for n in range(200)]
        assert next(count) < 60_000
        with pytest.raises(TypeError, match="nobody knows"):
            len(results)

    def test_one_map_feeds_another(self, swarm: Swarm) -> None:
        assert list(swarm.map(double, swarm.map(double, range(300)))) == [4 * n for n in range(300)]

    def test_an_input_that_fails_raises_after_what_came_before(self, swarm: Swarm) -> None:
        def failing() -> Iterator[int]:
            yield from range(30)
            raise KeyError("input")

        taken, raised = collect(swarm.map(double, failing()))
        assert taken == [2 * n for n in range(30)]
        assert [repr(error) for error in raised] == ["KeyError('input')"]

    def test_arrays(self, swarm: Swarm) -> None:
        matrix = np.random.default_rng(1).random((40, 10_000))
        assert np.allclose(list(swarm.map(np.sum, matrix)), matrix.sum(axis=1))
        assert [row[0] for row in swarm.map(rows, range(30))] == list(range(30))

    @pytest.mark.parametrize("pack", [None, 8])
    def test_an_item_that_cannot_travel_is_named(self, swarm: Swarm, pack: int | None) -> None:
        taken, raised = collect(swarm.map(picky, [0, 1, threading.Lock(), 4], pack=pack))
        assert taken == [0, 1, 4]
        assert isinstance(raised[0], PackingError)
        assert raised[0].message.startswith("item 2 of the input of ")

    def test_a_result_that_cannot_travel_leaves_the_others(self, swarm: Swarm) -> None:
        taken, raised = collect(swarm.map(unsendable, range(10), pack=10))
        assert taken == [0, 1, 2, 3, 4, 6, 7, 8, 9]
        assert len(raised) == 1
        assert "the result is a _thread.lock" in str(raised[0])

    def test_a_function_that_cannot_travel_raises_at_the_call(self, swarm: Swarm) -> None:
        lock = threading.Lock()
        with pytest.raises(PackingError, match="variable 'lock'"):
            swarm.map(lambda n: lock, range(3))

    def test_cancelling(self, swarm: Swarm) -> None:
        results = swarm.map(double, itertools.count())
        assert next(results) == 0
        results.cancel()
        taken, raised = collect(results)
        assert [type(error).__name__ for error in raised] == ["TaskCancelled"]
        assert len(taken) < 100_000

    @pytest.mark.parametrize(
        ("arguments", "options", "text"),
        [
            ((3, [1]), {}, "no function"),
            ((abs,), {}, "nothing to call"),
            ((abs, 3), {}, "cannot be iterated"),
            ((abs, [1]), {"pack": 0}, "a pack of 0"),
            ((task(retries=1)(abs), [1]), {"pack": 5}, "exclude each other"),
        ],
    )
    def test_nonsense(self, swarm: Swarm, arguments: Any, options: Any, text: str) -> None:
        with pytest.raises(UsageError, match=text):
            swarm.map(*arguments, **options)

    def test_options_of_a_task_function_hold_for_each_item(self, swarm: Swarm) -> None:
        assert list(swarm.map(task(retries=1)(double), range(20))) == [2 * n for n in range(20)]
        assert swarm.counts.finished == 20

    def test_asyncio(self, swarm: Swarm) -> None:
        async def main() -> list[int]:
            assert await swarm.submit(double, 4) == 8
            return [result async for result in swarm.map(double, range(50))]

        assert asyncio.run(main()) == [2 * n for n in range(50)]


class TestPush:
    def test_tasks_tell_themselves_and_come_back_as_futures(self, swarm: Swarm) -> None:
        Double.ends.clear()
        pushed = swarm.push_tasks(Double(n) for n in range(300))
        assert sorted(future.result() for future in pushed) == sorted(Double.ends) == [2 * n for n in range(300)]
        mine = Double(7)
        assert swarm.push_task(mine).result() == 14
        assert mine.task_id is not None

    def test_what_is_no_task_is_one_future(self, swarm: Swarm) -> None:
        pushed: Any = [Double(1), 5, Double(2)]
        futures = list(swarm.push_tasks(pushed))
        assert sorted(str(future.error)[:20] for future in futures) == ["'int' was pushed, an", "None", "None"]
        with pytest.raises(UsageError, match="no iterable"):
            swarm.push_tasks(pushed[1])
        with pytest.raises(UsageError, match="only tasks can be"):
            swarm.push_task(pushed[1])

    def test_an_iterable_that_fails_raises_at_its_end(self, swarm: Swarm) -> None:
        def failing() -> Iterator[Task]:
            yield Double(1)
            raise KeyError("tasks")

        pushed = swarm.push_tasks(failing())
        assert next(pushed).result() == 2
        with pytest.raises(KeyError):
            next(pushed)
        assert list(pushed) == []
        assert list(swarm.push_tasks([])) == []

    def test_nobody_needs_to_look(self, swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room_module, "SOURCE_TASKS", 200)
        monkeypatch.setattr(pushed_tasks, "MAX_UNREAD", 300)
        swarm.push_tasks(Double(n) for n in range(2_000))
        drained: list[int] = []

        def generate() -> Iterator[Task]:
            for n in range(2_000):
                drained.append(n)
                yield Double(n)

        kept = swarm.push_tasks(generate())
        for _ in range(3):
            list(swarm.map(double, range(2_000)))
        assert len(drained) < 1_000  # who has the results may still take them
        swarm.wait(60)  # who waits takes none meanwhile
        assert len(drained) == 2_000
        assert sum(1 for _ in kept) == 2_000

    def test_a_task_system_is_one_future(self, swarm: Swarm) -> None:
        future = swarm.push_tasksystem(Summing())
        assert (future.result(), future.task, future.task_id) == (90, None, None)

    def test_a_generator_may_not_wait(self, swarm: Swarm) -> None:
        def waits() -> Iterator[Task]:
            yield Double(swarm.submit(double, 1).result())

        with pytest.raises(WouldBlock, match="an iterable that push_tasks"):
            list(swarm.push_tasks(waits()))

    def test_submit_waits_for_room_but_not_in_callbacks(
        self, swarm: Swarm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room_module, "MAX_PENDING_TASKS", 5)
        raised: list[BaseException] = []

        def push_on(future: concurrence.Future[int]) -> None:
            try:
                for _ in range(6):
                    swarm.submit(double, 1)
            except Backpressure as error:
                raised.append(error)

        futures = [swarm.submit(double, n) for n in range(50)]
        futures[-1].add_done_callback(push_on)
        assert [future.result() for future in futures] == [2 * n for n in range(50)]
        assert "inside a done-callback" in str(raised[0])

    @pytest.mark.parametrize("given", [(3,), (Double(1), 2)])
    def test_what_cannot_be_submitted(self, swarm: Swarm, given: Any) -> None:
        with pytest.raises(UsageError, match="submit was given"):
            swarm.submit(*given)

    def test_futures_and_swarms_cannot_be_arguments(self, swarm: Swarm) -> None:
        for argument in (swarm.submit(double, 1), swarm):
            with pytest.raises(PackingError, match="cannot travel"):
                swarm.submit(repr, argument)

    def test_shared(self, swarm: Swarm) -> None:
        table = swarm.share([1, 2, 3])
        assert list(swarm.map(lambda n: table.value[n], range(3))) == [1, 2, 3]


def test_what_pushed_tasks_look_like() -> None:
    with concurrence.local_swarm(inline=True) as swarm:
        pushed: Any = swarm.push_tasks(Double(n) for n in range(3))
        assert repr(pushed) == "<PushedTasks: 0 of 3 ended>"
        assert len(list(pushed)) == 3
        assert repr(pushed) == "<PushedTasks: 3 of 3 ended>"
        mixed: Any = swarm.push_tasks([Double(1), "no task"])  # type: ignore[list-item]
        swarm.wait()
        shown = mixed._repr_html_()
        assert "<b>PushedTasks</b>" in shown
        assert "2 of 2 ended, 1 failed" in shown


class TestInline:
    def test_tasks_may_neither_wait_nor_connect(self, swarm: Swarm) -> None:
        def waits() -> None:
            concurrence.wait([])

        def connects() -> None:
            concurrence.local_swarm()

        for function in (waits, connects):
            with pytest.raises(WouldBlock, match="inside a task"):
                swarm.submit(function).result()

    def test_a_task_that_can_never_run_does_not_hang(self, swarm: Swarm) -> None:
        with pytest.raises(ConcurrenceError, match=r"nothing left to do|gpu"):
            swarm.submit(task(resources={"gpu": 1})(double), 1).result()
        swarm.close()

    def test_types(self, swarm: Swarm) -> None:
        assert_type(swarm.submit(double, 1), concurrence.Future[int])
        assert_type(swarm.submit(task(double), n=1), concurrence.Future[int])
        assert_type(swarm.submit(Double(1)), concurrence.Future[Any])
        assert_type(swarm.share("x").value, str)


def test_after_the_end_nothing_can_be_pushed() -> None:
    with concurrence.local_swarm(inline=True) as swarm:
        future = swarm.submit(double, 2)
    assert future.result() == 4
    assert "closed" in repr(swarm)
    for call in (lambda: swarm.submit(double, 1), lambda: swarm.push_tasks([]), lambda: swarm.map(abs, [1])):
        with pytest.raises(UsageError, match="the swarm is closed"):
            call()
    swarm.close()


@pytest.mark.parametrize("how", ["close", "cancel_all"])
def test_who_still_takes_results_is_told_of_the_end(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "SOURCE_TASKS", 4)
    with concurrence.local_swarm(inline=True) as swarm:
        results = swarm.map(double, range(1000), pack=1)
        pushed = swarm.push_tasks(Double(n) for n in range(1000))
        assert next(results) == 0
        getattr(swarm, how)()
        with pytest.raises(TaskCancelled):
            list(results)
        assert len(collect(results)[0]) == 0
        ends = list(pushed)
        assert 0 < len(ends) < 1000
        assert ends[-1].cancelled()


def test_an_exception_cancels(caplog: pytest.LogCaptureFixture) -> None:
    futures: list[concurrence.Future[int]] = []
    with pytest.raises(KeyError), concurrence.local_swarm(inline=True) as swarm:  # noqa: PT012
        futures.extend(swarm.submit(double, n) for n in range(3))
        raise KeyError
    assert [future.cancelled() for future in futures] == [True] * 3
    assert "3 unfinished tasks are cancelled after KeyError" in caplog.text


@pytest.mark.parametrize(
    ("options", "error"), [({"workers": 2, "inline": True}, UsageError), ({"workers": 0}, UsageError)]
)
def test_swarms_that_cannot_be(options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        concurrence.local_swarm(**options)
    assert issubclass(ConnectionFailed, ConcurrenceError)
