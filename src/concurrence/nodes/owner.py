"""An owner's main thread: pushes tasks, runs handlers one at a time, keeps within the bounds.

Applications and the hosts of task systems are both owners; they differ only in their handlers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from concurrence.errors import Backpressure, ConnectionFailed
from concurrence.ids import SystemId, TaskId, new_system_id
from concurrence.nodes import room
from concurrence.nodes.master_link import LinkEvent
from concurrence.nodes.owner_channel import IOwnerChannel, Notification
from concurrence.nodes.owner_handlers import IOwnerHandlers
from concurrence.nodes.pushes import PushesUnderWay
from concurrence.nodes.rest import Rest
from concurrence.nodes.sources import Children, Sources
from concurrence.tasks.api import ITaskSystem, Task, TaskCounts
from concurrence.tasks.ownership import OwnedTasks, Push, TaskEnd, system_end
from concurrence.tasks.waiting import HANDLER, Place, enter, leave
from concurrence.wire import faults
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import (
    AttachSystem,
    PushAccepted,
    PushRejected,
    PushSystem,
    PushTasks,
    Results,
    SystemResult,
)

UNACCEPTED_PUSHES = 4
"""With fewer pushes under way a task is sent at once; with more it waits for company."""

_BURST = 256  # tasks taken from an iterable, or notifications handled, before the other gets a turn
_TASKS_CURE = "Give push_tasks a generator: it is drained as room comes."
_SYSTEMS_CURE = "Push the next one when one has ended, in work_finished() or system_finished()."


class Owner:
    """Pushes, notifications and bounds of one owner.

    Args:
        channel: Its compute channel.
        tasks: Its unfinished tasks.
        handlers: What to call.
        patience: Seconds that a push outside handlers waits for room; an attribute that may be changed.
        place: What its handlers are, for the errors of those who wait in them.
        new_system: Makes the ids of task systems.

    Attributes:
        systems: The task systems that have not ended.
        busy: Seconds that workers spent in its tasks.
        moved: Bytes of its tasks and results.
        stopped: Whether :meth:`stop` was called.
        rest: Where it waits for notifications.
        source: Where the ends come from that it tells of now: a slave, and the number of the attempt.
    """

    def __init__(
        self,
        channel: IOwnerChannel,
        tasks: OwnedTasks,
        handlers: IOwnerHandlers,
        *,
        patience: float = 600.0,
        place: Place = HANDLER,
        new_system: Callable[[], SystemId] = new_system_id,
    ) -> None:
        self.channel, self.tasks = channel, tasks
        self.systems: set[SystemId] = set()
        self.busy, self.moved = 0.0, 0
        self.rest = Rest(channel)
        self.source = ("", 0)
        self._handlers = handlers
        self.patience, self._place = patience, place
        self._new_system = new_system
        self._sources = Sources()
        self._pushes, self._room = PushesUnderWay(), room.Room(channel, tasks)
        self._in_handler, self._busy = False, True
        self.stopped = False
        self._stillborn: list[TaskEnd] = []
        tasks.on_children = self._take_children

    @property
    def is_idle(self) -> bool:
        """Whether nothing is unfinished and nothing is left to push."""
        return not (len(self.tasks) or self._sources or self.systems)

    @property
    def unfinished(self) -> int:
        """How many tasks and task systems have not ended, those included that tasks pushed and that wait."""
        return len(self.tasks) + self._sources.children + len(self.systems)

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to push or hand over before something arrives."""
        return not self._sources or self.room_for_sources <= 0

    @property
    def counts(self) -> TaskCounts:
        """How many tasks are in which state."""
        return replace(self.tasks.counts, undrained=len(self._sources), systems=len(self.systems))

    @property
    def expected(self) -> int:
        """How many tasks there will have been, as far as the pushed iterables tell; 0 while nobody knows."""
        left = self._sources.left
        return self.tasks.counts.pushed + left if left is not None else 0

    # --- pushing ---

    def push_task(self, task: Task) -> TaskId:
        """Push one task.

        Raises:
            Backpressure: Too much is unfinished, and this is called from a handler.
            ConnectionFailed: Too much is unfinished, and no room came in time.
            PackingError: The task cannot be pickled.
        """
        if not self.has_room:
            self._wait_for_room(lambda: self.has_room, f"{len(self.tasks)} tasks", _TASKS_CURE)
        task_id = self.tasks.add(task)
        self._busy = True
        if self._may_hand_over():
            self._hand_over(task)
        return task_id

    def push_tasks(self, tasks: Iterable[Task]) -> None:
        """Push tasks; the iterable is drained as room comes, also after this returns.

        Raises:
            UsageError: It is no iterable.
        """
        self.rest.begin()
        self._sources.add(tasks, in_handler=self._in_handler)
        self._busy = True
        if not self._in_handler:
            self._refill()

    def push_system(self, system: ITaskSystem, *, detached: bool = False) -> SystemId:
        """Push a task system.

        Args:
            system: The system.
            detached: Whether it is to go on when this owner is gone.

        Raises:
            Backpressure: Too many are unfinished, and this is called from a handler.
            ConnectionFailed: Too many are unfinished, and no room came in time.
            PackingError: It cannot be pickled.
        """
        if (count := len(self.systems)) >= room.MAX_PENDING_SYSTEMS:
            self._wait_for_room(lambda: len(self.systems) < count, f"{count} task systems", _SYSTEMS_CURE)
        system_id = self._new_system()
        self.tasks.add_system(system_id, system, detached=detached)
        self._await_system(system_id)
        return system_id

    def attach(self, system_id: SystemId) -> None:
        """Ask for a detached task system: it ends here as if it had been pushed here."""
        self.tasks.add_attachment(system_id)
        self._await_system(system_id)

    def _await_system(self, system_id: SystemId) -> None:
        self.systems.add(system_id)
        self._busy = True
        self._hand_over(system_id)

    def cancel(self, system: SystemId, counters: list[int] | None) -> None:
        """Cancel tasks of a system, or all of it; their ends come as notifications."""
        if counters is None and system == self.tasks.system:
            self._sources.clear()
            self.tasks.disown_children()
        self.tasks.add_cancel(system, counters)
        self._hand_over(None)

    def _hand_over(self, pushed: object) -> None:
        for push in self.tasks.take_pushes():
            self._submit(push, pushed)

    def _submit(self, push: Push, pushed: object) -> None:
        self.rest.begin()
        self.moved += push.bytes
        self._pushes.add(push, pushed)
        self.channel.submit(push)

    def _wait_for_room(self, is_there: Callable[[], bool], what: str, cure: str) -> None:
        if self._in_handler:
            raise Backpressure(
                f"{what} are unfinished, and a handler pushed one more", hint=f"A handler may not wait. {cure}"
            )
        deadline = time.monotonic() + self.patience
        while not (is_there() or self.stopped):
            if time.monotonic() > deadline:
                raise ConnectionFailed(
                    f"none of {what} ended within {self.patience:.0f} s, and there is no room for more",
                    hint="Is a slave connected? See: concurrence status",
                )
            self.turn(1.0)

    def _refill(self) -> None:
        while (source := self._sources.first()) is not None and (free := self.room_for_sources) > 0:
            self._in_handler = True
            before = enter(self._place)
            try:
                if isinstance(source, Children):
                    self._drain_children(free)
                    continue
                for _ in range(min(free, _BURST)):
                    self.tasks.add(next(source.iterator))
                    source.taken += 1
                    if self.tasks.pending_bytes >= room.SOURCE_BYTES:  # a task may have megabytes
                        break
            except StopIteration:
                self._sources.remove(source)
                self._hand_over(source.iterable)
            finally:
                leave(before)
                self._in_handler = False
                self.flush()
        if self._stillborn:
            ends, self._stillborn = self._stillborn, []
            self.end_tasks(ends)

    def _take_children(self, tasks: list[Task], size: int) -> None:
        """A task that has ended pushed others; its own end is told next."""
        if not tasks or self.stopped:
            return
        self._sources.add_children(tasks, size)
        self._busy = True
        self._drain_children(self.room_for_sources)

    def _drain_children(self, room: int) -> None:
        for child, error in self._sources.drain_children(room, self.tasks.add):
            self._stillborn.append(self.tasks.fail_unpushed(child, error))

    @property
    def has_room(self) -> bool:
        """Whether one more task may be pushed now."""
        return self._room.for_one

    @property
    def room_for_sources(self) -> int:
        """How many tasks may be taken from iterables."""
        return self._room.for_sources

    def _may_hand_over(self) -> bool:
        return self._pushes.unanswered(self.channel.accepted_push) < UNACCEPTED_PUSHES

    # --- the loop ---

    def run(self) -> None:
        """Handle notifications until :meth:`stop`.

        Raises:
            ConcurrenceError: The channel gave up.
            Exception: Whatever a handler raised.
        """
        while not self.stopped:
            self.turn(None)
            if self._busy and self.is_idle and not self.stopped:
                self._busy = False
                self._call(self._handlers.idle)

    def stop(self) -> None:
        """End the loop after the present handler."""
        self.stopped = True

    def turn(self, timeout: float | None) -> None:
        """Drain sources as far as there is room, then handle what has come.

        Args:
            timeout: Seconds to wait for the first notification; None for as long as it takes.
        """
        self.drain()
        if self._busy and self.is_idle:
            timeout = 0
        self.take(self.rest.until(timeout))

    def drain(self) -> None:
        """Push what waits, as far as there is room, and hand it over."""
        self._refill()
        self.flush()

    def flush(self) -> None:
        """Hand over what waits for company, unless enough pushes are under way."""
        if self._may_hand_over():
            self._hand_over(None)

    def take(self, notification: Notification | None) -> None:
        """Handle a notification, and what else has come by now."""
        delivered = 0
        for left in reversed(range(_BURST + 1)):
            if notification is None or self.stopped:
                break
            delivered = max(delivered, self._handle(notification))
            notification = self.channel.receive(0) if left else None
        if delivered:
            self.channel.acknowledge(delivered)

    def _handle(self, notification: Notification) -> int:
        if isinstance(notification, LinkEvent):
            self._link_event(notification)
            return 0
        message = notification.message
        if isinstance(message, Results):
            self.source = (message.slave, message.attempt)
            self.busy += message.busy
            self.moved += sum(memoryview(frame).nbytes for frame in notification.frames)
            self.end_tasks(self.tasks.settle(Parcel(message, notification.frames)))
            if self._stillborn or self._sources.children:
                self._refill()
            return message.delivery
        if isinstance(message, SystemResult):
            self._system_result(Parcel(message, notification.frames))
            return message.delivery
        if isinstance(message, PushAccepted):
            self._accepted(message.push)
        elif isinstance(message, PushRejected):
            self._rejected(message)
        else:
            self._call(lambda: self._handlers.message(notification))
        return 0

    def end_tasks(self, ends: Iterable[TaskEnd]) -> None:
        """Tell tasks and handlers of ends."""

        def tell() -> None:
            for task, result, error in ends:
                task.finished(result, error)
                self._handlers.task_ended(task, result, error)

        self._call(tell)

    def _call(self, handler: Callable[[], None]) -> None:
        self._in_handler = True
        before = enter(self._place)
        try:
            handler()
        finally:
            leave(before)
            self._in_handler = False

    def _system_result(self, parcel: Parcel[SystemResult]) -> None:
        system_id = SystemId(parcel.message.system)
        if system_id not in self.systems:
            return  # delivered before
        self.systems.discard(system_id)
        self.tasks.end_system(system_id)
        result, error = system_end(parcel)
        self._call(lambda: self._handlers.system_ended(system_id, result, error))

    def _accepted(self, push: int) -> None:
        for pushed in self._pushes.accept(push):
            self._call(lambda pushed=pushed: self._handlers.accepted(pushed))

    def _rejected(self, message: PushRejected) -> None:
        parcel = self._pushes.reject(message.push)
        fault = faults.Fault(faults.KIND_LOST, f"the push was not accepted: {message.text}", message.hint)
        if parcel is None:
            return
        if isinstance(parcel.message, PushTasks):
            ends = list(self.tasks.reject(Parcel(parcel.message, parcel.frames), fault))
            error = faults.task_error(fault, slave="", attempt=0)
            self._call(lambda: self._handlers.rejected([task for task, _, _ in ends], error))
            self.end_tasks(ends)
        elif isinstance(parcel.message, PushSystem | AttachSystem):
            self._fail_systems([SystemId(parcel.message.system)], fault)

    def _link_event(self, event: LinkEvent) -> None:
        if event is LinkEvent.FAILED:
            raise self.channel.error or ConnectionFailed("the compute channel failed")
        self._call(lambda: self._handlers.link(event))
        if event is LinkEvent.FORGOTTEN:
            fault = faults.Fault(
                faults.KIND_LOST,
                "the master was restarted without a journal and does not know the task any more",
                hint="Push it again.",
            )
            late = self._pushes.forget()
            self.tasks.forget_code()
            for system in late:  # it may reach the master still, which would take it for new
                self.tasks.add_cancel(SystemId(system), None)
            self._hand_over(None)
            self.end_tasks(self.tasks.fail_pending(fault))
            self._fail_systems(list(self.systems), fault)

    def _fail_systems(self, systems: list[SystemId], fault: faults.Fault) -> None:
        error = faults.task_error(fault, slave="", attempt=0)
        for system_id in systems:
            self.systems.discard(system_id)
            self.tasks.end_system(system_id)
            self._call(lambda system_id=system_id: self._handlers.system_ended(system_id, None, error))
