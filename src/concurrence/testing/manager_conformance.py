"""What every task manager has to keep, with real workers; see :mod:`concurrence.testing.conformance`."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pytest

from concurrence.component import Component
from concurrence.errors import ConfigError
from concurrence.nodes.reactor import Reactor
from concurrence.tasks.loading import PYTHON
from concurrence.testing.api import environment
from concurrence.testing.processes import check_none_left, marked
from concurrence.transport.memory import MemoryTransport
from concurrence.transport.security import KeyRing, Role
from concurrence.wire.codec import Parcel, decode_results, decoder_to_slave, encode, encode_tasks
from concurrence.wire.digests import function_digest
from concurrence.wire.messages import (
    CANCELLED,
    EXPIRED,
    FAILED,
    FINISHED,
    KIND_CALL,
    REFUSED,
    RETURNED,
    Assign,
    AttemptLost,
    ChunkResults,
    Claimed,
    DefineFunction,
    Drain,
    FromSlave,
    Message,
    NeedFunction,
    PackedTask,
    TakeBack,
)
from concurrence.workers.api import ITaskManager

PATIENCE = 60.0
_FUNCTIONS: tuple[Callable[..., Any], ...] = (pow, divmod, time.sleep, os._exit)
_SYSTEM = 7


class DrivenManager:
    """A task manager on a poll loop of its own; every message for it passes through the real codec.

    Args:
        manager: The task manager.

    Attributes:
        manager: The task manager.
        heard: What it told the master.
    """

    def __init__(self, manager: ITaskManager) -> None:
        self.manager = manager
        self.heard: list[Parcel[FromSlave]] = []
        self._reactor = Reactor()
        self._decoder = decoder_to_slave()
        manager.start(self._reactor, "slave", self.heard.append)
        self.define_all()

    def define_all(self) -> None:
        """Send the functions that chunks may need, as a master does that has not sent them yet."""
        for number, function in enumerate(_FUNCTIONS, 1):
            self.define(number, function)

    def define(self, number: int, function: Callable[..., Any]) -> None:
        """Send a function under a number."""
        blob, name = pickle.dumps(function), function.__name__
        digest = function_digest(name, KIND_CALL, PYTHON, [], [], blob)
        self.say(DefineFunction(1, number, digest, name, KIND_CALL, PYTHON, [], []), blob)

    def say(self, message: Message, *frames: bytes) -> None:
        """Send it a message, as the master does."""
        for parcel in self._decoder.decode(encode([Parcel(message, frames)])):
            self.manager.handle(parcel)

    def assign(
        self,
        chunk: int,
        function: Callable[..., Any] | int,
        arguments: Sequence[tuple[Any, ...]],
        timeout: float = 0.0,
    ) -> list[int]:
        """Give it a chunk.

        Args:
            chunk: Its number.
            function: One of those that are defined, or a number.
            arguments: Those of each task.
            timeout: Seconds that a task may take; 0 for any number.

        Returns:
            The counters of the tasks.
        """
        message, frame = chunk_of(chunk, function, arguments, timeout)
        self.say(message, frame)
        return [chunk * 1_000 + n for n in range(len(arguments))]

    def ends(self) -> dict[int, tuple[int, Any]]:
        """Status and result of each task that it told of, by counter.

        Raises:
            AssertionError: It told of one twice.
        """
        found: dict[int, tuple[int, Any]] = {}
        for parcel in self.heard:
            message = parcel.message
            if isinstance(message, ChunkResults):
                entries = decode_results(parcel.frames)
                for counter, status, entry in zip(message.counters, message.statuses, entries, strict=True):
                    assert counter not in found, f"task {counter} was told twice"
                    value = pickle.loads(entry.payload) if status == FINISHED else None
                    found[counter] = status, value
        return found

    def statuses(self, counters: Sequence[int]) -> list[int]:
        """How these tasks ended; waits for them."""
        self.until(lambda: self.ends().keys() >= set(counters))
        ends = self.ends()
        return [ends[counter][0] for counter in counters]

    def losses(self) -> list[AttemptLost]:
        """What it told of workers that died over a chunk."""
        return [parcel.message for parcel in self.heard if isinstance(parcel.message, AttemptLost)]

    def until(self, condition: Callable[[], object]) -> None:
        """Turn the loop until a condition holds.

        Raises:
            AssertionError: It does not within a minute.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"nothing came of it; the last that was heard: {self.heard[-3:]}"
            self._reactor.cycle(0.05)

    def pause(self, seconds: float) -> None:
        """Turn the loop for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._reactor.cycle(0.02)

    def close(self) -> None:
        """Stop the manager."""
        self.manager.stop()
        self._reactor.close()


def chunk_of(
    chunk: int, function: Callable[..., Any] | int, arguments: Sequence[tuple[Any, ...]], timeout: float = 0.0
) -> tuple[Assign, bytes]:
    """A chunk as the master sends it: the message and its frame."""
    number = function if isinstance(function, int) else _FUNCTIONS.index(function) + 1
    tasks = [PackedTask(chunk * 1_000 + n, pickle.dumps((each, {}))) for n, each in enumerate(arguments)]
    return Assign(1, chunk, _SYSTEM, number, 1, len(tasks), timeout), encode_tasks(tasks)


class TaskManagerConformance:
    """Inherit it under a name that begins with ``Test``, and say which task manager.

    Attributes:
        manager: The task manager's class.
        components: Further components that it needs.
        overrides: Options, as texts ``section.name=value``. Two workers are enough.
    """

    manager: ClassVar[type[Component]]
    components: ClassVar[Sequence[type[Component]]] = ()
    overrides: ClassVar[Sequence[str]] = ("taskmanager.workers=2",)

    slave: DrivenManager

    @pytest.fixture(autouse=True)
    def _with_workers(self) -> Iterator[None]:
        with environment(self.manager, *self.components, overrides=self.overrides) as opened, marked() as mark:
            made = opened.component(self.manager)
            if not isinstance(made, ITaskManager):
                raise TypeError(f"{self.manager.__name__} is no ITaskManager")
            self.slave = DrivenManager(made)
            try:
                yield
            finally:
                self.slave.close()
            check_none_left(mark)

    def test_it_says_what_it_has(self) -> None:
        """At least one worker, room for a chunk at each, and nothing at the beginning."""
        manager = self.slave.manager
        assert manager.workers >= 1
        assert manager.credit >= manager.workers
        assert manager.chunks == []

    def test_every_task_ends_once_with_its_own_result(self) -> None:
        """As many chunks as it takes at once, all of whose tasks end; then nothing is left."""
        slave = self.slave
        counters: list[int] = []
        for chunk in range(1, slave.manager.credit + 1):
            counters += slave.assign(chunk, pow, [(chunk, n) for n in range(5)])
        assert set(slave.statuses(counters)) == {FINISHED}
        assert all(
            value == (counter // 1_000) ** (counter % 1_000) for counter, (_, value) in slave.ends().items()
        )
        slave.until(lambda: slave.manager.chunks == [])
        assert not slave.losses()

    def test_what_raises_fails_alone(self) -> None:
        """An exception ends its task and no other."""
        counters = self.slave.assign(1, divmod, [(7, 2), (7, 0), (9, 2)])
        assert self.slave.statuses(counters) == [FINISHED, FAILED, FINISHED]

    def test_what_kills_its_worker_is_blamed_and_the_next_go_on(self) -> None:
        """The task that ran is named; a new worker takes the old one's place."""
        slave = self.slave
        for chunk in range(1, 2 * slave.manager.workers + 1):
            (counter,) = slave.assign(chunk, os._exit, [(7,)])
            slave.until(lambda chunk=chunk: any(loss.chunk == chunk for loss in slave.losses()))
            loss = next(loss for loss in slave.losses() if loss.chunk == chunk)
            assert loss.running == counter
            assert loss.text
        assert slave.statuses(slave.assign(100, pow, [(2, 3)])) == [FINISHED]

    def test_a_task_that_takes_too_long_is_ended(self) -> None:
        """Its time-out counts, whatever the task does."""
        assert self.slave.statuses(self.slave.assign(1, time.sleep, [(600,)], timeout=0.3)) == [EXPIRED]
        assert self.slave.statuses(self.slave.assign(2, pow, [(2, 3)])) == [FINISHED]

    def test_what_has_not_started_is_given_back(self) -> None:
        """A chunk that is taken back: what runs ends, the rest is returned, each once."""
        slave = self.slave
        counters = slave.assign(1, time.sleep, [(0.4,)] * 30)
        slave.pause(0.3)
        slave.say(TakeBack(1))
        statuses = slave.statuses(counters)
        assert set(statuses) <= {FINISHED, RETURNED}
        assert statuses.count(RETURNED) > 15
        slave.until(lambda: slave.manager.chunks == [])

    def test_what_is_cancelled_ends_though_it_runs(self) -> None:
        """With ``kill`` the running task is ended too; its worker, or a new one, goes on."""
        slave = self.slave
        (counter,) = slave.assign(1, time.sleep, [(600,)])
        slave.pause(0.3)
        slave.say(TakeBack(1, kill=True))
        slave.until(lambda: counter in slave.ends() or slave.losses())
        if counter in slave.ends():
            assert slave.ends()[counter][0] in (CANCELLED, RETURNED)
        slave.until(lambda: slave.manager.chunks == [])
        assert slave.statuses(slave.assign(2, pow, [(2, 3)])) == [FINISHED]

    def test_one_that_drains_takes_nothing_and_works_again_when_told(self) -> None:
        """What comes while it drains is given back as it came."""
        slave = self.slave
        slave.say(Drain(is_on=True))
        assert set(slave.statuses(slave.assign(1, pow, [(2, 3), (3, 2)]))) == {RETURNED}
        slave.say(Drain(is_on=False))
        assert set(slave.statuses(slave.assign(2, pow, [(2, 3), (3, 2)]))) == {FINISHED}

    def test_a_function_that_is_not_there_is_asked_for(self) -> None:
        """Its chunk waits for the function, while others go on."""
        slave = self.slave
        counters = slave.assign(1, 99, [(2, 3)])
        slave.until(lambda: any(isinstance(each.message, NeedFunction) for each in slave.heard))
        assert slave.statuses(slave.assign(2, pow, [(2, 3)])) == [FINISHED]
        slave.define(99, pow)
        assert slave.statuses(counters) == [FINISHED]

    def test_a_function_that_another_python_packed_is_refused(self) -> None:
        """Its tasks end with the reason, and count as refused: they did not run."""
        blob = pickle.dumps(pow)
        digest = function_digest("pow", KIND_CALL, "2.7", [], [], blob)
        self.slave.say(DefineFunction(1, 98, digest, "pow", KIND_CALL, "2.7", [], []), blob)
        assert self.slave.statuses(self.slave.assign(1, 98, [(2, 3), (3, 2)])) == [REFUSED, REFUSED]

    def test_what_is_abandoned_is_dropped(self) -> None:
        """A master that does not know the slave is told nothing of old work, and sends functions anew."""
        slave = self.slave
        (counter,) = slave.assign(1, time.sleep, [(600,)])
        slave.pause(0.3)
        slave.manager.abandon()
        slave.until(lambda: slave.manager.chunks == [])
        slave.heard.clear()
        slave.define_all()
        assert slave.statuses(slave.assign(2, pow, [(2, 3)])) == [FINISHED]
        assert counter not in slave.ends()

    def test_work_of_a_queue_is_claimed_before_it_ends_or_refused_as_a_whole(self) -> None:
        """A manager either pulls, and says what it pulled, or raises ``ConfigError`` when it is to."""
        slave, keys = self.slave, KeyRing.create()
        with environment() as opened:
            transport = MemoryTransport(opened)
            queue = transport.work_queue("tcp://127.0.0.1:0", keys)
            source = transport.work_source(queue.address, keys.invite(queue.address, Role.SLAVE))
            try:
                slave.manager.attach(source)
            except ConfigError:
                return
            try:
                message, frame = chunk_of(1, pow, [(2, 3)])
                frames = encode([Parcel(message, [frame])])
                slave.until(lambda: queue.send(frames))
                assert slave.statuses([1_000]) == [FINISHED]
                told = [
                    type(each.message) for each in slave.heard if isinstance(each.message, Claimed | ChunkResults)
                ]
                assert told[0] is Claimed
                slave.manager.attach(None)
            finally:
                source.close()
                queue.close()
