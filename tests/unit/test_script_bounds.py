"""A script's swarm at its bounds, and when something around it breaks; inline, but for what needs threads."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import itertools
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import concurrence
from concurrence import Swarm
from concurrence.errors import Backpressure, ConnectionFailed, UsageError
from concurrence.nodes import room as room_module
from concurrence.scripting.loop import SwarmLoop
from concurrence.tasks.forks import forks


def double(n: int) -> int:
    return 2 * n


def loop_of(swarm: Swarm) -> SwarmLoop:
    return swarm._loop


@pytest.mark.parametrize("given", ["container", "iterator"])
def test_no_item_is_lost_when_others_take_the_room(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a look at the room and the push another thread may have filled it."""
    turn = itertools.count()
    with concurrence.local_swarm(inline=True) as swarm:
        push = loop_of(swarm).push

        def full_now_and_then(future: Any) -> None:
            if next(turn) % 3 == 0:
                raise Backpressure("full")
            push(future)

        monkeypatch.setattr(loop_of(swarm), "push", full_now_and_then)
        results = swarm.map(double, iter(range(200)) if given == "iterator" else range(200), pack=1)
        assert list(results) == [2 * n for n in range(200)]


def test_ctrl_c_while_a_map_takes_its_input_loses_no_item() -> None:
    hits: list[int] = []

    class Interrupted:
        def __init__(self) -> None:
            self.n = -1

        def __iter__(self) -> Interrupted:
            return self

        def __next__(self) -> int:
            self.n += 1
            if self.n == 425 and not hits:
                hits.append(self.n)
                self.n -= 1
                raise KeyboardInterrupt
            if self.n == 600:
                raise StopIteration
            return self.n

    with concurrence.local_swarm(inline=True) as swarm:
        taken: list[int] = []
        results = swarm.map(double, Interrupted(), pack=50)
        while len(taken) < 600:
            try:
                taken.extend(results)
                break
            except KeyboardInterrupt:
                continue
        assert taken == [2 * n for n in range(600)]
        assert hits == [425]


def test_a_lost_swarm_says_so_to_whoever_iterates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "SOURCE_TASKS", 4)
    swarm = concurrence.local_swarm(inline=True)
    results = swarm.map(double, range(1000), pack=1)
    pushed = swarm.push_tasks(Doubling() for _ in range(1000))
    assert next(results) == 0
    loop_of(swarm).shut(ConnectionFailed("the cable is cut"))
    with pytest.raises(ConnectionFailed, match="the cable is cut"):
        list(results)
    with pytest.raises(ConnectionFailed, match="the cable is cut"):
        list(pushed)
    swarm.close()


class Doubling(concurrence.Task):
    def __call__(self) -> int:
        return 2


class Broken:
    """A display whose stream is closed."""

    def say(self, text: str) -> None:
        raise BrokenPipeError

    def announce(self, path: Path, what: str) -> None:
        raise BrokenPipeError

    def output(self, source: str, text: str) -> None:
        raise BrokenPipeError

    def progress(self, done: float, total: float, text: str) -> None:
        raise BrokenPipeError


def shout(n: int) -> int:
    sys.stdout.write("HERE\n")
    return n


def test_a_display_that_breaks_costs_no_task(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), concurrence.local_swarm(workers=1, display=Broken()) as swarm:
        assert [swarm.submit(shout, n).result(20) for n in range(3)] == [0, 1, 2]
    assert "BrokenPipeError" in caplog.text
    assert caplog.text.count("the output of tasks cannot be shown") == 1


CALLS: list[Callable[[Swarm, Any], object]] = [
    lambda swarm, future: swarm.submit(double, 1),
    lambda swarm, future: swarm.map(double, [1]),
    lambda swarm, future: swarm.push_tasks([]),
    lambda swarm, future: swarm.cancel_all(),
    lambda swarm, future: swarm.wait(1),
    lambda swarm, future: future.cancel(),
    lambda swarm, future: future.add_done_callback(print),
]


@pytest.mark.parametrize("call", CALLS)
def test_in_a_fork_nobody_waits_for_a_lock_that_no_thread_will_release(
    call: Callable[[Swarm, Any], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    swarm = concurrence.local_swarm(inline=True)
    future = swarm.submit(double, 1)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call(swarm, future)
        except UsageError as error:
            raised.append(error)

    with loop_of(swarm)._pushing, loop_of(swarm).lock, monkeypatch.context() as patch:
        patch.setattr(forks, "generation", forks.generation + 1)
        child = threading.Thread(target=run, daemon=True)
        child.start()
        child.join(30)
        assert not child.is_alive()
    assert "was forked" in str(raised[0])
    swarm.close()
