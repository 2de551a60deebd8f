"""An owner's tasks: packed, batched, and matched with their results."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from owner_story import Add, Buffered, Other, System, owned, results

from concurrence.errors import TaskCancelled, UsageError
from concurrence.ids import SystemId
from concurrence.tasks.functions import FunctionTask
from concurrence.tasks.ownership import MAX_BATCH_FRAMES, MAX_BATCH_TASKS, system_end
from concurrence.wire import faults
from concurrence.wire.codec import Frame, Parcel, decode_tasks, encode_results
from concurrence.wire.messages import (
    CANCELLED,
    FAILED,
    FINISHED,
    DefineFunction,
    PackedResult,
    PushSystem,
    PushTasks,
    SystemResult,
)


class TestOwnedTasks:
    def test_a_batch_is_uniform_and_definitions_come_before_their_first_use(self) -> None:
        tasks = owned()
        for task in (Add(), Add(), Other(), Other(), Add()):
            tasks.add(task)
        pushes = tasks.take_pushes()
        assert [push.number for push in pushes] == [1, 2, 3]
        defined: set[int] = set()
        for push in pushes:
            for message in (parcel.message for parcel in push.parcels):
                if isinstance(message, DefineFunction):
                    assert message.number not in defined
                    defined.add(message.number)
                assert not isinstance(message, PushTasks) or message.function in defined
        last = [push.parcels[-1] for push in pushes]
        assert [[task.counter for task in decode_tasks(parcel.frames)] for parcel in last] == [[0, 1], [2, 3], [4]]
        messages = [parcel.message for parcel in last]
        assert [m.priority for m in messages if isinstance(m, PushTasks)] == [0, 3, 0]
        assert not tasks.take_pushes()

    def test_batches_are_bounded(self) -> None:
        tasks = owned()
        for _ in range(MAX_BATCH_TASKS + 1):
            tasks.add(Add())
        assert [push.tasks for push in tasks.take_pushes()] == [MAX_BATCH_TASKS, 1]
        for _ in range(3):
            tasks.add(Buffered(40_000, MAX_BATCH_FRAMES))
        assert [push.tasks for push in tasks.take_pushes()] == [1, 1, 1]

    def test_what_is_shared_between_tasks_may_change_between_them(self) -> None:
        tasks, shared = owned(), {"gpu": 1.0}
        for amount in (1.0, 2.0):
            shared["gpu"] = amount
            task = Add()
            task.resources = shared
            tasks.add(task)
        asked = [push.parcels[-1].message for push in tasks.take_pushes()]
        assert [m.resources for m in asked if isinstance(m, PushTasks)] == [{"gpu": 1.0}, {"gpu": 2.0}]

    def test_ends_come_once(self) -> None:
        tasks = owned()
        made = [Add(), Add(), Add()]
        for task in made:
            tasks.add(task)
        assert [(task, result) for task, result, _ in tasks.settle(results(1, [0, 1]))] == [
            (made[0], "value"),
            (made[1], "value"),
        ]
        assert list(tasks.settle(results(1, [0, 1]))) == []
        ((_, _, error),) = tasks.settle(results(2, [2, 1], CANCELLED))
        assert isinstance(error, TaskCancelled)
        assert (tasks.counts.finished, tasks.counts.cancelled, len(tasks), tasks.pending_bytes) == (2, 1, 0, 0)

    def test_results_of_another_system_are_nobodys(self) -> None:
        tasks = owned()
        tasks.add(Add())
        assert list(tasks.settle(results(1, [0], system=8))) == []
        assert len(tasks) == 1

    @pytest.mark.parametrize("frames", [[], [b"\xc1"], [encode_results([])], [encode_results([]), b"buffer"]])
    def test_a_malformed_body_fails_its_tasks(self, frames: list[Frame]) -> None:
        tasks = owned()
        tasks.add(Add())
        ((_, _, error),) = tasks.settle(Parcel(results(1, [0]).message, frames))
        assert error is not None
        assert (error.kind, error.slave) == (faults.KIND_RESULT, "s")

    @pytest.mark.parametrize("status", [FINISHED, FAILED])
    def test_a_malformed_payload_fails_its_task(self, status: int) -> None:
        tasks = owned()
        tasks.add(Add())
        body = encode_results([PackedResult(b"\xc1 no pickle, no fault")])
        ((_, _, error),) = tasks.settle(Parcel(results(1, [0], status).message, [body]))
        assert error is not None
        assert error.kind == faults.KIND_RESULT

    @pytest.mark.parametrize("frames", [[], [encode_results([])], [encode_results([PackedResult(b"\xc1")])]])
    def test_a_systems_result_that_cannot_be_used(self, frames: list[Frame]) -> None:
        value, error = system_end(Parcel(SystemResult(1, 1, 5, FINISHED), frames))
        assert value is None
        assert error is not None
        assert error.kind == faults.KIND_RESULT

    def test_after_it_was_forgotten_nothing_old_is_sent(self) -> None:
        tasks = owned()
        tasks.add(Add())
        tasks.add(Other())  # closes the batch before
        old = {1, 2}
        tasks.forget_code()
        assert len(list(tasks.fail_pending(faults.Fault(faults.KIND_LOST, "restarted")))) == 2
        assert tasks.take_pushes() == []
        tasks.add(Add())
        (push,) = tasks.take_pushes()
        definition = push.parcels[0].message
        assert isinstance(definition, DefineFunction)
        assert definition.number not in old, "late pushes cannot be taken for new ones"


class Unshown:
    """An argument that takes long to show."""

    def __repr__(self) -> str:
        raise AssertionError("nobody looks at it")


def test_arguments_are_not_shown_while_nothing_is_wrong_with_their_task() -> None:
    tasks = owned()
    for _ in range(2 * MAX_BATCH_TASKS):
        tasks.add(FunctionTask(id, (Unshown(),)))
    assert len(tasks.take_pushes()) == 2


@pytest.mark.parametrize("strange", [7, len, [Add()], None])
def test_only_tasks_can_be_pushed(strange: Any) -> None:
    tasks = owned()
    with pytest.raises(UsageError, match=r"was pushed, and only tasks can be"):
        tasks.add(strange)
    assert not len(tasks)


@pytest.mark.parametrize(
    ("option", "value", "accepted"),
    [
        ("weight", 0, "from 0.001 to 1000"),
        ("weight", "heavy", "from 0.001 to 1000"),
        ("timeout", 0, "a number of seconds above 0"),
        ("timeout", "1 min", "a number of seconds above 0"),
    ],
)
def test_a_task_system_whose_options_mean_nothing_is_refused_where_it_is_pushed(
    option: str, value: object, accepted: str
) -> None:
    system = System()
    setattr(system, option, value)
    tasks = owned()
    with pytest.raises(UsageError, match=f"System.*{option}|{option} of System") as told:
        tasks.add_system(SystemId(8), system)
    assert accepted in str(told.value)
    assert not tasks.take_pushes()


def test_a_task_system_is_pushed_with_its_weight_and_its_time_out() -> None:
    system = System()
    system.timeout = timedelta(minutes=2)
    system.weight = 3
    tasks = owned()
    tasks.add_system(SystemId(8), system)
    (push,) = tasks.take_pushes()
    message = push.parcels[-1].message
    assert isinstance(message, PushSystem)
    assert (message.timeout, message.weight) == (120.0, 3.0)
