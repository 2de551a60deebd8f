"""The state machine of a slave's workers: by example, and against workers that do whatever they like."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from concurrence.errors import ProtocolError
from concurrence.wire.codec import Frame, Parcel, decode_results, decode_tasks, encode_results, encode_tasks
from concurrence.wire.messages import (
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
    Drained,
    Instruction,
    KillWorker,
    Recorded,
    Seen,
    SendToWorker,
    SendUpstream,
    StartWorker,
    StopChunk,
)
from concurrence.workers.slots import LONGEST_DELAY, Slots

DIGEST = b"0123456789abcdef"
T = TypeVar("T")


def assign(chunk: int, count: int = 2, function: int = 1) -> Parcel[Assign]:
    tasks = [PackedTask(chunk * 100 + index, b"") for index in range(count)]
    return Parcel(Assign(1, chunk, 7, function, 1, count), [encode_tasks(tasks)])


def define(number: int = 1, digest: bytes = DIGEST) -> Parcel[DefineFunction]:
    return Parcel(DefineFunction(1, number, digest, "f", 0, "3.11", [DIGEST], []), [b"blob"])


def results(chunk: int, counters: list[int], buffers: int = 0) -> Parcel[ChunkResults]:
    frames: list[Frame] = [encode_results([PackedResult(b"%d" % counter, buffers) for counter in counters])]
    frames += [b"%d-%d" % (counter, buffer) for counter in counters for buffer in range(buffers)]
    return Parcel(ChunkResults(len(frames), chunk, counters, bytes(len(counters)), 0.1), frames)


def only(instructions: list[Instruction], kind: type[T]) -> list[T]:
    return [instruction for instruction in instructions if isinstance(instruction, kind)]


def upstream(instructions: list[Instruction]) -> list[Any]:
    return [instruction.parcel.message for instruction in only(instructions, SendUpstream)]


def started(workers: int = 1) -> Slots:
    slots = Slots(workers)
    for start in only(slots.start(), StartWorker):
        slots.worker_ready(start.worker)
    slots.define(Parcel(DefineBundle(1, DIGEST), [b"bundle"]))
    slots.define(define())
    return slots


def test_definitions_go_before_the_first_chunk_only() -> None:
    slots = started()
    sent = only(slots.assign(assign(1)), SendToWorker)
    assert [type(p.message) for p in sent[0].parcels] == [DefineBundle, DefineFunction, Assign]
    sent = only(slots.assign(assign(2)), SendToWorker)
    assert [type(p.message) for p in sent[0].parcels] == [Assign]


def test_chunks_go_to_the_idlest_worker_and_wait_beyond_the_window() -> None:
    slots = started(2)
    workers = [only(slots.assign(assign(n)), SendToWorker)[0].worker for n in range(4)]
    assert sorted(workers) == [1, 1, 2, 2]
    assert workers[0] != workers[1]
    assert slots.assign(assign(4)) == []
    out = slots.worker_results(workers[0], results(0, [0, 1]))
    assert [type(i) for i in out] == [SendUpstream, SendToWorker]
    assert slots.held == 4


def test_chunks_beyond_twice_the_credit_are_given_back() -> None:
    slots = started()
    for number in range(4):
        assert not upstream(slots.assign(assign(number)))
    (given_back,) = upstream(slots.assign(assign(9)))
    assert given_back == ChunkResults(1, 9, [900, 901], bytes([RETURNED] * 2), 0.0)


def test_an_unknown_function_is_asked_for_once() -> None:
    slots = started()
    assert upstream(slots.assign(assign(1, function=5))) == [NeedFunction(5)]
    assert upstream(slots.assign(assign(2, function=5))) == []
    assert len(only(slots.define(define(5)), SendToWorker)) == 2


def test_results_are_forwarded_as_they_came() -> None:
    slots = started()
    slots.assign(assign(1))
    whole = results(1, [100, 101])
    (out,) = only(slots.worker_results(1, whole), SendUpstream)
    assert out.parcel is whole
    assert slots.held == 0
    assert slots.worker_results(1, whole) == []


def test_what_was_drained_is_not_forwarded_twice() -> None:
    slots = started()
    slots.assign(assign(1, count=3))
    drained = Drained(1, [Recorded(101, FINISHED, b"early")])
    assert upstream(slots.worker_seen(1, Seen(1, 2, drained)))[0].counters == [101]
    (out,) = only(slots.worker_results(1, results(1, [100, 101, 102], buffers=2)), SendUpstream)
    message = out.parcel.message
    assert isinstance(message, ChunkResults)
    assert message.counters == [100, 102]
    assert [entry.payload for entry in decode_results(out.parcel.frames)] == [b"100", b"102"]
    assert list(out.parcel.frames[1:]) == [b"100-0", b"100-1", b"102-0", b"102-1"]
    assert slots.held == 0


def test_results_that_do_not_fit_are_an_error() -> None:
    slots = started()
    slots.assign(assign(1))
    with pytest.raises(ProtocolError):
        slots.worker_results(1, results(1, [1, 2, 3]))


def test_only_the_running_task_of_a_dead_worker_is_charged() -> None:
    slots = started(2)
    placed = {n: only(slots.assign(assign(n)), SendToWorker)[0].worker for n in range(4)}
    behind = next(n for n, worker in placed.items() if worker == placed[0] and n)
    drained = Drained(0, [Recorded(0, FINISHED, b"done")])
    out = slots.worker_exited(placed[0], Seen(0, 1, drained), "was killed", 5, "last words")
    answered, lost = upstream(out)
    assert answered.counters == [0]
    assert lost == AttemptLost(0, 1, "was killed", 5, "last words")
    assert only(out, StartWorker) == [StartWorker(3, 0.0)]
    assert not only(out, SendToWorker)  # the other worker is full
    (sent,) = only(slots.worker_ready(3), SendToWorker)
    assert sent.parcels[-1].message.chunk == behind  # type: ignore[union-attr]


def test_a_task_that_had_finished_is_not_charged() -> None:
    slots = started()
    slots.assign(assign(1))
    drained = Drained(1, [Recorded(100, FINISHED, b"done")])
    lost = upstream(slots.worker_exited(1, Seen(1, 0, drained), "died", 0, ""))[1]
    assert lost.running is None


def test_loading_the_function_is_charged_to_the_first_task() -> None:
    slots = started()
    slots.assign(assign(1))
    assert upstream(slots.worker_exited(1, Seen(1, None), "died", 0, ""))[0].running == 100


def test_a_chunk_that_keeps_killing_workers_before_it_begins_is_lost() -> None:
    slots = started()
    slots.assign(assign(1))
    assert upstream(slots.worker_exited(1, Seen(), "died", 0, "")) == []
    assert len(only(slots.worker_ready(2), SendToWorker)) == 1
    assert upstream(slots.worker_exited(2, Seen(), "died", 0, "")) == [AttemptLost(1, None, "died")]


def test_workers_that_die_at_start_are_replaced_ever_more_slowly() -> None:
    slots = Slots(1)
    slots.start()
    delays = [only(slots.worker_exited(n, Seen(), "", 0, ""), StartWorker)[0].delay for n in range(1, 12)]
    assert delays[:3] == [0.1, 0.2, 0.4]
    assert delays[-1] == LONGEST_DELAY
    slots.worker_ready(12)
    assert only(slots.worker_exited(12, Seen(), "", 0, ""), StartWorker)[0].delay == 0.0
    assert only(slots.worker_exited(13, Seen(), "", 0, ""), StartWorker)[0].delay == 0.1


def test_taking_back_what_waits_here() -> None:
    slots = started()
    for number in range(3):
        slots.assign(assign(number))
    (returned,) = upstream(slots.take_back(2, kill=False))
    assert (returned.counters, returned.statuses) == ([200, 201], bytes([RETURNED] * 2))
    assert slots.take_back(2, kill=True) == []


def test_taking_back_what_is_at_a_worker() -> None:
    slots = started()
    slots.assign(assign(1, count=4))
    slots.assign(assign(2))
    assert slots.take_back(1, kill=False) == [StopChunk(1, 1)]
    assert slots.take_back(2, kill=False) == [StopChunk(1, 2)]
    assert slots.worker_seen(1, Seen(1, 1)) == []  # too early to tell
    returned = upstream(slots.worker_seen(1, Seen(1, 1, stopped={1, 2})))
    assert [message.counters for message in returned] == [[102, 103], [200, 201]]
    late = upstream(slots.worker_results(1, results(1, [100, 101, 102, 103])))
    assert [message.counters for message in late] == [[100, 101]]
    assert slots.held == 0


def test_cancelling_kills_only_what_runs() -> None:
    slots = started()
    slots.assign(assign(1))
    slots.assign(assign(2))
    slots.take_back(2, kill=True)
    assert only(slots.worker_seen(1, Seen(1, 0, stopped={2})), KillWorker) == []
    slots.take_back(1, kill=True)
    assert only(slots.worker_seen(1, Seen(1, 0, stopped={1})), KillWorker) == [KillWorker(1)]
    assert upstream(slots.worker_exited(1, Seen(1, 0), "killed", 0, ""))[-1].running == 100


def test_what_waits_behind_a_long_chunk_moves_to_an_idle_worker() -> None:
    slots = started(2)
    placed = {n: only(slots.assign(assign(n)), SendToWorker)[0].worker for n in range(4)}
    busy, other = placed[0], 3 - placed[0]
    behind = next(n for n, worker in placed.items() if worker == busy and n)
    assert slots.worker_seen(busy, Seen(0, 0)) == []  # nobody is idle
    for number in [n for n, worker in placed.items() if worker == other]:
        slots.worker_results(other, results(number, [number * 100, number * 100 + 1]))
    assert slots.worker_seen(busy, Seen(0, 0)) == [StopChunk(busy, behind)]
    (sent,) = only(slots.worker_seen(busy, Seen(0, 0, stopped={behind})), SendToWorker)
    assert (sent.worker, [p.message.chunk for p in sent.parcels if isinstance(p.message, Assign)]) == (
        other,
        [behind],
    )
    late = results(behind, [behind * 100, behind * 100 + 1])
    assert slots.worker_results(busy, late) == []
    assert len(upstream(slots.worker_results(other, late))) == 1


def test_abandon_drops_everything() -> None:
    slots = started(2)
    slots.assign(assign(1))
    out = slots.abandon()
    assert only(out, KillWorker) == [KillWorker(1)]
    assert [p.message for i in only(out, SendToWorker) for p in i.parcels] == [ForgetFunction(1)]
    assert slots.held == 0
    assert upstream(slots.worker_exited(1, Seen(1, 0), "killed", 0, "")) == []
    assert upstream(slots.assign(assign(1))) == [NeedFunction(1)]


class FakeWorker:
    """A worker that works step by step, with its cell and its socket."""

    def __init__(self) -> None:
        self.inbox: list[Any] = []
        self.sent: list[Parcel[ChunkResults]] = []
        self.functions: set[int] = set()
        self.stops: set[int] = set()
        self.is_ready = False
        self.chunk: int | None = None
        self.counters: list[int] = []
        self.position = 0
        self.index: int | None = None
        self.recorded: list[int] = []
        self.drained = 0
        self.unsent: list[tuple[int, int]] = []

    def step(self, on_start: Callable[[int, int], None]) -> None:
        if self.index is not None and self.counters[self.index] not in self.recorded:
            self.recorded.append(self.counters[self.index])
            self.unsent.append((self.counters[self.index], FINISHED))
        elif self.chunk is not None and self.position < len(self.counters):
            if self.chunk in self.stops:
                self.unsent += [(counter, RETURNED) for counter in self.counters[self.position :]]
                self.position = len(self.counters)
                self.index = None
                return
            self.index = self.position
            self.position += 1
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
            self.functions.add(message.number)
        elif isinstance(message, ForgetFunction):
            self.functions.discard(message.number)
        elif isinstance(message, Assign):
            assert message.function in self.functions
            self.flush()
            self.chunk, self.position = message.chunk, 0
            self.counters = [task.counter for task in decode_tasks(parcel.frames)]

    def look(self) -> Seen:
        fresh, self.drained = self.recorded[self.drained :], len(self.recorded)
        drained = Drained(self.chunk, [Recorded(counter, FINISHED, b"") for counter in fresh])
        return Seen(self.chunk, self.index, drained, set(self.stops))


class SlotsMachine(RuleBasedStateMachine):
    """Whatever master and workers do, each task is answered once, or lost once."""

    @initialize(is_up=st.booleans())
    def begin(self, is_up: bool) -> None:
        self.slots = Slots(2)
        self.workers: dict[int, FakeWorker] = {}
        self.open: dict[int, set[int]] = {}  # chunk -> tasks that are neither answered nor lost
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
                case SendUpstream(parcel):
                    self.hear(parcel.message)

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

    @rule(count=st.integers(1, 4), function=st.sampled_from([1, 1, 1, 2]))
    def assign(self, count: int, function: int) -> None:
        chunk, self.next_chunk = self.next_chunk, self.next_chunk + 1
        self.open[chunk] = {chunk * 100 + index for index in range(count)}
        self.carry_out(self.slots.assign(assign(chunk, count, function)))

    @rule(function=st.integers(1, 2), version=st.integers(1, 2))
    def define(self, function: int, version: int) -> None:
        self.wanted.discard(function)
        self.carry_out(self.slots.define(define(function, bytes([version]) * 16)))

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

    def teardown(self) -> None:
        if not hasattr(self, "slots"):
            return
        while self.killed:
            self.die_of_a_kill()
        for function in (1, 2):
            self.define(function, 1)
        for _ in range(200):
            for choice in range(2):
                self.ready(choice)
                self.work(choice, 10)
                self.receive(choice)
        assert not any(self.open.values()), "tasks that nobody answered"


SlotsMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
test_whatever_happens = SlotsMachine.TestCase


def test_long_histories() -> None:
    """As above, but longer and busier than what hypothesis likes to draw."""
    for seed in range(150):
        chance = Random(seed)
        machine = SlotsMachine()
        machine.begin(is_up=chance.random() < 0.9)
        one, few = lambda: chance.randrange(2), lambda: chance.randrange(1, 4)
        actions: list[tuple[int, Callable[[], None]]] = [
            (8, lambda: machine.assign(chance.randrange(1, 5), chance.choice([1, 1, 1, 2]))),
            (2, lambda: machine.define(few(), one() + 1)),
            (2, lambda: machine.ready(one())),
            (1, lambda: machine.forget(few())),
            (12, lambda: machine.work(one(), few())),
            (8, lambda: machine.receive(one())),
            (2, lambda: machine.flush(one())),
            (12, lambda: machine.look(one(), chance.randrange(4))),
            (1, lambda: machine.die(one())),
            (3, lambda: machine.killed and machine.die_of_a_kill()),
            (2, lambda: machine.take_back(chance.randrange(1, 7), bool(one()))),
        ]
        weights = [weight for weight, _ in actions]
        for _, action in chance.choices(actions, weights, k=300):
            action()
            machine.is_sane()
        machine.teardown()
