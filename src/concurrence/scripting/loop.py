"""The thread that drives a script's swarm: it takes what the master says, and ends futures.

Two locks. ``_pushing`` guards the owner and its tasks: whoever pushes packs in its own thread, under that lock.
``lock`` guards the futures' states. Neither is held while anybody waits, and neither while the author's functions
are called, but for their pickling.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from concurrence.errors import Backpressure, ConcurrenceError, ConnectionFailed, UsageError
from concurrence.ids import SystemId
from concurrence.scripting.bars import Bars
from concurrence.scripting.connection import SwarmConnection
from concurrence.scripting.futures import Future
from concurrence.scripting.owner import IFeed, ScriptOwner, ThisProcess
from concurrence.scripting.settling import Settling
from concurrence.scripting.waiters import Waiters
from concurrence.tasks import waiting
from concurrence.tasks.api import ITaskSystem, SlaveSummary, Task, TaskCounts
from concurrence.wire.messages import Progress, Usage

T = TypeVar("T")

_SETTLED_SECONDS = 3.0


class SwarmLoop:
    """Drives a swarm: in a thread of its own or, inline, in that of whoever waits.

    Args:
        connection: How the swarm is reached.
    """

    def __init__(self, connection: SwarmConnection) -> None:
        self.lock = threading.Lock()
        self.is_inline = connection.inline
        self.log = connection.log
        self._connection = connection
        self._pushing = threading.RLock()
        self._owner: ScriptOwner | None = None
        self._settling = Settling(self.lock, connection.log)
        self._feeds: list[IFeed] = []
        self._room_waiters = Waiters()
        self._idle_waiters = Waiters()
        self._is_working = False
        self._stopping = False
        self._reason = "the script ended"
        self._error: ConcurrenceError | None = None
        self.bars = Bars(connection.display, self.wake)
        self._process = ThisProcess()
        self.handle: Callable[[], object] = lambda: None  # the swarm's, weakly: it ends when nobody has it
        self._kept: object = None

    # --- life ---

    def open(self) -> None:
        """Connect; returns when the master has answered, and said who is there.

        Raises:
            ConcurrenceError: There is no swarm to be had.
        """
        channel = self._connection.open()
        self._owner = owner = ScriptOwner(channel, self._connection)
        owner.stop_feeds = self._stop_feeds
        deadline = time.monotonic() + self._connection.connect_timeout + _SETTLED_SECONDS
        while not (owner.knows_slaves or self._stopping) and time.monotonic() < deadline:
            self.cycle(_SETTLED_SECONDS)

    def begin_to_end(self, reason: str) -> None:
        """From any thread: take nothing more, and let the loop come to its end."""
        if not self._stopping:
            self._reason = reason
            self._stopping = True
            self.wake()

    def shut(self, lost: ConcurrenceError | None) -> None:
        """End whatever is unfinished, and the connection. Repeatable.

        Args:
            lost: Why the swarm is lost; None if it is left.
        """
        owner, self._error = self._owner, self._error or lost
        with self._pushing:
            self._stopping = True
            self._stop_feeds(lost)
            if owner is not None:
                owner.abandon(list(self._settling.systems), f"{self._reason} before the task did", lost)
        try:
            if owner is not None:
                owner.channel.close(self._reason)
        finally:  # whatever fails: nobody is left waiting
            if owner is not None:
                self._deliver(owner)
            self._room_waiters.release()
            self._idle_waiters.release()
            self.bars.close()
            self._connection.close()

    # --- the loop ---

    def cycle(self, timeout: float | None) -> None:
        """Wait for news, end futures, push what there is room for.

        Args:
            timeout: Seconds to wait; None for as long as it takes.

        Raises:
            ConcurrenceError: The swarm is lost.
        """
        if (owner := self._owner) is None:
            raise UsageError("the swarm is not connected")
        with self._pushing:
            owner.flush()
        notification = owner.channel.receive(timeout)
        with self._pushing:
            self._is_working = True
            owner.take(notification)
            owner.drain()
            if owner.has_room:
                self._room_waiters.release()
        self._deliver(owner)
        self._feed()
        self.bars.show(owner, is_open=bool(self._feeds))
        kept: object = None
        with self._pushing:
            self._is_working = False
            if self._is_idle(owner):
                self._idle_waiters.release()
                kept, self._kept = self._kept, None
        del kept  # not under the lock: it may be the end of the swarm

    def _is_idle(self, owner: ScriptOwner) -> bool:
        return owner.is_idle and not (self._is_working or self._feeds)

    @property
    def is_eager(self) -> bool:
        """Whether there is something to push at once."""
        return self.room > 0 and any(feed.is_eager for feed in self._feeds)

    def _deliver(self, owner: ScriptOwner) -> None:
        with self._pushing:
            ends, owner.ended = owner.ended, []
            systems, owner.ended_systems = owner.ended_systems, []
        self._settling.deliver(ends, systems)

    def _feed(self) -> None:
        if not self._feeds:
            return
        before = waiting.enter(waiting.SOURCE)
        try:
            for feed in list(self._feeds):
                if self._stopping:
                    return
                if not feed.feed():
                    with self._pushing:
                        if feed in self._feeds:
                            self._feeds.remove(feed)
        finally:
            waiting.leave(before)

    def _stop_feeds(self, lost: ConcurrenceError | None = None) -> None:
        feeds, self._feeds = self._feeds, []
        for feed in feeds:
            feed.stop(lost)

    # --- what callers do, in whatever thread ---

    def push(self, future: Future[Any]) -> None:
        """Push a future's task; waits for room where one may wait.

        Raises:
            Backpressure: There is no room, and this is a place where nobody may wait.
            ConnectionFailed: There is no room, and none came in time; or the swarm is lost.
            PackingError: The task cannot be pickled.
            UsageError: The swarm is closed.
        """
        task = future.task
        if task is None:
            raise TypeError(future)
        while True:
            with self._here():
                owner = self._owner_here()
                if owner.has_room:
                    # Noted before it can end: the ends of this task are taken under the same lock.
                    self._settling.tasks[owner.push_task(task).counter] = future
                    self._kept = self.handle()  # as long as something is unfinished
                    return
            self._wait_for_room(owner)

    def push_system(self, system: ITaskSystem, future_of: Callable[[SystemId], Future[Any]]) -> Future[Any]:
        """Push a task system.

        Raises:
            PackingError: It cannot be pickled.
        """
        with self._here():
            system_id = self._owner_here().push_system(system)
            future = self._settling.systems[system_id] = future_of(system_id)
            self._kept = self.handle()
        return future

    def attach(self, system_id: SystemId, future_of: Callable[[SystemId], Future[Any]]) -> Future[Any]:
        """Ask for a detached task system."""
        with self._here():
            self._owner_here().attach(system_id)
            future = self._settling.systems[system_id] = future_of(system_id)
            self._kept = self.handle()
        return future

    def check_task(self, task: Task) -> None:
        """See whether a task can be packed.

        Raises:
            PackingError: It cannot.
        """
        with self._here():
            self._owner_here()
            self._connection.packer.pack(task)

    def add_feed(self, feed: IFeed) -> None:
        """Push what a feed has, as room comes."""
        with self._here():
            owner = self._owner_here()
            self._feeds.append(feed)
            self._kept = self.handle()
        if self.is_inline and waiting.place() is None:
            self._feed()
        owner.channel.wake()

    def resume(self, feed: IFeed) -> None:
        """In the thread that drives the swarm: a feed that had no more has some again."""
        with self._pushing:
            if feed not in self._feeds and not self._stopping:
                self._feeds.append(feed)

    def check_here(self) -> None:
        """Refuse to work in a fork of the process that made the swarm.

        Raises:
            UsageError: This is one.
        """
        self._process.check()

    def wake(self) -> None:
        """Somebody made room."""
        if self._owner is not None:
            self._owner.channel.wake()

    def cancel_future(self, future: Future[Any]) -> None:
        """Cancel its task or task system."""
        with self._here():
            owner = self._owner
            if owner is None or self._stopping:
                return
            if future.system_id is not None:
                owner.cancel(future.system_id, None)
            elif future.task_id is not None:
                owner.cancel(owner.tasks.system, [future.task_id.counter])

    def cancel_all(self) -> int:
        """Cancel whatever is unfinished; how many tasks and systems that were."""
        with self._here():
            owner = self._owner_here()
            self._stop_feeds()
            count = self.unfinished
            owner.cancel(owner.tasks.system, None)
            for system_id in list(owner.systems):
                owner.cancel(system_id, None)
        owner.channel.wake()  # if there was only more to push, nothing else will come
        return count

    def wait_idle(self, timeout: float | None) -> bool:
        """Wait until everything has ended, callbacks included; False if the time was up before."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._idle_waiters.one() as queue:
            with self._here():
                if self._is_idle(self._owner_here()):
                    return True
            try:
                self.take(queue, deadline)
            except Empty:
                return False
        if self._error is not None:
            raise self._error
        return True

    def take(self, queue: SimpleQueue[T], deadline: float | None) -> T:
        """The next of a queue that the swarm fills; inline, the swarm works meanwhile."""
        self._process.check()
        if not self.is_inline:
            return queue.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        with self._pushing:
            while queue.empty():
                if deadline is not None and time.monotonic() >= deadline:
                    raise Empty
                self.cycle(0 if self.is_eager else None)
        return queue.get_nowait()

    def ask_usage(self, timeout: float) -> Usage:
        """What the tasks that were pushed here took of the swarm.

        Raises:
            Empty: The master did not say so in time.
        """
        with self._here():
            answer = self._owner_here().ask_usage()
        return self.take(answer, time.monotonic() + timeout)

    @property
    def progress(self) -> list[Progress]:
        """How the task systems are that were pushed here."""
        system = self._connection.tasks.system
        known = self._owner.progress if self._owner is not None else {}
        return [each for each in list(known.values()) if each.system != system]

    @property
    def unfinished(self) -> int:
        """How many tasks and task systems have not ended."""
        count = len(self._settling)
        # What tasks pushed has no futures.
        return max(count, self._owner.unfinished) if self._owner is not None else count

    def warn_of_unheard(self) -> None:
        """At the end: say how many tasks failed whose futures nobody asked."""
        self._settling.warn_of_unheard()

    @property
    def slaves(self) -> list[SlaveSummary]:
        """The slaves that are connected, as far as the master said."""
        return list(self._owner.slaves) if self._owner is not None else []

    @property
    def workers(self) -> int:
        """How many tasks can run at once; a guess while no slave is there, for the sizes of packs."""
        return sum(slave.workers for slave in self.slaves) or os.cpu_count() or 1

    @property
    def counts(self) -> TaskCounts:
        """How many tasks are in which state."""
        return self._connection.tasks.counts

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be pushed any more."""
        return self._stopping

    @property
    def room(self) -> int:
        """How many tasks a feed may push now."""
        owner = self._owner
        return 0 if owner is None or self._stopping else owner.room_for_sources

    def describe(self) -> str:
        """What is unfinished, and who is there to do it."""
        count, workers = self.unfinished, sum(slave.workers for slave in self.slaves)
        tasks = f"{count} task{'s are' if count != 1 else ' is'} unfinished"
        return f"{tasks}, with {workers} worker{'s' if workers != 1 else ''}" if workers else tasks

    def _here(self) -> AbstractContextManager[object]:
        self._process.check()  # first: a fork may have copied the lock in the hands of another thread
        return self._pushing

    def _owner_here(self) -> ScriptOwner:
        if self._error is not None:
            raise self._error
        if self._owner is None or self._stopping:
            raise UsageError(
                "the swarm is closed", hint="Push inside the with block, or before close(); or connect again."
            )
        return self._owner

    def _wait_for_room(self, owner: ScriptOwner) -> None:
        where = waiting.place()
        if where is not None:
            raise Backpressure(
                f"{len(owner.tasks)} tasks are unfinished, and one more was pushed inside {where.name}, which may "
                "not wait",
                hint="Give push_tasks or map a generator: it is drained as room comes.",
            )
        patience = self._connection.push_timeout
        with self._room_waiters.one() as queue:
            if owner.has_room or self._stopping:
                return
            try:
                self.take(queue, time.monotonic() + patience)
            except Empty:
                raise ConnectionFailed(
                    f"no room came within {patience:.0f} s: {len(owner.tasks)} tasks wait",
                    hint="Is a slave connected? See: concurrence status",
                ) from None
