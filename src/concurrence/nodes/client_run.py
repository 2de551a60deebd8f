"""One run of a client application: a swarm, a channel to it, and notifications turned into handler calls."""

from __future__ import annotations

import bdb
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from concurrence.env.config import ConfigChanges
from concurrence.env.environment import Environment
from concurrence.env.watching import LOOK_SECONDS, ConfigWatch
from concurrence.errors import ConnectionFailed, TaskError, UsageError
from concurrence.ids import SystemId, TaskId, new_system_id
from concurrence.nodes.api import IApplicationHandlers, INodeService, NodeType
from concurrence.nodes.client_signals import catch_signals
from concurrence.nodes.display import IDisplay, RunSummary
from concurrence.nodes.identity import Identity
from concurrence.nodes.inline import open_inline
from concurrence.nodes.local import LocalSwarm
from concurrence.nodes.main_loop import LoopedChannel, MainLoop
from concurrence.nodes.master_link import LinkEvent
from concurrence.nodes.owner import Owner
from concurrence.nodes.owner_channel import IOwnerChannel, OwnerChannel
from concurrence.nodes.reactor import Timer
from concurrence.nodes.rest import Taken
from concurrence.nodes.run_report import RunReport, make_report
from concurrence.nodes.services import NodeHandle, NodeServices
from concurrence.nodes.stop_signals import StopSignals
from concurrence.nodes.task_output import show_output
from concurrence.nodes.usage_question import ask_usage
from concurrence.tasks.api import ITaskSystem, Task
from concurrence.tasks.bundles import BundleCollector
from concurrence.tasks.ownership import OwnedTasks
from concurrence.tasks.packing import TaskPacker
from concurrence.telemetry.api import IStats
from concurrence.transport.api import ITransport
from concurrence.transport.security import Credentials
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Cancel, Output, Progress, ToOwner, Usage

_SHOW_SECONDS = 0.1
_IDLE_SECONDS = 3.0
_NOTHING_LEFT = "nothing is left to do"
_HAS_TO_END = "work_finished() has to call shutdown_main_loop()"


class RunSettings(Struct):
    """How a run reaches its swarm.

    Attributes:
        transport: Makes the client.
        credentials: How to reach a master; None to start a private swarm.
        connect_timeout: Seconds to wait for the master's first answer.
        push_timeout: Tells the seconds that a push outside handlers waits for room; it may change.
        max_depth: How many tasks may push one another in a row.
        detach: Whether the application's task system is left at the master.
        workers: Workers of a private swarm; None for what the options say.
        inline: Everything in this process and thread.
        display: What is shown.
        stats: The application's counters.
        services: Tells the services that plug-ins add to the node.
    """

    transport: ITransport
    credentials: Credentials | None
    connect_timeout: float
    push_timeout: Callable[[], float]
    max_depth: int
    detach: bool
    workers: int | None
    inline: bool
    display: IDisplay
    stats: IStats
    services: Callable[[], Sequence[INodeService]]


class ClientRun:
    """One run.

    Args:
        handlers: The application.
        environment: The one that it runs in.
        identity: Who it is in the swarm.
        settings: How it reaches its swarm.
    """

    def __init__(
        self,
        handlers: IApplicationHandlers,
        environment: Environment,
        identity: Identity,
        settings: RunSettings,
    ) -> None:
        self.identity = identity
        self.system_id = new_system_id()
        self._handlers = handlers
        self._environment = environment
        self._settings = settings
        self._display = settings.display
        self._tasks = OwnedTasks(self.system_id, identity.node, TaskPacker(BundleCollector()))
        self._tasks.max_depth = settings.max_depth
        self._swarm: LocalSwarm | None = None
        self._owner: Owner | None = None
        self._exit_code = 0
        self._progress: dict[int, Progress] = {}
        self._started, self._ended = time.monotonic(), 0.0
        self._shown = 0.0
        self._was_lost = False
        self._usage: Usage | None = None
        self._loop = MainLoop()
        self._watch = ConfigWatch(environment, self._config_changed)
        self._services: NodeServices | None = None
        self._idle_timer: Timer | None = None
        self._was_idle = False

    @property
    def owner(self) -> Owner:
        """The owner of its tasks.

        Raises:
            UsageError: There is no swarm yet.
        """
        if self._owner is None:
            raise UsageError(
                f"{self.identity.name} is not connected yet",
                hint="Push tasks in start_processing() or in a handler, not in app_init().",
            )
        return self._owner

    # --- the run ---

    def run(self) -> int:
        """Run until the application ends; the exit code.

        Raises:
            ConcurrenceError: There is no swarm to be had, or it was lost for good.
            Exception: Whatever a handler raised.
        """
        signals = catch_signals(self._environment, lambda: self._loop.post(self._watch.reload))
        channel: IOwnerChannel | None = None
        reason = "the application ended"
        try:
            channel = self._connect()
            self._loop.wake = channel.wake
            looped = LoopedChannel(channel, self._loop)
            self._owner = Owner(looped, self._tasks, self, patience=self._settings.push_timeout())
            self._loop.call_every(LOOK_SECONDS, self._watch.look)
            self._start_services()
            self._started = time.monotonic()
            self._begin(self._owner)
            self._owner.run()
        except (KeyboardInterrupt, bdb.BdbQuit):
            reason = "the application was interrupted"
            if self._owner is not None:
                self._owner.stop()
                self._handlers.interrupted()
            raise KeyboardInterrupt from None
        except ConnectionFailed as error:
            self._was_lost = True
            if self._settings.inline and self._owner is not None and self._owner.is_idle:
                raise UsageError(f"{_NOTHING_LEFT}; {_HAS_TO_END}") from error
            raise
        finally:
            signals.is_ending = True
            self._ended = time.monotonic()
            try:
                if self._owner is not None and channel is not None and not self._was_lost:
                    self._usage = ask_usage(channel)
            finally:
                self._close(channel, reason, signals)
                signals.release()
        return self._exit_code

    def _close(self, channel: IOwnerChannel | None, reason: str, signals: StopSignals) -> None:
        try:
            if self._services is not None:
                self._services.end(signals)
        finally:
            if channel is not None:
                channel.close(reason)
            if self._swarm is not None:
                self._swarm.stop()

    def stop(self, exit_code: int) -> None:
        """End after the present handler."""
        self._exit_code = exit_code
        self.owner.stop()

    def push_system(self, system: ITaskSystem, *, detached: bool) -> SystemId:
        """Push a task system.

        Raises:
            UsageError: It is to be detached, and the master ends with this application.
        """
        if detached and (self._settings.inline or self._settings.credentials is None):
            raise UsageError(
                "a task system can be detached only at a master that goes on, and this swarm is a private one",
                hint="Start a master with: concurrence master --env ENV, and run the application with --master.",
            )
        return self.owner.push_system(system, detached=detached)

    def cancel(self, task_ids: Iterable[TaskId] | None) -> None:
        """Cancel plain tasks."""
        counters = None if task_ids is None else [task_id.counter for task_id in task_ids]
        self.owner.cancel(self.system_id, counters)

    def summary(self) -> RunSummary:
        """What the run took so far; what has not ended by now counts as cancelled."""
        counts = self._tasks.counts
        systems = [each for system, each in self._progress.items() if system != self.system_id]
        owner = self._owner
        lost = [self._progress[each] for each in (owner.systems if owner else ()) if each in self._progress]
        unfinished = len(self._tasks) + sum(each.queued + each.running for each in lost)
        return RunSummary(
            wall=self._taken().wall,
            busy=sum(each.busy for each in systems) + (owner.busy if owner else 0.0),
            finished=sum(each.finished for each in systems) + counts.finished,
            failed=sum(each.failed for each in systems) + counts.failed,
            cancelled=sum(each.cancelled for each in systems) + counts.cancelled + unfinished,
            moved=sum(each.moved for each in systems) + (owner.moved if owner else 0),
        )

    def report(self) -> RunReport:
        """Where the time went."""
        summary = self.summary()
        is_private = self._settings.inline or self._settings.credentials is None
        taken = self._taken()
        return make_report(summary, self._usage, owner=taken.work, after=taken.after, is_private=is_private)

    def _taken(self) -> Taken:
        owner, now = self._owner, self._ended or time.monotonic()
        if owner is None:
            return Taken(now - self._started, 0.0, 0.0)
        return owner.rest.taken(started=self._started, is_over=owner.is_idle, now=now)

    def _start_services(self) -> None:
        environment, name = self._environment, self.identity.name
        self._services = services = NodeServices(
            self._settings.services(),
            lambda service: NodeHandle(
                service, NodeType.CLIENT, name, environment, self._settings.stats, self._loop
            ),
            environment.log,
        )
        services.start()

    def _config_changed(self, changes: ConfigChanges) -> None:
        if self._owner is not None:
            self._owner.patience = self._settings.push_timeout()

    def _begin(self, owner: Owner) -> None:
        system = self._handlers.get_task_system()
        if system is not None:
            self.push_system(system, detached=self._settings.detach)
        elif self._settings.detach:
            raise UsageError(
                f"{self.identity.name} has no task system, and nothing else can be detached",
                hint="Plain tasks are those of their client. Return a task system in get_task_system().",
            )
        else:
            self._handlers.start_processing()

    def _connect(self) -> IOwnerChannel:
        settings = self._settings
        if settings.inline:
            return open_inline(self._environment, self.identity, self.system_id)
        credentials = settings.credentials
        if credentials is None:
            self._swarm = LocalSwarm(self._environment, settings.workers)
            self._swarm.start()
            credentials = self._swarm.wait()
        channel = OwnerChannel(
            lambda: settings.transport.client(credentials),
            lambda resumes: self.identity.hello(resumes, system=self.system_id),
            credentials.address,
            patience=settings.connect_timeout,
        )
        channel.start()
        return channel

    # --- IOwnerHandlers ---

    def task_ended(self, task: Task, result: Any, error: TaskError | None) -> None:
        """Tell the application."""
        self._handlers.task_finished(task, result, error)
        now = time.perf_counter()
        if now - self._shown >= _SHOW_SECONDS:
            self._show_tasks(now)

    def system_ended(self, system_id: SystemId, result: Any, error: TaskError | None) -> None:
        """Tell the application."""
        if error is None:
            self._handlers.work_finished(result, system_id)
        else:
            self._handlers.push_tasksystem_failed(system_id, error)
        self._expect_end()

    def accepted(self, pushed: object) -> None:
        """Tell the application."""
        if isinstance(pushed, Task):
            self._handlers.push_task_response(pushed)
        elif isinstance(pushed, int):
            self._handlers.push_tasksystem_response(SystemId(pushed))
            if self._settings.detach:
                self._leave(SystemId(pushed))
        else:
            self._handlers.push_tasks_response(pushed)  # pyright: ignore[reportArgumentType]  what was pushed

    def _leave(self, system_id: SystemId) -> None:
        """The master has the application's task system: that goes on alone."""
        self._display.say(f"task system {system_id:016x} goes on at the master")
        self._display.say(f"its result: concurrence attach {system_id:016x}")
        self.owner.systems.discard(system_id)
        self._progress.pop(system_id, None)
        self.stop(0)

    def rejected(self, tasks: list[Task], error: TaskError) -> None:
        """Tell the application."""
        if len(tasks) == 1:
            self._handlers.push_task_failed(tasks[0], error)
        else:
            self._handlers.push_tasks_failed(tasks, error)

    def message(self, parcel: Parcel[ToOwner]) -> None:
        """Show what tasks print, and how far they are."""
        message = parcel.message
        if isinstance(message, Output):
            show_output(message, self._tasks, self._display)
        elif isinstance(message, Progress):
            self._progress[message.system] = message
            if message.system != self.system_id:
                self._show_system(message)
        elif isinstance(message, Cancel):
            self._environment.log.warning(
                "an administrator cancelled all tasks; what waits to be pushed is dropped"
            )
            self.cancel(None)

    def link(self, event: LinkEvent) -> None:
        """Tell the application of losses and reconnections."""
        if event is LinkEvent.LOST:
            # A private master that has ended does not come back.
            reason = self._swarm.why_lost() if self._swarm is not None else None
            if reason is not None:
                self._was_lost = True
                raise reason
            self._was_lost = True
            self._handlers.master_disconnected()
        elif self._was_lost and event in (LinkEvent.READY, LinkEvent.FORGOTTEN):
            self._was_lost = False
            self._handlers.master_reconnected()

    def idle(self) -> None:
        """All plain tasks ended; nothing to tell if the application pushed only systems."""
        self._show_tasks(time.perf_counter())
        if self._tasks.counts.pushed or not (self._progress.keys() - {self.system_id}):
            self._handlers.work_finished(None, self.system_id)
            self._expect_end()

    def _expect_end(self) -> None:
        """If the application neither ends nor pushes more, its author will wonder: say why."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self.owner.is_idle and not (self.owner.stopped or self._was_idle):
            self._idle_timer = self._loop.call_later(_IDLE_SECONDS, self._say_idle)

    def _say_idle(self) -> None:
        if self.owner.is_idle and not self.owner.stopped:
            self._was_idle = True  # once: it may mean to push more, sometimes
            self._environment.log.warning("%s; %s", _NOTHING_LEFT, _HAS_TO_END)

    # --- display ---

    def _show_tasks(self, now: float) -> None:
        self._shown = now
        counts = self.owner.counts
        ended = counts.finished + counts.failed + counts.cancelled
        total = counts.pushed if not counts.undrained else 0
        if counts.pushed:
            self._display.progress(ended, total or self.owner.expected, "")
            self._handlers.progress(self.system_id, ended, total, "")

    def _show_system(self, message: Progress) -> None:
        if message.total:
            done, total = message.done, message.total
        else:
            done = message.finished + message.failed + message.cancelled
            total = done + message.queued + message.running
        if message.system in self.owner.systems:  # not of those that these pushed: one bar cannot show all
            self._display.progress(done, total, message.text)
        self._handlers.progress(SystemId(message.system), done, total, message.text)
