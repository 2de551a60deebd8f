"""Tasks in the hands of their owner: packed, numbered, batched, and matched with their results again.

No socket, thread or clock: parcels go out through :meth:`OwnedTasks.take_pushes`, results come in through
:meth:`OwnedTasks.settle`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple, TypeAlias

from concurrence.errors import ConcurrenceError, ProtocolError, TaskError, UsageError
from concurrence.ids import SystemId, TaskId
from concurrence.tasks.api import ITaskSystem, Task, TaskCounts
from concurrence.tasks.children import Offspring, unpack_children
from concurrence.tasks.definitions import SentDefinitions
from concurrence.tasks.options import Options, checked_options, checked_timeout, checked_weight
from concurrence.tasks.packing import PackedFunction, TaskPacker
from concurrence.tasks.source_lines import with_source_lines
from concurrence.tasks.values import rebuild_exception, unpack_result
from concurrence.wire import faults
from concurrence.wire.codec import Frame, Parcel, decode_results, decode_tasks, encode_tasks
from concurrence.wire.messages import (
    CANCELLED,
    FINISHED,
    MAX_CHUNK_TASKS,
    AttachSystem,
    Cancel,
    Message,
    PackedTask,
    PushSystem,
    PushTasks,
    Results,
    SystemResult,
)

MAX_BATCH_TASKS = 2_048
MAX_BATCH_BYTES = 1024 * 1024
MAX_BATCH_FRAMES = 1_024

MAX_DEPTH = 1_000
"""How many tasks may push one another in a row, unless an owner allows more."""

TaskEnd: TypeAlias = tuple[Task, Any, TaskError | None]
"""A task with its result, or with why it has none."""


class Push(NamedTuple):
    """Parcels that travel together and are accepted together.

    Attributes:
        number: Rising from 1.
        parcels: The definitions that the push needs, then the push itself.
        tasks: How many tasks it brings.
        bytes: Their size.
    """

    number: int
    parcels: list[Parcel[Message]]
    tasks: int
    bytes: int


class _Pending(NamedTuple):
    task: Task
    size: int
    function: PackedFunction  # held, so that the master keeps it


class _Batch:
    """Alike tasks that have not been handed over yet."""

    def __init__(self, key: tuple[Any, ...], function: int, options: Options) -> None:
        self.key = key
        self.function = function
        self.options = options
        self.tasks: list[PackedTask] = []
        self.frames: list[Frame] = [b""]
        self.bytes = 0

    def is_full(self, size: int) -> bool:
        """Whether a task of this size must go into the next one; a very large one always travels alone."""
        count = len(self.tasks)
        return (
            count >= MAX_BATCH_TASKS
            or len(self.frames) > MAX_BATCH_FRAMES
            or (count > 0 and self.bytes + size > MAX_BATCH_BYTES)
        )


class OwnedTasks:
    """The unfinished tasks of one owner.

    Args:
        system: The system they belong to: a task system, or the one of a client's plain tasks.
        client: The client's node id, which tasks carry.
        packer: Turns tasks into bytes.

    Attributes:
        max_depth: How many tasks may push one another in a row.
        on_children: Takes the tasks that a task pushed, and their size in bytes, before that task's end is told;
            raises UsageError if there is no room for them.
    """

    def __init__(self, system: SystemId, client: str, packer: TaskPacker) -> None:
        self.system = system
        self.pending_bytes = 0
        self.max_depth = MAX_DEPTH
        self.on_children: Callable[[list[Task], int], None] = _nobody_takes_children
        self._client = client
        self._packer = packer
        self._pending: dict[int, _Pending] = {}
        self._counter = count()
        self._childless = 0  # what has a lower number was cancelled with everything, and what it pushes with it
        self._push_number = count(1)
        self._sent = SentDefinitions()
        self._numbers = self._sent.numbers
        self._systems: dict[SystemId, PackedFunction] = {}
        self._batch: _Batch | None = None
        self._pushes: list[Push] = []
        self._pushed = self._finished = self._failed = self._cancelled = 0

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def counts(self) -> TaskCounts:
        """How many tasks are in which state."""
        return TaskCounts(self._pushed, self._finished, self._failed, self._cancelled)

    def name_of(self, counter: int) -> str:
        """What people call an unfinished task; empty if there is no such."""
        pending = self._pending.get(counter)
        return pending.task.label if pending else ""

    # --- out ---

    def add(self, task: Task) -> TaskId:
        """Pack a task, give it its id, and put it into the open batch.

        Raises:
            UsageError: It is no task, or an option of it is wrong; nothing was added.
            PackingError: It cannot be pickled; nothing was added.
        """
        if not isinstance(task, Task):  # pyright: ignore[reportUnnecessaryIsInstance]  authors need no type checker
            raise UsageError(
                f"{type(task).__name__!r} was pushed, and only tasks can be: {task!r:.200}",
                hint="Of a @task function push f.task(...); f(...) runs it here and now.",
            )
        call = self._packer.pack(task)
        number = self._numbers.get(id(call.function))
        if number is None:
            number = self._sent.define(call.function)
        wanted = task.resources
        resources: Any = wanted or None
        if resources is not None and isinstance(resources, Mapping):
            resources = dict(wanted)  # as it is now
        key = (number, task.priority, task.max_retries, task.timeout, resources)
        size = len(call.arguments)
        if call.buffers:
            size += sum(memoryview(buffer).nbytes for buffer in call.buffers)
        batch = self._batch
        if batch is None or batch.key != key or batch.is_full(size):
            # Checked here, once for all that are alike: looking at each task would be felt.
            options = checked_options(task, *key[1:])
            self._close_batch()
            batch = self._batch = _Batch(key, number, options)
        counter = next(self._counter)
        if call.buffers:
            # Copied: the author may change an array as soon as push_task returns, and it may be sent again.
            batch.frames.extend(bytes(buffer) for buffer in call.buffers)  # bytes are not copied
        batch.tasks.append(PackedTask(counter, call.arguments, len(call.buffers)))
        batch.bytes += size
        task_id = task.task_id = TaskId(self.system, counter)
        task.system_id = self.system
        task.client_id = self._client
        self._pending[counter] = _Pending(task, size, call.function)
        self.pending_bytes += size
        self._pushed += 1
        return task_id

    def add_system(self, system_id: SystemId, system: ITaskSystem, *, detached: bool = False) -> None:
        """Pack a task system for pushing.

        Args:
            system_id: Its id.
            system: The system.
            detached: Whether it is to go on when this owner is gone.

        Raises:
            PackingError: It cannot be pickled.
        """
        packed = self._packer.pack_system(system)
        name = system.name or type(system).__name__
        weight, timeout = checked_weight(name, system.weight), checked_timeout(name, system.timeout)
        self._close_batch()
        number = self._sent.define(packed)
        self._systems[system_id] = packed
        push = next(self._push_number)
        parcels = self._sent.take()
        parcels.append(Parcel(PushSystem(push, system_id, number, name, weight, detached, timeout)))
        self._pushes.append(Push(push, parcels, 0, len(packed.blob)))

    def add_attachment(self, system_id: SystemId) -> None:
        """Ask for a detached task system."""
        self._close_batch()
        push = next(self._push_number)
        self._pushes.append(Push(push, [Parcel(AttachSystem(push, system_id))], 0, 0))

    def add_cancel(self, system_id: SystemId, counters: list[int] | None) -> None:
        """Cancel tasks of a system, or all of it with None: in turn with what is pushed."""
        self._close_batch()
        for start in range(0, len(counters) if counters is not None else 1, MAX_CHUNK_TASKS):
            part = counters[start : start + MAX_CHUNK_TASKS] if counters is not None else None
            push = next(self._push_number)
            self._pushes.append(Push(push, [Parcel(Cancel(system_id, part, push))], 0, 0))

    def disown_children(self) -> None:
        """Everything is cancelled: what ends all the same bears no children any more."""
        self._childless = next(self._counter)

    def end_system(self, system_id: SystemId) -> None:
        """A task system has ended: the master need not keep it."""
        self._systems.pop(system_id, None)

    def take_pushes(self) -> list[Push]:
        """Everything that was added since the last call, ready to send."""
        self._close_batch()
        pushes, self._pushes = self._pushes, []
        return pushes

    def forget_code(self) -> None:
        """The master forgot this owner: announce functions anew, and drop what was not handed over."""
        self._sent.clear()
        self._systems.clear()
        self._pushes.clear()
        self._batch = None

    def _close_batch(self) -> None:
        batch, self._batch = self._batch, None
        if batch is None or not batch.tasks:
            return
        batch.frames[0] = encode_tasks(batch.tasks)
        number = next(self._push_number)
        message = PushTasks(
            len(batch.frames),
            number,
            self.system,
            batch.function,
            *batch.options,
        )
        parcels = self._sent.take()
        parcels.append(Parcel(message, batch.frames))
        self._pushes.append(Push(number, parcels, len(batch.tasks), batch.bytes))

    # --- in ---

    def settle(self, parcel: Parcel[Results]) -> Iterator[TaskEnd]:
        """The ends that a delivery tells of, each at most once however often it is delivered.

        A malformed body is the fault of the slave that sent it; the tasks end with an error that says so.
        """
        message = parcel.message
        if message.system != self.system:
            return
        try:
            results = decode_results(parcel.frames)
            if len(results) != len(message.counters):
                raise ProtocolError(f"{len(results)} results came for {len(message.counters)} tasks")  # noqa: TRY301
        except ProtocolError as error:
            text = f"the slave {message.slave} sent a malformed result: {error.message}"
            yield from self._fail(message.counters, faults.Fault(faults.KIND_RESULT, text), message)
            return
        position = 1
        for counter, status, result in zip(message.counters, message.statuses, results, strict=True):
            buffers = parcel.frames[position : position + result.buffers] if result.buffers else ()
            position += result.buffers
            pending = self._pending.pop(counter, None)
            if pending is None:
                continue
            self.pending_bytes -= pending.size
            if status == FINISHED:
                self._finished += 1
                yield self._finish(pending.task, result.payload, buffers, message)
            else:
                if status == CANCELLED:
                    self._cancelled += 1
                else:
                    self._failed += 1
                name = str(TaskId(self.system, counter))
                yield pending.task, None, error_from(result.payload, message.slave, message.attempt, name)

    def fail_pending(self, fault: faults.Fault) -> Iterator[TaskEnd]:
        """End everything unfinished with a fault of this side's finding."""
        return self._fail(list(self._pending), fault)

    def reject(self, push: Parcel[PushTasks], fault: faults.Fault) -> Iterator[TaskEnd]:
        """End the tasks of a push that the master did not accept."""
        self._sent.rejected(push.message.function)
        return self._fail([task.counter for task in decode_tasks(push.frames)], fault)

    def _fail(
        self, counters: Iterable[int], fault: faults.Fault, message: Results | None = None
    ) -> Iterator[TaskEnd]:
        error = faults.task_error(
            fault, slave=message.slave if message else "", attempt=message.attempt if message else 0
        )
        for counter in counters:
            pending = self._pending.pop(counter, None)
            if pending is not None:
                self.pending_bytes -= pending.size
                self._failed += 1
                yield pending.task, None, error

    def fail_unpushed(self, task: Task, error: ConcurrenceError) -> TaskEnd:
        """End a task that cannot be packed."""
        task.task_id = TaskId(self.system, next(self._counter))
        task.system_id, task.client_id = self.system, self._client
        self._pushed += 1
        self._failed += 1
        return task, None, TaskError(error.message, kind=faults.KIND_CODE, cause=error, hint=error.hint)

    def _finish(self, task: Task, payload: bytes, buffers: Sequence[Frame], message: Results) -> TaskEnd:
        try:
            result = unpack_result(payload, buffers)
        except Exception as error:  # noqa: BLE001  unpickling runs the author's code, which may raise anything
            return task, None, _unusable(f"the result of {task!r}", error)
        if type(result) is Offspring:
            return self._bear(task, result, buffers, message)
        return task, result, None

    def _bear(self, task: Task, offspring: Offspring, buffers: Sequence[Frame], message: Results) -> TaskEnd:
        """The end of a task that pushed others, which are handed on: all of them, or it fails."""
        what = "the result of"
        try:
            result = unpack_result(offspring.result, buffers)
            what = "what was pushed by"
            children = unpack_children(offspring)
            self._check_depth(task)
            for child in children:
                child.depth = task.depth + 1
            if task.task_id is None or task.task_id.counter >= self._childless:
                self.on_children(children, sum(map(len, offspring.children)))
        except Exception as error:  # noqa: BLE001  unpickling runs the author's code, which may raise anything
            self._finished -= 1
            self._failed += 1
            if not isinstance(error, ConcurrenceError):
                return task, None, _unusable(f"{what} {task!r}", error)
            fault = faults.Fault(faults.KIND_RESULT, error.message, hint=error.hint)
            return task, None, faults.task_error(fault, slave=message.slave, attempt=message.attempt)
        return task, result, None

    def _check_depth(self, task: Task) -> None:
        if task.depth >= self.max_depth:
            raise UsageError(
                f"{task!r} pushed further tasks, but {task.depth:,} tasks pushed one another before it, and no "
                "more may",
                hint="Does the recursion end? If it is to go on, raise [application] max_depth, or max_depth of "
                "the task system.",
            )


def _nobody_takes_children(children: list[Task], size: int) -> None:
    raise UsageError(f"{len(children)} tasks were pushed by a task whose owner takes none")


def error_from(payload: bytes, slave: str, attempt: int, name: str = "") -> TaskError:
    """The error in the payload of a failed task; ``name`` is its id, as people see it."""
    try:
        fault = faults.decode_fault(payload)
    except ProtocolError as error:
        fault = faults.Fault(faults.KIND_RESULT, f"the task failed, and why is lost: {error.message}")
    told = faults.task_error(fault, slave=slave, attempt=attempt, cause=rebuild_exception(fault), task=name)
    told.remote_traceback = with_source_lines(told.remote_traceback)
    return told


def system_end(parcel: Parcel[SystemResult]) -> tuple[Any, TaskError | None]:
    """A task system's result, or why it has none."""
    try:
        (entry,) = decode_results(parcel.frames)
        if parcel.message.status == FINISHED:
            return unpack_result(entry.payload, parcel.frames[1:]), None
    except Exception as error:  # noqa: BLE001  unpickling runs the author's code, which may raise anything
        return None, _unusable("the result of the task system", error)
    return None, error_from(entry.payload, "", 0)


def _unusable(what: str, error: Exception) -> TaskError:
    text = f"{what} cannot be unpickled here: {type(error).__name__}: {error}"
    failure = TaskError(text, kind=faults.KIND_RESULT, cause=error)
    failure.__cause__ = error
    return failure
