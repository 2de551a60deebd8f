"""Runs one task system: calls its methods one at a time, and hands its result over when it is complete.

The same code runs in a host process and in a one-process run.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from concurrence.errors import TaskError, UsageError
from concurrence.ids import SystemId, TaskId, new_system_id
from concurrence.nodes.master_link import LinkEvent
from concurrence.nodes.owner import Owner
from concurrence.nodes.owner_channel import IOwnerChannel
from concurrence.tasks.api import ITaskSystem, SlaveSummary, Task, TaskCounts
from concurrence.tasks.loading import exception_fault
from concurrence.tasks.ownership import OwnedTasks
from concurrence.tasks.values import pack_value
from concurrence.tasks.waiting import SYSTEM, enter, leave
from concurrence.wire.codec import Frame, Parcel, encode_results
from concurrence.wire.faults import encode_fault
from concurrence.wire.messages import (
    FAILED,
    FINISHED,
    PackedResult,
    ReportProgress,
    SlaveList,
    SystemEnded,
    ToOwner,
)

MAX_PROGRESS_TEXT = 1_000
"""Characters of what a system may say of its progress; more is cut off, as no line could show it."""


class SystemRunner:
    """One task system with its owner; it is also the handle that the system has on the swarm.

    Args:
        system: The system.
        system_id: Its id.
        channel: Its compute channel.
        tasks: Its tasks.
        name: What people see.
        new_system: Makes the ids of the task systems that it pushes.
    """

    def __init__(
        self,
        system: ITaskSystem,
        system_id: SystemId,
        channel: IOwnerChannel,
        tasks: OwnedTasks,
        name: str,
        *,
        new_system: Callable[[], SystemId] = new_system_id,
    ) -> None:
        self.log: logging.Logger = logging.getLogger(f"system.{name}")
        tasks.max_depth = system.max_depth
        self.owner = Owner(channel, tasks, self, place=SYSTEM, new_system=new_system)
        self._system = system
        self._id = system_id
        self._channel = channel
        self._tasks = tasks
        self._name = name
        self._end: Parcel[SystemEnded] | None = None
        self._slaves: list[SlaveSummary] = []
        self._began = time.perf_counter()

    # --- what drives it ---

    def run(self, before_turn: Callable[[], None]) -> None:
        """Run the system until the master has its end.

        Args:
            before_turn: Called before each turn of the loop.

        Raises:
            ConcurrenceError: The channel gave up.
        """
        self.begin()
        while self._end is None and not self.owner.stopped:
            before_turn()
            self.turn(None)
        self.owner.run()

    def begin(self) -> None:
        """Initialise the system and start to drain its tasks."""
        before = enter(SYSTEM)
        try:
            self._system.init_system(self)
            tasks = self._system.generate_tasks(self)
            if tasks is not None:  # pyright: ignore[reportUnnecessaryComparison]  authors forget to return
                self.owner.push_tasks(tasks)
            self._check_complete()
        except (Exception, SystemExit) as error:  # noqa: BLE001  the author's code; the client is told
            self._failed(error)
        finally:
            leave(before)

    def turn(self, timeout: float | None) -> None:
        """One turn of the owner's loop.

        Args:
            timeout: Seconds to wait for a notification; None for as long as it takes.
        """
        try:
            self.owner.turn(timeout)
            self._check_complete()
        except (Exception, SystemExit) as error:  # the author's code or the channel
            if self._channel.error is not None:
                raise
            self._failed(error)

    def _check_complete(self) -> None:
        if self._end is not None:
            return
        before = enter(SYSTEM)
        try:
            self._ask_complete()
        finally:
            leave(before)

    def _ask_complete(self) -> None:
        if self._system.is_complete(self):
            payload, buffers = pack_value(self._system.gather_result(self), f"the result of {self._name}")
            frames: list[Frame] = [encode_results([PackedResult(payload, len(buffers))]), *buffers]
            self._finish(Parcel(SystemEnded(len(frames), self._id, FINISHED, busy=self._busy()), frames))

    def _failed(self, error: BaseException) -> None:
        fault = exception_fault(error, f"the task system {self._name} raised ")
        body = encode_results([PackedResult(encode_fault(fault))])
        self._finish(Parcel(SystemEnded(1, self._id, FAILED, busy=self._busy()), [body]))

    def _busy(self) -> float:
        """Seconds that the system was at work and did not wait for news."""
        return max(0.0, time.perf_counter() - self._began - self.owner.rest.seconds)

    def _finish(self, end: Parcel[SystemEnded]) -> None:
        self._end = end
        self._channel.send(end)

    # --- IOwnerHandlers ---

    def task_ended(self, task: Task, result: Any, error: TaskError | None) -> None:
        """Tell the system, and push what it answers."""
        if self._end is not None:
            return
        further = self._system.task_finished(self, task, result, error)
        if further is not None:
            self.owner.push_tasks(further)

    def system_ended(self, system_id: SystemId, result: Any, error: TaskError | None) -> None:
        """Tell the system of the end of one that it pushed, and push what it answers."""
        if self._end is not None:
            return
        further = self._system.system_finished(self, system_id, result, error)
        if further is not None:
            self.owner.push_tasks(further)

    def accepted(self, pushed: object) -> None:
        """Nobody here asks."""

    def rejected(self, tasks: list[Task], error: TaskError) -> None:
        """Each of them ends as a failed task."""

    def message(self, parcel: Parcel[ToOwner]) -> None:
        """Take the list of slaves; nothing else concerns a system."""
        message = parcel.message
        if isinstance(message, SlaveList):
            self._slaves = [SlaveSummary(slave.name, slave.workers) for slave in message.slaves]

    def link(self, event: LinkEvent) -> None:
        """Send the end again on a new connection; the master's goodbye is the end of it all."""
        if event is LinkEvent.DISMISSED:
            self.owner.stop()
        elif event is LinkEvent.READY and self._end is not None:
            self._channel.send(self._end)

    def idle(self) -> None:
        """Completeness is asked after every turn anyway."""

    # --- ITaskMaster ---

    def push_task(self, task: Task) -> TaskId:
        """Push one task of this system."""
        return self.owner.push_task(task)

    def push_tasks(self, tasks: Iterable[Task]) -> None:
        """Push tasks of this system; an iterator is drained as the swarm takes them."""
        self.owner.push_tasks(tasks)

    def push_tasksystem(self, system: ITaskSystem) -> SystemId:
        """Push a further task system, whose end this one is told."""
        return self.owner.push_system(system)

    def cancel_system(self, system_id: SystemId) -> None:
        """Cancel a task system that this one pushed."""
        self.owner.cancel(system_id, None)

    def cancel(self, task_ids: Iterable[TaskId] | None = None) -> None:
        """Cancel these tasks, or all that are unfinished."""
        counters = None if task_ids is None else [task_id.counter for task_id in task_ids]
        self.owner.cancel(self._id, counters)

    def report_progress(self, done: float, total: float, text: str = "") -> None:
        """Tell the client how far the system is.

        Raises:
            UsageError: A number is infinite or none.
        """
        for word, number in (("done", done), ("total", total)):
            if not math.isfinite(number):
                raise UsageError(
                    f"report_progress() was given {word}={number}", hint="While nobody knows, give total=0."
                )
        # A little less than nothing is what rounding makes of nothing.
        progress = ReportProgress(
            self._id, max(0.0, float(done)), max(0.0, float(total)), text[:MAX_PROGRESS_TEXT]
        )
        self._channel.send(Parcel(progress))

    @property
    def slaves(self) -> list[SlaveSummary]:
        """The slaves as last heard of."""
        return list(self._slaves)

    @property
    def stats(self) -> TaskCounts:
        """How many of this system's tasks are in which state."""
        return self.owner.counts
