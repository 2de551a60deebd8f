"""The swarm as an object, for scripts and notebooks: submit, map, wait. Everything else is notified instead."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, NoReturn, ParamSpec, Self, TypeVar, cast, overload

from concurrence.errors import UsageError
from concurrence.ids import SystemId
from concurrence.nodes.run_report import RunReport
from concurrence.scripting.bars import since_now
from concurrence.scripting.bulk_map import MapResults, start_map
from concurrence.scripting.connection import SwarmConnection
from concurrence.scripting.futures import Future
from concurrence.scripting.loop import SwarmLoop
from concurrence.scripting.owner import ThisProcess
from concurrence.scripting.pushed_tasks import PushedTasks, TaskFeed
from concurrence.scripting.report import report_of
from concurrence.scripting.thread import SwarmThread
from concurrence.tasks import waiting
from concurrence.tasks.api import ITaskSystem, SlaveSummary, Task, TaskCounts
from concurrence.tasks.functions import FunctionTask, TaskFunction
from concurrence.tasks.shared import Shared

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")


_CLOSED = "the swarm was closed"


class Swarm:
    """A connection to a swarm, for scripts and notebooks; made by ``connect`` or ``local_swarm``.

    Any thread may use it. At the end of its ``with`` block it waits until everything has ended; an exception that
    leaves the block cancels what is unfinished. Nothing can be pushed afterwards.

    Args:
        connection: How the swarm is reached.
    """

    def __init__(self, connection: SwarmConnection) -> None:
        self._loop = SwarmLoop(connection)
        self._thread = SwarmThread(self._loop)
        self._place = connection.place
        self._title = "inline" if connection.inline else "private" if connection.is_private else "connected"
        self._streams: weakref.WeakSet[PushedTasks] = weakref.WeakSet()
        try:
            self._thread.start()
        except BaseException:
            self._thread.stop("connecting failed")
            raise
        # Also at the exit of the interpreter: nothing of a private swarm is left behind.
        self._loop.handle = weakref.ref(self)
        self._closing = weakref.finalize(self, _end, self._loop, self._thread, ThisProcess())

    # --- pushing ---

    @overload
    def submit(self, function: Task, /) -> Future[Any]: ...

    @overload
    def submit(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Push a call of a function, to be run on some worker.

        Args:
            function: Any that can be pickled, lambdas and closures too. That of a ``@task`` keeps its options.
            args: Its positional arguments, as they are now.
            kwargs: Its keyword arguments.

        Returns:
            A future of what the function returns.

        Raises:
            Backpressure: Too much is unfinished, and this is called from a callback.
            ConnectionFailed: Too much is unfinished and no room came in time, or the swarm is lost.
            PackingError: The function or an argument cannot be pickled; the text names it.
            UsageError: The swarm is closed.
        """
        if isinstance(function, Task):
            if args or kwargs:
                raise UsageError(
                    f"submit was given the task {function!r} and arguments, which a task takes none of",
                    hint="Submit a function with arguments, or a task alone.",
                )
            task: Task = function
        elif isinstance(function, TaskFunction):
            task = cast("TaskFunction[..., Any]", function).task(*args, **kwargs)
        elif callable(function):
            task = FunctionTask(function, args, kwargs)
        else:
            raise UsageError(
                f"submit was given {function!r:.200}, which cannot be called",
                hint="Submit the function and its arguments: submit(f, 1), not submit(f(1)).",
            )
        future: Future[Any] = Future(self._loop, task)
        self._loop.push(future)
        return future

    @overload
    def map(
        self,
        function: Callable[[A], R],
        items: Iterable[A],
        /,
        *,
        ordered: bool = True,
        pack: int | None = None,
        timeout: float | None = None,
    ) -> MapResults[R]: ...

    @overload
    def map(
        self,
        function: Callable[[A, B], R],
        items: Iterable[A],
        more_items: Iterable[B],
        /,
        *,
        ordered: bool = True,
        pack: int | None = None,
        timeout: float | None = None,
    ) -> MapResults[R]: ...

    @overload
    def map(
        self,
        function: Callable[..., R],
        /,
        *items: Iterable[Any],
        ordered: bool = True,
        pack: int | None = None,
        timeout: float | None = None,
    ) -> MapResults[R]: ...

    def map(
        self,
        function: Callable[..., R],
        /,
        *items: Iterable[Any],
        ordered: bool = True,
        pack: int | None = None,
        timeout: float | None = None,
    ) -> MapResults[R]:
        """Call a function with each item, many items per task; iterate what this returns.

        Lists, ranges, arrays and other containers are worked through in the background; they must not be changed
        meanwhile (lists may be). Generators are drained as their results are taken, some way ahead, so they may be
        infinite.

        Args:
            function: As for :meth:`submit`.
            items: One iterable, or several whose items go together as arguments; the shortest ends it.
            ordered: Results in the order of the items; False for as they come.
            pack: Items per task; by default so many that a task takes about 75 ms, less towards the end.
            timeout: Seconds from now to the last result, after which iterating raises TimeoutError.

        Raises:
            PackingError: The function cannot be pickled. Of an item, that is raised at its turn.
            UsageError: The swarm is closed, or the arguments mean nothing.
        """
        return start_map(self._loop, function, items, ordered=ordered, pack=pack, timeout=timeout)

    def push_task(self, task: Task) -> Future[Any]:
        """Push a task; its ``finished`` is called in the thread that drives the swarm.

        Raises:
            PackingError: It cannot be pickled.
        """
        if not isinstance(task, Task):  # pyright: ignore[reportUnnecessaryIsInstance]  authors need no checker
            raise UsageError(
                f"{type(task).__name__!r} was pushed, and only tasks can be: {task!r:.200}",
                hint="Of a @task function push f.task(...); of others use submit(f, ...).",
            )
        return self.submit(task)

    def push_tasks(self, tasks: Iterable[Task]) -> PushedTasks:
        """Push tasks; a generator is drained as room comes, in the background.

        Returns:
            An iterator over their futures in the order in which they end; it need not be used.

        Raises:
            UsageError: It is no iterable, or the swarm is closed.
        """
        if not isinstance(tasks, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]  authors need no checker
            raise UsageError(
                f"push_tasks was given {tasks!r:.200}, which is no iterable of tasks",
                hint="Push one task with push_task(task), or as push_tasks([task]).",
            )
        feed = TaskFeed(self._loop, tasks)
        pushed = PushedTasks(self._loop, feed)
        wake = self._loop.wake
        feed.consumer = weakref.ref(pushed, lambda _: wake())  # what nobody reads is drained all the same
        self._streams.add(pushed)
        self._loop.add_feed(feed)
        return pushed

    def push_tasksystem(self, system: ITaskSystem) -> Future[Any]:
        """Push a task system; the future is of its one result.

        Raises:
            PackingError: It cannot be pickled.
        """
        name = getattr(system, "name", "") or type(system).__name__

        def future_of(system_id: SystemId) -> Future[Any]:
            return Future(self._loop, None, name, system_id)

        return self._loop.push_system(system, future_of)

    def attach(self, system_id: SystemId) -> Future[Any]:
        """Come for a task system that an application left at the master; the future is of its one result.

        Args:
            system_id: Its number, as ``concurrence run --detach`` said it: ``int(text, 16)``.

        Raises:
            UsageError: The swarm is closed.
        """
        return self._loop.attach(system_id, lambda system: Future(self._loop, None, "detached", system))

    def share(self, value: R) -> Shared[R]:
        """A handle on a value that many tasks use: it travels once to each slave. Tasks read ``handle.value``."""
        return Shared(value)

    # --- waiting and ending ---

    def wait(self, timeout: float | None = None) -> None:
        """Wait until everything that was pushed has ended, callbacks included.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            ConnectionFailed: The swarm is lost.
            TimeoutError: Not everything ended in time.
            WouldBlock: This is a place where nobody may wait.
        """
        waiting.check("swarm.wait()")
        for pushed in list(self._streams):
            pushed.is_left = True  # whoever waits takes no ends meanwhile
        loop = self._loop
        loop.wake()
        look = since_now(lambda: loop.counts, lambda: None if loop.bars.is_open else loop.unfinished)
        with loop.bars.during("unfinished tasks", look):
            is_idle = loop.wait_idle(timeout)
        if not is_idle:
            raise TimeoutError(f"not everything has ended within {timeout:g} s; {self._loop.describe()}")

    def cancel_all(self) -> None:
        """Cancel everything that is unfinished; the ends come as those of any other."""
        self._loop.cancel_all()

    def close(self) -> None:
        """End the connection, and with it a private swarm; what is unfinished is cancelled. Repeatable."""
        if (end := self._closing.detach()) is not None:
            _close(*end[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and not self._loop.is_closed and waiting.place() is None:
                self.wait()
        finally:
            _warn_of_unfinished(
                self._loop, f"after {kind.__name__}" if kind is not None else "as the block was left"
            )
            self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop.is_inline:
            self.__exit__(kind, error, trace)
        else:
            import asyncio  # noqa: PLC0415  a script without coroutines does not pay for it

            await asyncio.to_thread(self.__exit__, kind, error, trace)

    # --- looks ---

    @property
    def slaves(self) -> list[SlaveSummary]:
        """The slaves that are connected."""
        return self._loop.slaves

    @property
    def workers(self) -> int:
        """How many tasks can run at once: 0 while no slave is connected."""
        return sum(slave.workers for slave in self._loop.slaves)

    @property
    def counts(self) -> TaskCounts:
        """How many of the tasks pushed here are in which state; a pack of ``map`` is one task."""
        return self._loop.counts

    def report(self) -> RunReport:
        """Where the time of the swarm's workers went, from the first push to the last end, or until now.

        Raises:
            ConnectionFailed: The master does not answer, or the swarm is lost.
            UsageError: The swarm is closed.
            WouldBlock: This is a place where nobody may wait.
        """
        waiting.check("swarm.report()")
        return report_of(self._loop, is_private=self._title != "connected")

    def __repr__(self) -> str:
        state = "closed" if self._loop.is_closed else f"{self.workers} worker{'s' if self.workers != 1 else ''}"
        return f"<Swarm {self._title}, {state}: {self._loop.unfinished} unfinished>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from concurrence.scripting.html_views import swarm_html  # noqa: PLC0415  scripts do not pay for HTML

        unfinished, is_closed = self._loop.unfinished, self._loop.is_closed
        return swarm_html(self._place, self.slaves, self.counts, unfinished=unfinished, is_closed=is_closed)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise UsageError(
            "a Swarm cannot travel: it is a connection of this process. A task returns what is to be done next, "
            "and whoever pushed it pushes that"
        )


def _warn_of_unfinished(loop: SwarmLoop, why: str) -> None:
    count = loop.unfinished
    if count and not loop.is_closed:
        loop.log.warning("%d unfinished task%s cancelled %s", count, " is" if count == 1 else "s are", why)


def _end(loop: SwarmLoop, thread: SwarmThread, process: ThisProcess) -> None:
    """Nobody closed it, and the script ends or has no more use for it."""
    if not process.is_other:
        _warn_of_unfinished(loop, "as the script ended without swarm.wait()")
    _close(loop, thread, process)


def _close(loop: SwarmLoop, thread: SwarmThread, process: ThisProcess) -> None:
    if not process.is_other:
        thread.stop(_CLOSED)
        loop.warn_of_unheard()
