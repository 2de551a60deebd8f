# printing is what is tested here
import pickle
import threading
from typing import Any

import numpy as np
import pytest
from travelling import Outcome, Worker

from concurrence.errors import ProtocolError
from concurrence.ids import SystemId, TaskId
from concurrence.tasks.api import Task
from concurrence.tasks.bundles import BundleCollector
from concurrence.tasks.functions import FunctionTask
from concurrence.tasks.packing import PackedCall, TaskPacker
from concurrence.wire.codec import Parcel
from concurrence.wire.faults import KIND_CODE, KIND_EXCEPTION, KIND_RESULT
from concurrence.wire.messages import FAILED, FINISHED, REFUSED, RETURNED, Assign, Bye
from concurrence.workers import results
from concurrence.workers.execution import current_task


@pytest.fixture
def packer() -> TaskPacker:
    return TaskPacker(BundleCollector())


@pytest.fixture
def worker() -> Worker:
    return Worker()


def run_calls(function: Any, *arguments: tuple[Any, ...], worker: Worker | None = None) -> list[Outcome]:
    packer = TaskPacker(BundleCollector())
    calls = [packer.pack(FunctionTask(function, args)) for args in arguments]
    return (worker or Worker()).run(calls)


def run_one(function: Any, *args: Any, worker: Worker | None = None) -> Outcome:
    [outcome] = run_calls(function, args, worker=worker)
    return outcome


class Odd(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("odd constructor")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Sticky(Exception):
    def __reduce__(self) -> Any:
        raise SystemExit(4)


class Explosive(Exception):
    def __reduce__(self) -> Any:
        return explode, ()


def explode() -> None:
    raise KeyboardInterrupt


def odd_in_buffers(size: int) -> Any:
    return np.zeros(size, np.uint8) if size % 2 else bytes(size)


def raise_it(error: Any) -> None:
    raise error() if isinstance(error, type) else error


def recurse(n: int) -> int:
    return recurse(n + 1) + 1


class Recorder(Task):
    cleaned: int = 0

    def __init__(self, behaviour: str = "") -> None:
        super().__init__("recorder")
        self.behaviour = behaviour

    def __call__(self) -> Any:
        if "raise" in self.behaviour:
            raise ValueError("from the call")
        return self.task_id, self.system_id, current_task() is self

    def clean_up(self) -> None:
        type(self).cleaned += 1
        if "dirty" in self.behaviour:
            raise OSError("from clean_up")


class Whole(Recorder):
    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)


# --- the chunk ---


def test_every_task_of_a_chunk_has_its_result_in_order() -> None:
    worker = Worker()
    outcomes = run_calls(divmod, (7, 2), (1, 0), (9, 3), worker=worker)
    assert [outcome.counter for outcome in outcomes] == [0, 1, 2]
    assert [outcome.status for outcome in outcomes] == [FINISHED, FAILED, FINISHED]
    assert outcomes[0].value == (3, 1)
    assert len(worker.sent) == 1
    log = worker.cell.log
    assert log[0] == ("chunk", 1)
    assert log.index(("begin", 1)) < log.index(("record", 1, FAILED)) < log.index(("begin", 2))
    assert log[-1] == ("clear",)


def test_tasks_taken_back_are_returned() -> None:
    worker = Worker()
    worker.cell.stop_at = 2
    outcomes = run_calls(abs, *[(-n,) for n in range(5)], worker=worker)
    assert [outcome.status for outcome in outcomes] == [FINISHED] * 2 + [RETURNED] * 3
    assert [outcome.counter for outcome in outcomes] == list(range(5))
    assert outcomes[4].payload == b""
    assert ("begin", 3) not in worker.cell.log


def test_a_chunk_taken_back_before_its_function_is_loaded() -> None:
    worker = Worker()
    worker.cell.stop_at = 0
    assert [outcome.status for outcome in run_calls(abs, (1,), (2,), worker=worker)] == [RETURNED] * 2
    assert not worker.loader.is_loaded(0)


def test_the_first_task_is_to_blame_while_its_function_is_loaded(
    worker: Worker, packer: TaskPacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = packer.pack(FunctionTask(abs, (-1,)))
    begun: list[bool] = []
    load = worker.loader.load

    def watched(number: int) -> Any:
        begun.append(worker.cell.log[-1] == ("begin", 0))
        return load(number)

    monkeypatch.setattr(worker.loader, "load", watched)
    for _ in range(2):
        worker.run([call])
    assert begun == [True, False]  # no more than once: a loaded function runs no code


def test_a_cell_without_room_makes_results_leave_at_once() -> None:
    worker = Worker()
    worker.cell.room = 0
    outcomes = run_calls(abs, (-1,), (-2,), (-3,), worker=worker)
    assert [outcome.value for outcome in outcomes] == [1, 2, 3]
    assert len(worker.sent) == 3
    assert not any(entry[0] == "record" for entry in worker.cell.log)


def test_large_results_leave_before_the_chunk_is_done() -> None:
    worker = Worker()
    outcomes = run_calls(bytes, *[(200_000,)] * 5, worker=worker)
    assert [len(outcome.value) for outcome in outcomes] == [200_000] * 5
    assert [len(parcel.message.counters) for parcel in worker.sent] == [3, 2]


def test_out_of_band_buffers_travel_both_ways() -> None:
    worker = Worker()
    arrays = [np.arange(10_000) + n for n in range(3)]
    outcomes = run_calls(np.negative, *[(array,) for array in arrays], worker=worker)
    for outcome, array in zip(outcomes, arrays, strict=True):
        assert len(outcome.buffers) == 1
        assert np.array_equal(outcome.value, -array)
    assert len(worker.sent) == 3


def test_busy_is_the_time_spent_in_the_tasks() -> None:
    import time  # noqa: PLC0415

    worker = Worker()
    began = time.perf_counter()
    run_calls(time.sleep, (0.05,), (0.05,), worker=worker)
    assert 0.1 <= sum(parcel.message.busy for parcel in worker.sent) <= time.perf_counter() - began


def test_a_chunk_that_is_no_task_list_is_a_protocol_error(worker: Worker) -> None:
    with pytest.raises(ProtocolError):
        worker.executor.run(Parcel(Assign(1, 1, 1, 1, 1, 1), [b"\xc1"]), worker.sent.append)
    with pytest.raises(ProtocolError):
        worker.executor.define_function(Parcel(Bye("x"), []))


def test_an_unknown_function_refuses_every_task(worker: Worker, packer: TaskPacker) -> None:
    call = packer.pack(FunctionTask(abs, (1,)))
    worker.executor.forget_function(worker.define(call.function))
    outcomes = worker.run([call, call, call])
    assert [outcome.status for outcome in outcomes] == [REFUSED] * 3
    assert outcomes[2].fault.kind == KIND_CODE


# --- what tasks do ---


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("text"), "ValueError: text"),
        (KeyError("k"), "KeyError: 'k'"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (StopIteration(1), "StopIteration: 1"),
        (Mute, "Mute"),
        (Sticky, "Sticky"),
        (Explosive, "Explosive"),
        (ExceptionGroup("two", [ValueError("a"), OSError("b")]), "ExceptionGroup: two (2 sub-exceptions)"),
        (ValueError("two\nlines"), "ValueError: two lines"),
        (ValueError("lone \udc80 surrogate"), "ValueError: lone \\udc80 surrogate"),
    ],
)
def test_whatever_a_task_raises_is_a_fault(error: Any, message: str) -> None:
    worker = Worker()
    first, second = run_calls(raise_it, (error,), (ValueError("next"),), worker=worker)
    assert first.status == FAILED
    assert first.fault.kind == KIND_EXCEPTION
    assert first.fault.message.startswith(message)
    assert "\n" not in first.fault.message
    assert "raise_it" in first.fault.traceback
    assert second.fault.message == "ValueError: next"


def test_an_odd_constructor_costs_nothing() -> None:
    def raise_odd() -> None:
        raise Odd(1, 2)

    outcome = run_one(raise_odd)
    assert outcome.fault.message == "Odd: odd constructor"
    assert type(outcome.exception) is Odd
    assert outcome.exception.args == ("odd constructor",)
    assert isinstance(run_one(raise_it, ValueError("x")).exception, ValueError)


def test_a_recursion_error_is_a_fault() -> None:
    outcome = run_one(recurse, 0)
    assert outcome.fault.message.startswith("RecursionError")
    assert len(outcome.fault.traceback) < 10_000


def test_a_huge_error_is_cut() -> None:
    fault = run_one(raise_it, ValueError("x" * 5_000_000)).fault
    assert len(fault.message) < 3_000
    assert len(fault.traceback) < 70_000
    assert fault.exception == b""


def test_the_traceback_begins_with_the_authors_frames_and_tells_the_causes() -> None:
    def inner() -> None:
        raise KeyError("deep")

    def outer() -> None:
        try:
            inner()
        except KeyError as error:
            raise ValueError("shallow") from error

    text = run_one(outer).fault.traceback
    assert "KeyError: 'deep'" in text
    assert "direct cause" in text
    assert "workers/execution.py" not in text
    second_half = text[text.index("direct cause") :].splitlines()
    assert "in outer" in second_half[3]


def test_wrong_arguments_are_a_fault_without_frames() -> None:
    fault = run_one(abs, 1, 2, 3).fault
    assert fault.message.startswith("TypeError")
    assert "workers/execution.py" not in fault.traceback


def test_arguments_that_cannot_be_unpickled_are_refused(worker: Worker, packer: TaskPacker) -> None:
    function = packer.pack(FunctionTask(abs, (1,))).function
    good = packer.pack(FunctionTask(abs, (-1,))).arguments
    bad = [b"czz_no_such_module\nx\n.", b"garbage", pickle.dumps(Explosive())]
    outcomes = worker.run([PackedCall(function, arguments, []) for arguments in [*bad, good]])
    assert [outcome.status for outcome in outcomes] == [REFUSED] * 3 + [FINISHED]
    fault = outcomes[0].fault
    assert fault.kind == KIND_CODE
    assert "the arguments of builtins:abs" in fault.message
    assert "zz_no_such_module" in fault.hint


def test_a_result_that_cannot_be_pickled_is_named() -> None:
    def make() -> Any:
        return {"good": 1, "bad": threading.Lock()}

    outcome = run_one(make)
    assert outcome.status == FAILED
    assert outcome.fault.kind == KIND_RESULT
    assert "item 'bad' of the result is a _thread.lock" in outcome.fault.message
    assert outcome.fault.hint


def test_a_result_whose_pickling_ends_the_process_does_not() -> None:
    def make() -> Any:
        return Sticky()

    outcome = run_one(make)
    assert outcome.status == FAILED
    assert "SystemExit: 4" in outcome.fault.message


def test_results_that_only_cloudpickle_can_take() -> None:
    def make() -> Any:
        return lambda: 5

    assert run_one(make).value() == 5


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (b"x" * 200_000, "too large: 200,0"),
        ([np.full(50_000, n, np.uint8) for n in range(4)], "bytes in 5 parts"),
        ([np.full(35_000, n, np.uint8) for n in range(5)], "bytes in 6 parts"),
    ],
)
def test_a_result_that_cannot_travel_fails_and_the_next_does_not(
    result: Any, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "MAX_RESULT_BYTES", 190_000)
    monkeypatch.setattr(results, "MAX_RESULT_PARTS", 4)

    def make(is_large: bool) -> Any:
        return result if is_large else 1

    large, small = run_calls(make, (True,), (False,))
    assert large.status == FAILED
    assert large.fault.kind == KIND_RESULT
    assert text in large.fault.message
    assert "Return less" in large.fault.hint
    assert small.value == 1


def test_results_that_fit_alone_but_not_together_leave_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MAX_RESULT_BYTES", 150_000)
    worker = Worker()
    outcomes = run_calls(odd_in_buffers, (100_000,), (100_001,), worker=worker)
    assert [len(outcome.value) for outcome in outcomes] == [100_000, 100_001]
    assert [len(parcel.message.counters) for parcel in worker.sent] == [1, 1]


# --- Task objects ---


@pytest.mark.parametrize("task_class", [Recorder, Whole])
def test_a_task_object_knows_itself_and_cleans_up(worker: Worker, packer: TaskPacker, task_class: Any) -> None:
    before = task_class.cleaned
    outcomes = worker.run([packer.pack(task_class()) for _ in range(3)], system=11)
    for index, outcome in enumerate(outcomes):
        assert outcome.value == (TaskId(SystemId(11), index), 11, True)
    # The classes travel by name here, so it is this very class that counts.
    loaded = worker.loader.load(0).target or task_class
    assert loaded.cleaned - (before if loaded is task_class else 0) == 3 or task_class is Whole
    assert current_task() is None


def test_clean_up_runs_after_a_failure_and_its_own_failure_counts(worker: Worker, packer: TaskPacker) -> None:
    calls = [packer.pack(Recorder(behaviour)) for behaviour in ("raise", "dirty", "raise dirty", "")]
    outcomes = worker.run(calls)
    assert [outcome.status for outcome in outcomes] == [FAILED, FAILED, FAILED, FINISHED]
    messages = [outcome.fault.message for outcome in outcomes[:3]]
    assert messages == ["ValueError: from the call", "OSError: from clean_up", "ValueError: from the call"]
    assert worker.loader.load(0).target.cleaned >= 4


def test_a_task_keeps_its_attributes_and_its_class_defaults(worker: Worker, packer: TaskPacker) -> None:
    class Keeping(Task):
        factor = 3

        def __init__(self, value: int) -> None:
            self.value = value

        def __call__(self) -> Any:
            return self.value * self.factor, self.priority, self.name

    assert worker.run([packer.pack(Keeping(5))])[0].value == (15, 0, "")


def test_a_running_function_knows_its_task() -> None:
    def who() -> Any:
        running = current_task()
        assert isinstance(running, FunctionTask)
        assert current_task() is running
        return running.task_id, running.args

    assert run_one(who).value == (TaskId(SystemId(7), 0), ())
    assert current_task() is None
