"""The state machine of a slave's workers: by example, and against workers that do whatever they like."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import pytest

from concurrence.errors import ProtocolError
from concurrence.wire.codec import Frame, Parcel, decode_results, encode_results, encode_tasks
from concurrence.wire.messages import (
    CANCELLED,
    EXPIRED,
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
    LONGEST_DELAY,
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

DIGEST = b"0123456789abcdef"
T = TypeVar("T")


def assign(chunk: int, count: int = 2, function: int = 1) -> Parcel[Assign]:
    tasks = [PackedTask(chunk * 100 + index, b"") for index in range(count)]
    return Parcel(Assign(1, chunk, 7, function, 1, count), [encode_tasks(tasks)])


def bundle(digest: bytes = DIGEST) -> Parcel[DefineBundle]:
    return Parcel(DefineBundle(1, digest), [b"bundle"])


def define(number: int = 1, digest: bytes = DIGEST, needed: bytes = DIGEST) -> Parcel[DefineFunction]:
    return Parcel(DefineFunction(1, number, digest, "f", 0, "3.11", [needed], []), [b"blob"])


def forget(number: int) -> Parcel[ForgetFunction]:
    return Parcel(ForgetFunction(number))


def results(chunk: int, counters: list[int], buffers: int = 0) -> Parcel[ChunkResults]:
    frames: list[Frame] = [encode_results([PackedResult(b"%d" % counter, buffers) for counter in counters])]
    frames += [b"%d-%d" % (counter, buffer) for counter in counters for buffer in range(buffers)]
    return Parcel(ChunkResults(len(frames), chunk, counters, bytes(len(counters)), 0.1), frames)


def timed(chunk: int, timeout: float) -> Parcel[Assign]:
    parcel = assign(chunk)
    return Parcel(msgspec.structs.replace(parcel.message, timeout=timeout), parcel.frames)


def only(instructions: list[Instruction], kind: type[T]) -> list[T]:
    return [instruction for instruction in instructions if isinstance(instruction, kind)]


def upstream(instructions: list[Instruction]) -> list[Any]:
    return [instruction.parcel.message for instruction in only(instructions, SendUpstream)]


def started(workers: int = 1) -> Slots:
    slots = Slots(workers)
    for start in only(slots.start(), StartWorker):
        slots.worker_ready(start.worker)
    slots.define(bundle())
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


def kinds(instructions: list[Instruction]) -> list[list[type]]:
    """Of all that goes to workers, what it is."""
    return [[type(p.message) for p in sent.parcels] for sent in only(instructions, SendToWorker)]


def test_a_bundle_is_kept_while_a_function_needs_it_and_then_asked_for() -> None:
    slots = started()
    slots.define(define(2))
    slots.assign(assign(1))
    slots.worker_results(1, results(1, [100, 101]))
    slots.forget(forget(1))
    # The worker dropped the bundle together with its only function that needed it; here it is still needed.
    assert kinds(slots.assign(assign(2, function=2))) == [[DefineBundle, DefineFunction, Assign]]
    slots.worker_results(1, results(2, [200, 201]))
    slots.forget(forget(2))
    assert slots.define(define(3)) == []  # the master believes that the bundle is here
    out = slots.assign(assign(3, function=3))
    assert upstream(out) == [NeedFunction(3)]
    assert kinds(out) == []
    slots.define(bundle())
    assert kinds(slots.define(define(3))) == [[DefineBundle, DefineFunction, Assign]]
    slots.sanity_check()


def test_a_worker_keeps_bundles_that_others_of_its_functions_need() -> None:
    slots = started()
    slots.define(define(2))
    slots.define(define(3))
    for number in (1, 2):
        slots.assign(assign(number, function=number))
        slots.worker_results(1, results(number, [number * 100, number * 100 + 1]))
    slots.forget(forget(1))
    assert kinds(slots.assign(assign(3, function=3))) == [[DefineFunction, Assign]]


def test_an_incomplete_definition_before_the_answer_does_not_release_what_waits() -> None:
    slots = started()
    slots.forget(forget(1))
    assert upstream(slots.assign(assign(1, function=4))) == [NeedFunction(4)]
    assert upstream(slots.define(define(4))) == [
        NeedFunction(4, define(4).message.bundles)
    ]  # it crossed the question
    assert kinds(slots.define(define(4))) == []  # the answer to the first question
    slots.define(bundle())
    assert kinds(slots.define(define(4))) == [[DefineBundle, DefineFunction, Assign]]


def test_a_definition_that_stays_incomplete_goes_to_a_worker_that_says_so() -> None:
    slots = started()
    slots.forget(forget(1))
    slots.define(define(4))
    slots.assign(assign(1, function=4))
    for _ in range(2):
        assert kinds(slots.define(define(4))) == []
    assert kinds(slots.define(define(4))) == [[DefineFunction, Assign]]


def test_an_incomplete_definition_of_other_code_takes_the_place_of_the_old() -> None:
    slots = started()
    slots.assign(assign(1))
    slots.worker_results(1, results(1, [100, 101]))
    assert kinds(slots.define(define(1, b"another digest!!", needed=b"another bundle!!"))) == [[ForgetFunction]]
    assert upstream(slots.assign(assign(2))) == [NeedFunction(1)]


def test_results_are_forwarded_as_they_came() -> None:
    slots = started()
    slots.assign(assign(1))
    whole = results(1, [100, 101])
    (out,) = only(slots.worker_results(1, whole), SendUpstream)
    assert out.parcel is whole
    assert slots.held == 0
    assert slots.worker_results(1, whole) == []


def test_what_is_left_of_a_chunk() -> None:
    slots = started()
    slots.assign(assign(1, count=3))
    assert slots.left(1) == [100, 101, 102]
    slots.worker_results(1, results(1, [101]))
    assert slots.left(1) == [100, 102]
    slots.worker_results(1, results(1, [100, 102]))
    assert slots.left(1) == []


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


@pytest.mark.parametrize("body", [b"rubbish", encode_tasks([PackedTask(100, b"")])])
def test_a_malformed_chunk_is_refused_where_it_enters(body: bytes) -> None:
    slots = started()
    with pytest.raises(ProtocolError):
        slots.assign(Parcel(Assign(1, 1, 7, 1, 1, 2), [body]))
    assert (slots.held, slots.take_back(1, kill=True)) == (0, [])
    assert slots.worker_seen(1, Seen(1, 0)) == []


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
    assert upstream(slots.worker_exited(2, Seen(), "died", 0, "")) == [AttemptLost(1, None, "died", begun=False)]


def test_workers_that_die_at_start_are_replaced_ever_more_slowly() -> None:
    slots = Slots(1)
    slots.start()
    delays = [only(slots.worker_exited(n, Seen(), "", 0, ""), StartWorker)[0].delay for n in range(1, 12)]
    assert delays[:3] == [0.1, 0.2, 0.4]
    assert delays[-1] == LONGEST_DELAY
    slots.worker_ready(12)
    assert only(slots.worker_exited(12, Seen(), "", 0, ""), StartWorker)[0].delay == 0.0
    assert only(slots.worker_exited(13, Seen(), "", 0, ""), StartWorker)[0].delay == 0.1


def test_what_waits_where_no_worker_comes_up_is_given_back_as_lost() -> None:
    slots = Slots(2)
    slots.start()
    slots.define(bundle())
    slots.define(define())
    slots.assign(assign(1))
    assert upstream(slots.worker_exited(1, Seen(), "died at start", 0, "")) == []
    assert upstream(slots.worker_exited(2, Seen(), "died at start", 0, "")) == []
    lost = upstream(slots.worker_exited(3, Seen(), "died at start", 0, "its words"))
    assert lost == [AttemptLost(1, None, "died at start", begun=False)]
    assert slots.held == 0
    slots.assign(assign(2))
    slots.worker_ready(4)
    assert upstream(slots.worker_exited(5, Seen(), "died at start", 0, "")) == []
    slots.sanity_check()


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


def test_what_began_before_it_could_move_stays_and_gives_back_the_rest() -> None:
    slots = started(2)
    slots.assign(assign(1))
    slots.assign(assign(2))
    slots.assign(assign(3))
    slots.worker_results(2, results(2, [200, 201]))
    assert slots.worker_seen(1, Seen(1, 0)) == [StopChunk(1, 3)]
    slots.worker_results(1, results(1, [100, 101]))
    out = slots.worker_seen(1, Seen(3, 0, stopped={3}))
    assert [(m.counters, m.statuses) for m in upstream(out)] == [([301], bytes([RETURNED]))]
    assert not only(out, SendToWorker)
    assert len(upstream(slots.worker_results(1, results(3, [300])))) == 1


def test_abandon_drops_everything() -> None:
    slots = started(2)
    slots.assign(assign(1))
    out = slots.abandon()
    assert only(out, KillWorker) == [KillWorker(1)]
    assert [p.message for i in only(out, SendToWorker) for p in i.parcels] == [ForgetFunction(1)]
    assert slots.held == 0
    assert upstream(slots.worker_exited(1, Seen(1, 0), "killed", 0, "")) == []
    assert upstream(slots.assign(assign(1))) == [NeedFunction(1)]
    assert kinds(slots.define(define())) == []  # the bundle is gone as well


# --- time-outs ---


def test_a_task_that_takes_too_long_expires_and_its_neighbours_run_elsewhere_uncharged() -> None:
    slots = Slots(1)
    slots.start()
    slots.define(bundle())
    slots.define(define())
    slots.worker_ready(1)
    slots.assign(timed(1, timeout=0.5))
    assert not slots.worker_seen(1, Seen(1, 0, elapsed=0.4))
    instructions = slots.worker_seen(1, Seen(1, 0, elapsed=0.6))
    assert only(instructions, KillWorker) == [KillWorker(1)]
    (expired,) = upstream(instructions)
    assert (expired.counters, expired.statuses) == ([100], bytes([EXPIRED]))
    assert not slots.worker_seen(1, Seen(1, 0, elapsed=0.9)), "it is killed once"
    assert not slots.worker_results(1, results(1, [100])), "what it still says does not count"
    (lost,) = [
        m for m in upstream(slots.worker_exited(1, Seen(1, 0), "killed", 0, "")) if isinstance(m, AttemptLost)
    ]
    assert (lost.chunk, lost.running) == (1, None)
    slots.sanity_check()


def test_what_began_before_the_killed_worker_was_dead_is_not_charged() -> None:
    slots = started()
    slots.assign(timed(1, timeout=0.5))
    assert only(slots.worker_seen(1, Seen(1, 0, elapsed=0.6)), KillWorker)
    (lost,) = upstream(slots.worker_exited(1, Seen(1, 1), "killed", 0, ""))
    assert lost.running is None, "the task that took too long had ended just before the signal came"


def test_a_worker_that_is_killed_is_not_held_against_what_waits_behind() -> None:
    slots = started()
    slots.assign(timed(1, timeout=0.5))
    slots.assign(assign(2))
    slots.worker_seen(1, Seen(1, 0, elapsed=0.6))
    lost = upstream(slots.worker_exited(1, Seen(1, 0), "killed", 0, ""))
    assert [message.chunk for message in lost] == [1]
    slots.worker_ready(2)
    assert not upstream(slots.worker_exited(2, Seen(), "died", 0, "")), "the first that died by itself"
    slots.worker_ready(3)
    assert upstream(slots.worker_exited(3, Seen(), "died", 0, "")) == [AttemptLost(2, None, "died", begun=False)]


def test_a_task_without_a_time_out_may_take_for_ever() -> None:
    slots = Slots(1)
    slots.start()
    slots.define(define())
    slots.worker_ready(1)
    slots.assign(assign(1))
    assert not slots.worker_seen(1, Seen(1, 0, elapsed=1e6))


def test_a_task_is_asked_to_end_before_its_worker_is_killed() -> None:
    slots = started()
    slots.grace = 0.5
    slots.assign(timed(1, timeout=1.0))
    ask = InterruptTask(1, 1, 0, EXPIRED)
    assert slots.worker_seen(1, Seen(1, 0, elapsed=1.1)) == [ask]
    assert slots.worker_seen(1, Seen(1, 0, elapsed=1.5)) == [ask], "until it was seen to hear"
    out = slots.worker_seen(1, Seen(1, 0, elapsed=1.7))
    assert only(out, KillWorker) == [KillWorker(1)]
    assert [(m.counters, m.statuses) for m in upstream(out)] == [([100], bytes([EXPIRED]))]


def test_each_task_of_a_chunk_has_its_own_grace() -> None:
    slots = started()
    slots.grace = 0.5
    slots.assign(timed(1, timeout=1.0))
    slots.worker_seen(1, Seen(1, 0, elapsed=1.1))
    assert not slots.worker_seen(1, Seen(1, 1, elapsed=0.4)), "the first listened"
    assert slots.worker_seen(1, Seen(1, 1, elapsed=1.6)) == [InterruptTask(1, 1, 1, EXPIRED)]


def test_a_cancelled_task_that_listens_costs_no_worker() -> None:
    slots = started()
    slots.grace = 0.5
    slots.assign(assign(1))
    slots.take_back(1, kill=True)
    out = slots.worker_seen(1, Seen(1, 0, stopped={1}, elapsed=9.0))
    assert only(out, InterruptTask) == [InterruptTask(1, 1, 0, CANCELLED)]
    assert not only(out, KillWorker)
    assert len(upstream(slots.worker_results(1, results(1, [100])))) == 1
    assert slots.held == 0
    assert slots.states[1].is_idle


# --- renewal ---


def worn(chunks: int) -> Slots:
    """One worker, which is worn after four tasks, and so many chunks of two tasks."""
    slots = Slots(1, max_tasks=4)
    slots.start()
    slots.worker_ready(1)
    slots.define(bundle())
    slots.define(define())
    for number in range(1, 1 + chunks):
        slots.assign(assign(number))
    return slots


def test_the_successor_is_up_before_a_worn_worker_gets_no_more_work() -> None:
    slots = worn(4)
    assert not only(slots.worker_results(1, results(1, [100, 101])), StartWorker)
    out = slots.worker_results(1, results(2, [200, 201]))
    assert only(out, StartWorker) == [StartWorker(2, 0.0)]
    assert only(out, SendToWorker)[0].worker == 1, "it goes on until then"
    slots.assign(assign(5))
    assert slots.worker_ready(2) == [], "the old one has chunks 3 and 4"
    slots.sanity_check()
    assert not only(slots.worker_results(1, results(3, [300, 301])), SendToWorker)
    out = slots.worker_results(1, results(4, [400, 401]))
    assert only(out, DismissWorker) == [DismissWorker(1)]
    assert [send.worker for send in only(out, SendToWorker)] == [2], "and the new one goes on at once"
    assert not slots.worker_exited(1, Seen(4, None), "exited with code 0", 0, "")
    slots.sanity_check()


def test_a_worn_worker_that_dies_first_is_replaced_once() -> None:
    slots = worn(3)
    slots.worker_results(1, results(1, [100, 101]))
    slots.worker_results(1, results(2, [200, 201]))
    out = slots.worker_exited(1, Seen(3, 0), "killed", 0, "")
    assert not only(out, StartWorker), "one is on its way"
    slots.sanity_check()
    slots.assign(assign(4))
    assert [send.worker for send in only(slots.worker_ready(2), SendToWorker)] == [2]


def test_a_successor_that_dies_before_it_is_ready_is_replaced_and_the_old_one_goes_on() -> None:
    slots = worn(2)
    slots.worker_results(1, results(1, [100, 101]))
    slots.worker_results(1, results(2, [200, 201]))
    assert only(slots.worker_exited(2, Seen(), "killed", 0, ""), StartWorker)[0].worker == 3
    assert only(slots.assign(assign(3)), SendToWorker)[0].worker == 1
    slots.sanity_check()


def test_workers_are_renewed_one_after_the_other() -> None:
    slots = started(3)
    assert only(slots.worker_worn(1), StartWorker) == [StartWorker(4, 0.0)]
    assert slots.worker_worn(2) == slots.worker_worn(2) == []
    out = slots.worker_ready(4)
    assert only(out, DismissWorker) == [DismissWorker(1)]
    assert only(out, StartWorker) == [StartWorker(5, 0.0)]
    slots.sanity_check()


def test_a_successor_that_dies_while_it_waits_leaves_the_old_one_at_work() -> None:
    slots = worn(3)
    slots.worker_results(1, results(1, [100, 101]))
    slots.worker_results(1, results(2, [200, 201]))
    slots.worker_ready(2)
    out = slots.worker_exited(2, Seen(), "killed", 0, "")
    assert only(out, StartWorker) == [StartWorker(3, 0.0)]
    slots.sanity_check()
    assert only(slots.assign(assign(4)), SendToWorker)[0].worker == 1
