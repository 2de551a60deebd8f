"""Runs the tasks of a chunk in a worker process: whatever they do, each ends in exactly one result."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from concurrence.errors import PackingError, ProtocolError
from concurrence.ids import SystemId, TaskId
from concurrence.tasks.api import Task
from concurrence.tasks.children import pack_child, with_children
from concurrence.tasks.forks import forks
from concurrence.tasks.functions import FunctionTask
from concurrence.tasks.loading import (
    CodeMissing,
    FunctionLoader,
    LoadedFunction,
    clean_text,
    exception_fault,
    one_line,
)
from concurrence.tasks.nursery import nursery
from concurrence.tasks.values import describe_error, pack_value, unpack_value
from concurrence.tasks.waiting import TASK, enter, leave
from concurrence.wire.codec import Frame, Parcel, decode_tasks
from concurrence.wire.faults import KIND_RESULT, Fault, encode_fault
from concurrence.wire.messages import (
    FAILED,
    FINISHED,
    KIND_CALL,
    KIND_OBJECT,
    KIND_TASK,
    REFUSED,
    Assign,
    DefineFunction,
    FromWorker,
    PackedTask,
    ToSlave,
)
from concurrence.workers.interrupts import call_function, call_task, interruption_fault
from concurrence.workers.results import Results, check_size
from concurrence.workers.worktime import Pack, Unpack, WorkTime

if TYPE_CHECKING:  # only for their types: workers.api brings the component framework, a worker needs none
    from concurrence.workers.api import ICell, IInterrupts
    from concurrence.workers.output import OutputCapture

_MAX_NAME = 200

_log = logging.getLogger(__name__)


class _Running:
    """The task that runs now."""

    __slots__ = ("arguments", "counter", "function", "system", "task")

    def __init__(self) -> None:
        self.system = SystemId(0)
        self.counter: int | None = None
        self.function: LoadedFunction | None = None
        self.arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        self.task: Task | None = None


_running = _Running()


def current_task() -> Task | None:
    """The task that runs in this process now; None if none does."""
    running = _running
    if running.counter is None or running.function is None:
        return None
    if running.task is None and running.function.kind == KIND_CALL:
        args, kwargs = running.arguments
        running.task = FunctionTask(running.function.target, args, kwargs)
        _identify(running.task, running.system, running.counter)
    return running.task


def _name_of_task() -> str:
    """What people call the task that runs now; empty while it is unpacked."""
    try:
        task = current_task()
        return clean_text(str(task.label)[:_MAX_NAME]) if task is not None else ""
    except Exception as error:  # noqa: BLE001  the author's class; without its name the output is as good
        _log.debug("a task does not tell its name: %s", describe_error(error))
        return ""


class Executor:
    """Executes chunks, one task after the other, in this process's main thread.

    Args:
        cell: Where the slave sees what runs.
        loader: Brings functions.
        output: Takes what tasks print.
        interrupts: Tells of tasks that were ended early; None where none are.
        time: Where the worker's time goes.
    """

    def __init__(
        self,
        cell: ICell,
        loader: FunctionLoader,
        output: OutputCapture,
        interrupts: IInterrupts | None = None,
        time: WorkTime | None = None,
    ) -> None:
        self._time = time or WorkTime()
        self._unpack: Unpack = unpack_value
        self._pack_value: Pack = pack_value
        self._interrupts = interrupts
        self._timeout = 0.0
        self._cell = cell
        self._loader = loader
        self._output = output
        output.name_of_task = _name_of_task
        self._generation = forks.generation
        nursery.running, nursery.pack = current_task, pack_child

    def define_bundle(self, digest: bytes, blob: Frame) -> None:
        """Keep an application's module sources."""
        self._loader.define_bundle(digest, blob)

    def define_function(self, parcel: Parcel[ToSlave]) -> None:
        """Keep a function; it is loaded when a chunk first needs it."""
        message = parcel.message
        if not isinstance(message, DefineFunction):
            raise ProtocolError(f"a function definition was expected, not a {type(message).__name__}")
        self._loader.define_function(message, parcel.frames[0] if parcel.frames else b"")

    def forget_function(self, number: int) -> None:
        """Drop a function."""
        self._loader.forget(number)

    def run(self, parcel: Parcel[Assign], send: Callable[[Parcel[FromWorker]], None]) -> None:
        """Execute every task of the chunk; results and output leave through ``send``.

        Raises:
            ProtocolError: The chunk's body is not a task list.
        """
        chunk = parcel.message
        tasks = decode_tasks(parcel.frames)
        # Not earlier: a client that runs its tasks inline may fork between them.
        self._generation = forks.generation
        self._cell.begin_chunk(chunk.chunk)
        self._timeout = chunk.timeout
        self._output.begin_chunk(chunk.system, send)
        results = Results(chunk.chunk, self._cell, self._output, self._time)
        before = enter(TASK)
        nursery.begin()
        try:
            function = self._load(chunk.function, tasks, results)
            results.begin()
            if function is not None:
                self._run_all(chunk, function, tasks, parcel.frames, results)
        finally:
            leave(before)
            nursery.begin()
            _running.counter = None
            _running.task = None
            _running.arguments = ((), {})
            self._output.begin_task(None)
            results.flush()
            self._output.end_chunk()

    def _load(self, number: int, tasks: list[PackedTask], results: Results) -> LoadedFunction | None:
        """The chunk's function; None if it cannot be had, and then every task has its result."""
        self._output.begin_task(tasks[0].counter)
        # Loading runs the author's modules: should they kill the worker, the first task is to blame.
        if not self._loader.is_loaded(number) and not self._cell.begin(0):
            results.add_returned(tasks)
            return None
        try:
            function = self._loader.load(number)
        except CodeMissing as missing:
            self._end_fork(missing.__cause__)
            payload = encode_fault(missing.fault)
            for task in tasks:
                results.add(task.counter, REFUSED, payload)
            return None
        self._end_fork()
        return function

    def _run_all(
        self,
        chunk: Assign,
        function: LoadedFunction,
        tasks: list[PackedTask],
        frames: Sequence[Frame],
        results: Results,
    ) -> None:
        begin = self._cell.begin
        begin_task = self._output.begin_task
        add = results.add
        run_one = self._run_call if function.kind == KIND_CALL else self._run_object
        _running.system = SystemId(chunk.system)
        _running.function = function
        position = 1
        last = len(tasks) - 1
        plain = (unpack_value, pack_value)
        # Two loops for the price of one: only with the last task packing is measured, and no other looks whether.
        for first, part, packing in (
            (0, tasks[:last], plain),
            (last, tasks[last:], self._time.timed(len(tasks), *plain)),
        ):
            self._unpack, self._pack_value = packing
            for index, packed in enumerate(part, first):
                if not begin(index):
                    results.add_returned(tasks[index:])
                    return
                buffers: Sequence[Frame] = ()
                if packed.buffers:
                    buffers = frames[position : position + packed.buffers]
                    position += packed.buffers
                counter = packed.counter
                begin_task(counter)
                _running.counter = counter
                status, payload, result_buffers = run_one(function, packed, buffers)
                self._end_fork()
                if nursery.is_used:
                    nursery.begin()
                add(counter, status, payload, result_buffers)

    def _run_call(
        self, function: LoadedFunction, packed: PackedTask, buffers: Sequence[Frame]
    ) -> tuple[int, bytes, Sequence[Frame]]:
        _running.task = None
        try:
            arguments = self._unpack(packed.arguments, buffers)
        except BaseException as error:  # noqa: BLE001  # it runs the author's code; it becomes a Fault
            return self._refusal(function, error)
        _running.arguments = arguments
        try:
            result = call_function(function.target, arguments[0], arguments[1])
        except BaseException as error:  # noqa: BLE001  # SystemExit ends a task, not a worker; it becomes a Fault
            return *self._failure(error), ()
        return self._pack(result)

    def _run_object(
        self, function: LoadedFunction, packed: PackedTask, buffers: Sequence[Frame]
    ) -> tuple[int, bytes, Sequence[Frame]]:
        _running.task = None
        try:
            content = self._unpack(packed.arguments, buffers)
            if function.kind == KIND_TASK:
                system = _running.system
                content["system_id"] = system
                content["task_id"] = TaskId(system, packed.counter)
                task = object.__new__(function.target)
                task.__dict__ = content
            else:
                task = content
                _identify(task, _running.system, packed.counter)
        except BaseException as error:  # noqa: BLE001  # it runs the author's code; it becomes a Fault
            return self._refusal(function, error)
        _running.task = task
        failure: tuple[int, bytes] | None = None
        result: Any = None
        try:
            result = call_task(task)
            self._end_fork()
        except BaseException as error:  # noqa: BLE001  # SystemExit ends a task, not a worker; it becomes a Fault
            failure = self._failure(error)
        try:
            task.clean_up()
        except BaseException as error:  # noqa: BLE001  # as above; of two errors the first explains the second
            if failure:
                _log.error("clean_up of %s raised as well: %s", function.name, describe_error(error))
            failure = failure or self._failure(error)
        return (*failure, ()) if failure else self._pack(result)

    def _pack(self, result: Any) -> tuple[int, bytes, Sequence[Frame]]:
        self._end_fork()
        try:
            payload, buffers = self._pack_value(result)
            if nursery.is_used:
                payload = with_children(payload)
            check_size(payload, buffers)
        except PackingError as error:
            fault = Fault(
                KIND_RESULT,
                one_line(error.message),
                hint=clean_text(error.hint),
                output=self._output.tail(),
            )
            return FAILED, encode_fault(fault), ()
        except BaseException as error:  # noqa: BLE001  # the author's __reduce__ may raise what is no Exception
            return *self._failure(error), ()
        return FINISHED, payload, buffers

    def _failure(self, error: BaseException) -> tuple[int, bytes]:
        """The status and the fault of a task that raised."""
        self._end_fork(error)
        output = self._output.tail()
        status = self._interrupts.status() if self._interrupts is not None else None
        if status is None or self._interrupts is None:
            return FAILED, encode_fault(exception_fault(error, output=output))
        self._interrupts.end_children()
        return status, encode_fault(interruption_fault(error, status, self._timeout, output))

    def _refusal(self, function: LoadedFunction, error: BaseException) -> tuple[int, bytes, Sequence[Frame]]:
        self._end_fork(error)
        what = "the task" if function.kind == KIND_OBJECT else "the arguments"
        return REFUSED, encode_fault(self._loader.code_fault(f"{what} of {function.name}", error)), ()

    def _end_fork(self, error: BaseException | None = None) -> None:
        """End this process if the author's code forked it: socket and cell are those of the worker.

        Args:
            error: How the author's code ended.
        """
        if forks.generation != self._generation:
            _exit_like_python(error)


def _identify(task: Task, system: SystemId, counter: int) -> None:
    task.system_id = system
    task.task_id = TaskId(system, counter)


def _exit_like_python(error: BaseException | None) -> NoReturn:
    """End this process as an interpreter does that comes to the end of its program."""
    code: Any = 0
    try:
        if isinstance(error, SystemExit):
            code = error.code if error.code is not None else 0
            if not isinstance(code, int):
                sys.stderr.write(f"{code}\n")
                code = 1
        elif error is not None:
            code = 1
            traceback.print_exception(error)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        os._exit(int(code) & 0xFF if isinstance(code, int) else 1)
