"""A task manager with real workers on a poll loop that a test turns by hand."""

from __future__ import annotations

import heapq
import itertools
import pickle
import selectors
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import cloudpickle
import psutil

from concurrence.component import ComponentManager
from concurrence.env.config import Config
from concurrence.tasks.loading import PYTHON
from concurrence.tasks.values import unpack_result
from concurrence.transport.api import ITimer
from concurrence.wire.codec import (
    Parcel,
    decode_results,
    encode_tasks,
)
from concurrence.wire.digests import function_digest
from concurrence.wire.messages import (
    FINISHED,
    KIND_CALL,
    Assign,
    ChunkResults,
    DefineFunction,
    FromSlave,
    PackedTask,
)
from concurrence.workers.generic import GenericTaskManager

T = TypeVar("T")


class Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class TestReactor:
    """A poll loop that a test turns by hand."""

    __test__ = False

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._calls: dict[int, dict[int, Callable[[], None]]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return time.monotonic()

    def register(self, pollable: Any, on_readable: Callable[[], None]) -> None:
        self._set(pollable, selectors.EVENT_READ, on_readable)

    def watch_writable(self, pollable: Any, on_writable: Callable[[], None] | None) -> None:
        self._set(pollable, selectors.EVENT_WRITE, on_writable)

    def unregister(self, pollable: Any) -> None:
        if self._calls.pop(pollable, None) is not None:
            self._selector.unregister(pollable)

    def call_later(self, delay: float, callback: Callable[[], None]) -> ITimer:
        timer = Timer(callback)
        heapq.heappush(self._timers, (self.now() + delay, next(self._order), timer))
        return timer

    def post(self, callback: Callable[[], None]) -> None:
        self.call_later(0.0, callback)

    @property
    def watched(self) -> int:
        return len(self._calls)

    def cycle(self, longest: float) -> None:
        if self._timers:
            longest = min(longest, max(0.0, self._timers[0][0] - self.now()))
        for key, events in self._selector.select(longest):
            for event in (selectors.EVENT_READ, selectors.EVENT_WRITE):
                call = self._calls.get(key.fd, {}).get(event)
                if events & event and call is not None:
                    call()
        while self._timers and self._timers[0][0] <= self.now():
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                callback()

    def close(self) -> None:
        self._selector.close()

    def _set(self, descriptor: int, event: int, call: Callable[[], None] | None) -> None:
        calls = self._calls.setdefault(descriptor, {})
        if call is None:
            calls.pop(event, None)
        else:
            calls[event] = call
        mask = sum(calls)
        if descriptor in self._selector.get_map():
            self._selector.modify(descriptor, mask)
        else:
            self._selector.register(descriptor, mask)


class Manager(ComponentManager):
    """A component manager with a config."""

    def __init__(self, workers: int, *settings: str) -> None:
        super().__init__()
        self.config = Config.from_layers(overrides=[f"taskmanager.workers={workers}", *settings])


class Slave:
    """A task manager, and what it told the master."""

    def __init__(
        self, workers: int, kind: type[GenericTaskManager] = GenericTaskManager, settings: Sequence[str] = ()
    ) -> None:
        components = Manager(workers, *settings)
        components.register(kind)
        self.manager = components.component(kind)
        self.reactor = TestReactor()
        self.heard: list[Parcel[FromSlave]] = []
        self.manager.start(self.reactor, "testslave", self.heard.append)

    def messages(self, kind: type[T]) -> list[T]:
        return [parcel.message for parcel in self.heard if isinstance(parcel.message, kind)]

    def answers(self) -> dict[int, tuple[int, Any]]:
        """Status and value of every task that was answered."""
        found: dict[int, tuple[int, Any]] = {}
        for parcel in self.heard:
            message = parcel.message
            if isinstance(message, ChunkResults):
                first = 1
                entries = decode_results(parcel.frames)
                for counter, status, entry in zip(message.counters, message.statuses, entries, strict=True):
                    assert counter not in found, f"task {counter} was answered twice"
                    buffers = parcel.frames[first : first + entry.buffers]
                    first += entry.buffers
                    value = unpack_result(entry.payload, buffers) if status == FINISHED else None
                    found[counter] = (status, value)
        return found

    def values(self) -> dict[int, Any]:
        return {counter: value for counter, (_, value) in self.answers().items()}

    def until(self, condition: Callable[[], Any], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"nothing came of it; heard {self.heard[-5:]}"
            self.reactor.cycle(0.1)

    def define(self, function: Callable[..., Any], number: int = 1) -> None:
        self.manager.handle(definition(function, number))

    def assign(self, chunk: int, arguments: Sequence[tuple[Any, ...]], function: int = 1) -> None:
        self.manager.handle(assignment(chunk, arguments, function))

    def close(self) -> None:
        self.manager.stop()
        assert self.reactor.watched == 0
        self.reactor.close()


def definition(function: Callable[..., Any], number: int = 1) -> Parcel[DefineFunction]:
    blob: bytes = cloudpickle.dumps(function)
    digest = function_digest("f", KIND_CALL, PYTHON, [], [], blob)
    return Parcel(DefineFunction(1, number, digest, "f", KIND_CALL, PYTHON, [], []), [blob])


def assignment(chunk: int, arguments: Sequence[tuple[Any, ...]], function: int = 1) -> Parcel[Assign]:
    tasks = [PackedTask(chunk * 1000 + n, pickle.dumps((each, {}), 5)) for n, each in enumerate(arguments)]
    return Parcel(Assign(1, chunk, 7, function, 1, len(tasks)), [encode_tasks(tasks)])


def worker_pids(slave: Slave) -> list[int]:
    """The processes below the template."""
    template = slave.manager.template_pid
    return [child.pid for child in psutil.Process(template).children()] if template else []


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pids: Sequence[int]) -> None:
    deadline = time.monotonic() + 60
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still there: {[pid for pid in pids if is_alive(pid)]}"
        time.sleep(0.01)
