"""The state machine of a slave's workers, against a master and workers that do whatever they like."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from concurrence.wire.codec import Parcel, decode_tasks, encode_results, encode_tasks
from concurrence.wire.messages import (
    CANCELLED,
    FINISHED,
    RETURNED,
    Assign,
    AttemptLost,
    ChunkResults,
    DefineBundle,
    DefineFunction,
    ForgetFunction,
    NeedFunction,
    PackedResult,
    PackedTask,
)
from concurrence.workers.slot_state import (
    DismissWorker,
    Drained,
    Instruction,
    InterruptTask,
    KillWorker,
    Recorded,
    Seen,
    SendToWorker,
    SendUpstream,
    StartWorker,
    StopChunk,
)
from concurrence.workers.slots import Slots


def assign(chunk: int, count: int, function: int, cores: int = 1) -> Parcel[Assign]:
    tasks = [PackedTask(chunk * 100 + index, b"") for index in range(count)]
    return Parcel(Assign(1, chunk, 7, function, 1, count, cores=cores), [encode_tasks(tasks)])


def define(number: int, version: int) -> Parcel[DefineFunction]:
    return Parcel(DefineFunction(1, number, bytes([version]) * 16, "f", 0, "3.11", [bundle(version)], []), [b""])


def bundle(version: int) -> bytes:
    return bytes([version + 100]) * 16


class FakeWorker:
    """A worker that works step by step, with its cell and its socket."""

    def __init__(self) -> None:
        self.inbox: list[Any] = []
        self.sent: list[Parcel[ChunkResults]] = []
        self.functions: dict[int, list[bytes]] = {}
        self.bundles: set[bytes] = set()
        self.stops: set[int] = set()
        self.is_ready = False
        self.chunk: int | None = None
        self.counters: list[int] = []
        self.position = 0
        self.index: int | None = None
        self.recorded: list[int] = []
        self.drained = 0
        self.unsent: list[tuple[int, int]] = []
        self.looks = 0
        self.interrupted: int | None = None

    @property
    def running(self) -> int | None:
        """The chunk of which a task runs right now."""
        is_over = self.index is None or not self.counters or self.counters[self.index] in self.recorded
        return None if is_over else self.chunk

    def step(self, on_start: Callable[[int, int], None]) -> None:
        if self.index is not None and self.counters[self.index] not in self.recorded:
            self.recorded.append(self.counters[self.index])
            was_interrupted = self.interrupted == self.counters[self.index]
            self.unsent.append((self.counters[self.index], CANCELLED if was_interrupted else FINISHED))
        elif self.chunk is not None and self.position < len(self.counters):
            if self.chunk in self.stops:
                self.unsent += [(counter, RETURNED) for counter in self.counters[self.position :]]
                self.position = len(self.counters)
                self.index = None
                return
            self.index = self.position
            self.position += 1
            self.looks = 0
            on_start(self.chunk, self.counters[self.index])
        elif self.chunk is not None and self.counters:
            self.flush()
            self.counters = []
        elif self.inbox:
            self._take(self.inbox.pop(0))

    def flush(self) -> None:
        if self.unsent and self.chunk is not None:
            counters = [counter for counter, _ in self.unsent]
            statuses = bytes(status for _, status in self.unsent)
            frames = [encode_results([PackedResult(b"")] * len(counters))]
            self.sent.append(Parcel(ChunkResults(1, self.chunk, counters, statuses, 0.0), frames))
        self.unsent, self.recorded, self.drained, self.index = [], [], 0, None

    def _take(self, parcel: Any) -> None:
        message = parcel.message
        if isinstance(message, DefineFunction):
            self.functions[message.number] = message.bundles
        elif isinstance(message, DefineBundle):
            self.bundles.add(message.digest)
        elif isinstance(message, ForgetFunction):
            self.functions.pop(message.number, None)
            self.bundles &= {digest for bundles in self.functions.values() for digest in bundles}
        elif isinstance(message, Assign):
            assert self.bundles.issuperset(self.functions[message.function])
            self.flush()
            self.chunk, self.position = message.chunk, 0
            self.counters = [task.counter for task in decode_tasks(parcel.frames)]

    def look(self) -> Seen:
        fresh, self.drained = self.recorded[self.drained :], len(self.recorded)
        drained = Drained(self.chunk, [Recorded(counter, FINISHED, b"") for counter in fresh])
        self.looks += 1
        return Seen(self.chunk, self.index, drained, set(self.stops), self.looks * 0.4)


class SlotsMachine(RuleBasedStateMachine):
    """Whatever master and workers do, each task is answered once, or lost once."""

    @initialize(is_up=st.booleans(), grace=st.sampled_from([0.0, 1.0]), max_tasks=st.sampled_from([0, 5]))
    def begin(self, is_up: bool, grace: float, max_tasks: int) -> None:
        self.slots = Slots(2, grace=grace, max_tasks=max_tasks)
        self.workers: dict[int, FakeWorker] = {}
        self.open: dict[int, set[int]] = {}  # chunk -> tasks that are neither answered nor lost
        self.cores: dict[int, int] = {}
        self.started: set[tuple[int, int]] = set()
        self.returned: set[tuple[int, int]] = set()
        self.wanted: set[int] = set()
        self.killed: set[int] = set()
        self.next_chunk = 1
        self.carry_out(self.slots.start())
        if is_up:
            self.define(1, 1)
            self.ready(0)
            self.ready(1)

    def carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case StartWorker(number):
                    self.workers[number] = FakeWorker()
                case SendToWorker(number, parcels):
                    self.workers[number].inbox.extend(parcels)
                case KillWorker(number):
                    self.killed.add(number)
                case StopChunk(number, chunk):
                    self.workers[number].stops.add(chunk)
                case DismissWorker(number):
                    assert not self.slots.states[number].chunks
                    self.killed.add(number)  # it ends, sooner or later
                case InterruptTask(number, chunk, index, _):
                    assert (chunk, self.open_at(chunk, index)) in self.started, "interrupted what did not start"
                    self.workers[number].interrupted = chunk * 100 + index
                case SendUpstream(parcel):
                    self.hear(parcel.message)

    def open_at(self, chunk: int, index: int) -> int:
        counter = chunk * 100 + index
        assert counter in self.open[chunk], "interrupted what was answered"
        return counter

    def hear(self, message: object) -> None:
        if isinstance(message, NeedFunction):
            assert message.number not in self.wanted
            self.wanted.add(message.number)
        elif isinstance(message, ChunkResults):
            for counter, status in zip(message.counters, message.statuses, strict=True):
                assert counter in self.open[message.chunk], "answered twice"
                self.open[message.chunk].discard(counter)
                if status == RETURNED:
                    assert (message.chunk, counter) not in self.started, "returned what had started"
                    self.returned.add((message.chunk, counter))
        elif isinstance(message, AttemptLost):
            assert self.open[message.chunk], "lost what was answered"
            assert message.running is None or message.running in self.open[message.chunk]
            self.open[message.chunk].clear()

    def on_start(self, chunk: int, counter: int) -> None:
        assert (chunk, counter) not in self.returned, "started what was returned"
        assert (chunk, counter) not in self.started, "started twice under one assignment"
        self.started.add((chunk, counter))

    def read(self, number: int) -> None:
        worker = self.workers[number]
        if worker.is_ready:
            while worker.sent:
                self.carry_out(self.slots.worker_results(number, worker.sent.pop(0)))

    def pick(self, choice: int) -> int:
        return sorted(self.workers)[choice % len(self.workers)]

    @rule(count=st.integers(1, 4), function=st.sampled_from([1, 1, 1, 2]), cores=st.sampled_from([1, 1, 1, 2, 3]))
    def assign(self, count: int, function: int, cores: int) -> None:
        chunk, self.next_chunk = self.next_chunk, self.next_chunk + 1
        self.open[chunk] = {chunk * 100 + index for index in range(count)}
        self.cores[chunk] = cores
        self.carry_out(self.slots.assign(assign(chunk, count, function, cores)))

    @rule(function=st.integers(1, 2), version=st.integers(1, 2))
    def define(self, function: int, version: int) -> None:
        self.wanted.discard(function)
        self.carry_out(self.slots.define(Parcel(DefineBundle(1, bundle(version)), [b"bundle"])))
        self.carry_out(self.slots.define(define(function, version)))

    @rule(function=st.integers(1, 2), version=st.integers(1, 2))
    def define_without_bundle(self, function: int, version: int) -> None:
        if function in self.wanted:
            return  # it would be taken as all there is
        self.carry_out(self.slots.define(define(function, version)))

    @rule(function=st.integers(1, 4))
    def forget(self, function: int) -> None:
        self.carry_out(self.slots.forget(Parcel(ForgetFunction(function))))

    @rule(choice=st.integers(0, 1))
    def ready(self, choice: int) -> None:
        number = self.pick(choice)
        if not self.workers[number].is_ready:
            self.workers[number].is_ready = True
            self.carry_out(self.slots.worker_ready(number))

    @rule(choice=st.integers(0, 1), steps=st.integers(1, 12))
    def work(self, choice: int, steps: int) -> None:
        for _ in range(steps):
            self.workers[self.pick(choice)].step(self.on_start)

    @rule(choice=st.integers(0, 1))
    def flush(self, choice: int) -> None:
        worker = self.workers[self.pick(choice)]
        if worker.index is None or worker.counters[worker.index] in worker.recorded:  # never while a task runs
            worker.flush()

    @rule(choice=st.integers(0, 1))
    def receive(self, choice: int) -> None:
        self.read(self.pick(choice))

    @rule(choice=st.integers(0, 1))
    def wear(self, choice: int) -> None:
        number = self.pick(choice)
        if self.workers[number].is_ready:
            self.carry_out(self.slots.worker_worn(number))

    @rule(choice=st.integers(0, 1), steps=st.integers(0, 8))
    def look(self, choice: int, steps: int) -> None:
        number = self.pick(choice)
        seen = self.workers[number].look()
        for _ in range(steps):  # it goes on while the slave reads
            self.workers[number].step(self.on_start)
        self.read(number)
        for _ in range(steps):
            self.workers[number].step(self.on_start)
        self.carry_out(self.slots.worker_seen(number, seen))

    @rule(choice=st.integers(0, 7))
    def die(self, choice: int) -> None:
        if choice < 2:  # not too often: little happens to workers that never live long
            self.end(self.pick(choice))

    def end(self, number: int) -> None:
        worker = self.workers[number]
        finished = [(worker.chunk, counter) for counter in worker.recorded]
        seen = worker.look()
        self.read(number)
        del self.workers[number]
        self.carry_out(self.slots.worker_exited(number, seen, "died", 0, ""))
        for chunk, counter in finished:
            assert chunk is not None
            assert counter not in self.open.get(chunk, ())

    @precondition(lambda self: self.killed)
    @rule()
    def die_of_a_kill(self) -> None:
        number = self.killed.pop()
        if number in self.workers:
            self.end(number)

    @rule(back=st.integers(1, 6), kill=st.booleans())
    def take_back(self, back: int, kill: bool) -> None:
        self.carry_out(self.slots.take_back(self.next_chunk - back, kill=kill))

    @rule(choice=st.integers(0, 7))
    def abandon(self, choice: int) -> None:
        if choice:
            return
        self.carry_out(self.slots.abandon())
        self.open = {chunk: set() for chunk in self.open}
        self.wanted.clear()

    @invariant()
    def is_sane(self) -> None:
        if hasattr(self, "slots"):
            self.slots.sanity_check()
            assert self.slots.held == sum(bool(tasks) for tasks in self.open.values())
            running = [worker.running for worker in self.workers.values()]
            wide = [chunk for chunk in running if chunk is not None and self.cores[chunk] > 1 and self.open[chunk]]
            assert not wide or running.count(None) == len(running) - 1, "a task has too few workers for itself"

    def teardown(self) -> None:
        if not hasattr(self, "slots"):
            return
        while self.killed:
            self.die_of_a_kill()
        for function in (1, 2):
            self.define(function, 1)
        for _ in range(200):
            for choice in range(len(self.workers)):
                self.ready(choice)
                self.work(choice, 10)
                self.receive(choice)
        assert not any(self.open.values()), "tasks that nobody answered"


SlotsMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
test_whatever_happens = SlotsMachine.TestCase


@pytest.mark.parametrize("first", range(0, 150, 10))
def test_long_histories(first: int) -> None:
    """As above, but longer and busier than what hypothesis likes to draw."""
    for seed in range(first, first + 10):
        play(Random(seed))


def play(chance: Random) -> None:
    machine = SlotsMachine()
    machine.begin(chance.random() < 0.9, chance.choice([0.0, 1.0]), chance.choice([0, 5]))

    wide = chance.choice([[1], [1, 1, 1, 2], [3]])

    def one() -> int:
        return chance.randrange(2)

    def few() -> int:
        return chance.randrange(1, 4)

    actions: list[tuple[int, Callable[[], object]]] = [
        (8, lambda: machine.assign(chance.randrange(1, 5), chance.choice([1, 1, 1, 2]), chance.choice(wide))),
        (2, lambda: machine.define(few(), one() + 1)),
        (1, lambda: machine.define_without_bundle(few(), one() + 1)),
        (2, lambda: machine.ready(one())),
        (1, lambda: machine.forget(few())),
        (12, lambda: machine.work(one(), few())),
        (8, lambda: machine.receive(one())),
        (2, lambda: machine.flush(one())),
        (1, lambda: machine.wear(one())),
        (12, lambda: machine.look(one(), chance.randrange(8))),
        (1, lambda: machine.die(one())),
        (3, lambda: machine.killed and machine.die_of_a_kill()),
        (2, lambda: machine.take_back(chance.randrange(1, 7), bool(one()))),
    ]
    weights = [weight for weight, _ in actions]
    for _, action in chance.choices(actions, weights, k=300):
        action()
        machine.is_sane()
    machine.teardown()
