"""One private swarm of real processes: what needs several workers, threads, time, or a worker's death."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import concurrence
from concurrence import Swarm, TaskCancelled, TaskError, task
from concurrence.errors import WouldBlock
from concurrence.scripting import pack_flow
from concurrence.testing import swarm as swarm_for_tests


class Display:
    """Keeps what would be shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.last = (0.0, 0.0)

    def say(self, text: str) -> None:
        self.lines.append(text)

    def announce(self, path: Any, what: str) -> None:
        self.lines.append(f"{what}: {path}")

    def output(self, source: str, text: str) -> None:
        self.lines.append(f"{source}: {text}")

    def progress(self, done: float, total: float, text: str) -> None:
        self.last = (done, total)


@pytest.fixture(scope="module")
def display() -> Display:
    return Display()


@pytest.fixture(scope="module")
def swarm(display: Display) -> Generator[Swarm]:
    with concurrence.local_swarm(workers=2, display=display) as swarm:
        yield swarm
        swarm.cancel_all()


def square(n: int) -> int:
    return n * n


def is_made(path: Path) -> bool:
    """Wait until there is such a file."""
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return path.exists()


def die(n: int) -> int:
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def chat(n: int) -> int:
    print("number", n)  # noqa: T201  that is what is tested
    return n


def waits() -> None:
    nothing: list[concurrence.Future[int]] = []
    concurrence.wait(nothing)


def connects() -> None:
    concurrence.connect("client.toml")


def test_submitting_from_many_threads(swarm: Swarm) -> None:
    totals: list[int] = []

    def work(start: int) -> None:
        futures = [swarm.submit(square, n) for n in range(start, start + 200)]
        totals.append(sum(future.result(60) for future in futures) + sum(swarm.map(square, range(200))))

    threads = [threading.Thread(target=work, args=(200 * index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(totals) == sum(n * n for n in range(1200)) + 6 * sum(n * n for n in range(200))


def meet(folder: Path, count: int) -> bool:
    """Wait until so many processes are in the folder."""
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(os.listdir(folder)) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(os.listdir(folder)) == count


def test_both_workers_share_the_tail(swarm: Swarm, tmp_path: Path) -> None:
    assert all(swarm.map(meet, itertools.repeat(tmp_path, 30), itertools.repeat(2)))


def test_behind_a_slow_item_an_iterator_is_not_drained_for_ever(
    swarm: Swarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_flow, "_AHEAD", 1)
    count = itertools.count()
    gate = tmp_path / "gate"

    def pass_gate(n: int) -> None:
        if n == 30:
            gate.touch()
        while not n and not gate.exists():
            time.sleep(0.01)
        time.sleep(0.002 if n else 0.5)

    results = swarm.map(pass_gate, count, pack=1)
    next(results)
    assert 30 < next(count) < 250
    results.cancel()


def test_cancelling_a_task_that_runs(swarm: Swarm) -> None:
    future = swarm.submit(time.sleep, 600)
    with pytest.raises(TimeoutError, match=r"sleep\(600\) has not ended within 0\.3 s; .* with 2 workers"):
        future.result(0.3)
    assert future.cancel()
    with pytest.raises(TaskCancelled):
        future.result(60)
    assert future.cancelled()


def test_what_is_pushed_after_everything_was_cancelled_is_not_cancelled(swarm: Swarm) -> None:
    for n in range(50):
        before = swarm.submit(time.sleep, 600)
        swarm.cancel_all()
        assert swarm.submit(abs, -n).result(60) == n
        assert isinstance(before.exception(60), TaskCancelled)


def test_an_item_that_kills_its_worker_leaves_the_others(swarm: Swarm) -> None:
    results = swarm.map(die, range(8), pack=8)
    taken: list[int] = []
    errors: list[TaskError] = []
    while True:
        try:
            taken.append(next(results))
        except StopIteration:
            break
        except TaskError as error:
            errors.append(error)
    assert taken == [0, 1, 2, 4, 5, 6, 7]
    assert [error.kind for error in errors] == ["worker"]
    assert "SIGKILL" in str(errors[0])


def test_a_time_out_of_a_task_function_holds_for_each_item(swarm: Swarm) -> None:
    results = swarm.map(task(timeout=1)(time.sleep), [0, 600, 0])
    assert next(results) is None
    with pytest.raises(TaskError, match="1 s"):
        next(results)
    assert next(results) is None


def test_the_time_for_a_map(swarm: Swarm) -> None:
    results = swarm.map(time.sleep, [600] * 3, timeout=0.3)
    with pytest.raises(TimeoutError, match="0 of 3 done"):
        list(results)
    results.cancel()
    with pytest.raises(TaskCancelled):
        next(results)


def test_what_tasks_print_arrives(swarm: Swarm, display: Display) -> None:
    assert [swarm.submit(chat, n).result() for n in range(3)] == [0, 1, 2]
    swarm.wait(60)
    for n in range(3):
        assert any(f"chat({n}): number {n}" in line for line in display.lines), display.lines
    done, total = display.last
    assert done == total > 0


def test_workers_may_neither_wait_nor_connect(swarm: Swarm) -> None:
    for function in (connects, waits):
        with pytest.raises(WouldBlock, match="inside a task"):
            swarm.submit(function).result(20)


def test_callbacks_push_what_follows(swarm: Swarm) -> None:
    last: list[int] = []

    def follow(future: concurrence.Future[int]) -> None:
        if future.result() < 1000:
            swarm.submit(square, future.result()).add_done_callback(follow)
        else:
            last.append(future.result())

    swarm.submit(square, 2).add_done_callback(follow)
    swarm.wait(60)
    assert last == [65_536]


def test_large_arrays_there_and_back(swarm: Swarm) -> None:
    arrays = [np.full(100_000, n, dtype=float) for n in range(40)]
    for n, result in enumerate(swarm.map(np.negative, arrays)):
        assert result[0] == -n
        assert len(result) == 100_000


def test_asyncio_goes_on_meanwhile(swarm: Swarm, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def tick() -> None:
        for _ in range(10):
            await asyncio.sleep(0.01)
        gate.touch()

    async def main() -> None:
        ticker = asyncio.create_task(tick())
        assert await asyncio.gather(*(swarm.submit(is_made, gate) for _ in range(4))) == [True] * 4
        await ticker
        endless = swarm.submit(time.sleep, 600)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await endless
        endless.cancel()
        assert [n async for n in swarm.map(square, range(1000))] == [n * n for n in range(1000)]

    asyncio.run(main())


def test_async_with() -> None:
    async def main() -> list[int]:
        async with concurrence.local_swarm(1) as private:
            futures = [private.submit(square, n) for n in range(5)]
        return [future.result() for future in futures]

    assert asyncio.run(main()) == [0, 1, 4, 9, 16]


def test_a_wait_that_takes_too_long_and_cancelling_everything(swarm: Swarm) -> None:
    futures = [swarm.submit(time.sleep, 600) for _ in range(5)]
    results = swarm.map(time.sleep, [600] * 20)
    with pytest.raises(TimeoutError, match=r"not everything has ended within 0\.2 s"):
        swarm.wait(0.2)
    swarm.cancel_all()
    swarm.wait(60)
    assert all(future.cancelled() for future in futures)
    with pytest.raises(TaskCancelled):
        next(results)


class TwoParts(Exception):
    def __init__(self, first: int, second: str) -> None:
        super().__init__(f"{first}{second}")
        self.first = first


def fails_at_3(number: int) -> int:
    if number == 3:
        raise TwoParts(number, "x")
    return number


def test_an_exception_with_an_odd_constructor_comes_from_a_worker(swarm: Swarm) -> None:
    with pytest.raises(TwoParts) as caught:
        list(swarm.map(fails_at_3, range(5)))
    error = caught.value
    assert (str(error), error.first, error.__notes__) == ("3x", 3, ["item 3 of map"])


def test_too_large_an_argument_leads_to_shared() -> None:
    with swarm_for_tests(1, overrides=["transport.max_frame=1MiB"]) as private:
        future = private.submit(len, bytes(3_000_000))
        future.exception(timeout=60)
        error = future.error
    assert error is not None
    assert "exceeds the limit" in error.message
    assert "Shared" in error.hint
