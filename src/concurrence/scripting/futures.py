"""Futures: what a script holds of a task that it pushed.

A future is small: no lock or condition of its own. Whoever waits leaves a queue with it, as a callback.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Protocol, TypeVar, cast

from concurrence.errors import TaskCancelled, TaskError, UsageError
from concurrence.ids import SystemId, TaskId
from concurrence.tasks import waiting
from concurrence.tasks.api import Task
from concurrence.tasks.kept_errors import as_raised

if TYPE_CHECKING:  # a script without coroutines does not pay for it
    import asyncio

R = TypeVar("R")
T = TypeVar("T")

PENDING: Final = "pending"
FINISHED: Final = "finished"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"

_log = logging.getLogger(__name__)


class IHome(Protocol):
    """What a future needs of its swarm.

    Attributes:
        lock: Guards the state of its futures; held for moments, and never while anything is called.
        is_inline: Whether the swarm works only while somebody waits.
    """

    lock: threading.Lock
    is_inline: bool

    def check_here(self) -> None:
        """Refuse to work in a fork of the process that made the swarm."""
        ...

    def take(self, queue: SimpleQueue[T], deadline: float | None) -> T:
        """The next of a queue that the swarm fills.

        Raises:
            Empty: It did not come before the deadline, in seconds of ``time.monotonic``.
        """
        ...

    def cancel_future(self, future: Future[Any]) -> None:
        """Ask the swarm to cancel its task."""
        ...

    def describe(self) -> str:
        """What is unfinished, and who is there to do it."""
        ...


class Future(Generic[R]):
    """The result of a task that will be there some time. Made by a swarm, not by hand.

    Args:
        home: Its swarm.
        task: The task; None for a task system.
        name: What people see, if there is no task.
        system_id: The task system, if it is one.
    """

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_error",
        "_is_asked",
        "_name",
        "_on_asked",
        "_result",
        "_state",
        "home",
        "system_id",
        "task",
    )

    def __init__(self, home: IHome, task: Task | None, name: str = "", system_id: SystemId | None = None) -> None:
        self.task: Final = task
        self.system_id = system_id
        self.home = home
        self._name = name
        self._state = PENDING
        self._result: R | None = None
        self._error: TaskError | None = None
        self._callbacks: list[Callable[[Future[R]], object]] | None = None
        self._is_asked = False
        self._on_asked: Callable[[Future[R]], object] | None = None

    # --- asking ---

    @property
    def task_id(self) -> TaskId | None:
        """The task's id; None for a task system."""
        return self.task.task_id if self.task is not None else None

    @property
    def error(self) -> TaskError | None:
        """Why the task failed, with its remote traceback and output; None if it did not, or has not ended."""
        self.ask()
        return self._error

    def done(self) -> bool:
        """Whether the task has ended, in whatever way."""
        return self._state is not PENDING

    @property
    def has_failed(self) -> bool:
        """Whether it failed; unlike :attr:`error` this is no interest in why."""
        return self._state is FAILED

    def cancelled(self) -> bool:
        """Whether the task ended because it was cancelled."""
        return self._state is CANCELLED

    # --- waiting ---

    def result(self, timeout: float | None = None) -> R:
        """What the task returned, as soon as it is there.

        Args:
            timeout: Seconds to wait at most; None for as long as it takes.

        Raises:
            Exception: The task's own exception; its ``__cause__`` is the :class:`TaskError` with the remote
                traceback.
            TaskError: The task failed without an exception that could be rebuilt here: time-out, death of workers.
            TaskCancelled: It was cancelled.
            TimeoutError: It did not end in time; it goes on.
            WouldBlock: This is a place where nobody may wait.
        """
        self._wait("result()", timeout)
        if self._error is None:
            return cast("R", self._result)
        try:
            raise original(self._error)  # here, so that a traceback shows one frame of ours
        finally:
            del self  # the traceback holds this frame: without this, future and exception would be a cycle

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What :meth:`result` would raise, as soon as the task has ended; None if it finished.

        Args:
            timeout: Seconds to wait at most; None for as long as it takes.

        Raises:
            TimeoutError: It did not end in time; it goes on.
            WouldBlock: This is a place where nobody may wait.
        """
        self._wait("exception()", timeout)
        return original(self._error) if self._error is not None else None

    def _wait(self, what: str, timeout: float | None) -> None:
        waiting.check(what, is_done=self._state is not PENDING)
        self.ask()
        if self._state is not PENDING:
            return
        self.home.check_here()
        deadline = None if timeout is None else time.monotonic() + timeout
        queue: SimpleQueue[Future[R]] = SimpleQueue()
        self.when_done(queue.put)
        try:
            self.home.take(queue, deadline)
        except Empty:
            raise TimeoutError(
                f"{self._title()} has not ended within {timeout:g} s; {self.home.describe()}"
            ) from None
        finally:
            self.forget(queue.put)

    def __await__(self) -> Generator[Any, None, R]:
        self.ask()
        if self._state is PENDING and self.home.is_inline:
            self._wait("await", None)
        elif self._state is PENDING:
            wake, waiter = waker()
            self.when_done(wake)
            try:
                yield from waiter
            finally:
                self.forget(wake)
        if self._error is None:
            return cast("R", self._result)
        try:
            raise original(self._error)
        finally:
            del self

    # --- being told ---

    def add_done_callback(self, function: Callable[[Future[R]], object]) -> None:
        """Call a function with this future when the task has ended; at once, here, if it has.

        It is called in the thread that drives the swarm, so it should be short; it may push further tasks, but not
        wait. What it raises is logged.
        """

        def call(future: Future[R]) -> None:
            before = waiting.enter(waiting.CALLBACK)
            try:
                function(future)
            except KeyboardInterrupt:  # inline, callbacks run in the main thread: Ctrl-C is the script's
                raise
            except BaseException:  # noqa: BLE001  one must not keep others from being called: SystemExit neither
                _log.exception("a done-callback of %r raised", future)
            finally:
                waiting.leave(before)

        self.home.check_here()
        self.ask()
        with self.home.lock:
            if self._state is PENDING:
                self._callbacks = [*(self._callbacks or ()), call]
                return
        call(self)

    def when_done(self, wake: Callable[[Future[R]], object]) -> None:
        """Call a function that is quick and never raises, before all callbacks; at once if the task has ended."""
        self.ask()
        with self.home.lock:
            if self._state is PENDING:
                self._callbacks = [wake, *(self._callbacks or ())]
                return
        wake(self)

    def tell(self, wake: Callable[[Future[R]], object]) -> None:
        """The same before the task is pushed, when nobody else can know of the future."""
        self._callbacks = [wake]

    def forget(self, wake: Callable[[Future[R]], object]) -> None:
        """Take back what :meth:`when_done` was given; harmless if it was called."""
        with self.home.lock:
            if self._callbacks:
                self._callbacks = [each for each in self._callbacks if each != wake] or None

    # --- acting ---

    def cancel(self) -> bool:
        """Ask the swarm to cancel the task, even if it runs; its end comes as that of any other.

        Returns:
            False if it had ended already.
        """
        if self._state is not PENDING:
            return False
        self.home.cancel_future(self)
        return True

    def settle(self, result: Any, error: TaskError | None) -> list[Callable[[Future[R]], object]] | None:
        """For the swarm, which holds the lock: the task has ended.

        Returns:
            Whom to call.
        """
        self._result, self._error = result, error
        self._state = FINISHED if error is None else CANCELLED if isinstance(error, TaskCancelled) else FAILED
        callbacks, self._callbacks = self._callbacks, None
        return callbacks

    def is_unheard(self, on_asked: Callable[[Future[R]], object]) -> bool:
        """For the swarm, which holds the lock: whether it failed and nobody has asked so far.

        Args:
            on_asked: Called under the lock as soon as somebody does.
        """
        if self._is_asked or self._state is not FAILED:
            return False
        self._on_asked = on_asked
        return True

    def ask(self) -> None:
        """Note that somebody wants to know how it ends: a failure is no secret then."""
        self._is_asked = True  # before the look at the state, which the swarm sets before it looks at this
        if self._state is FAILED and self._on_asked is not None:
            with self.home.lock:
                tell, self._on_asked = self._on_asked, None
                if tell is not None:
                    tell(self)

    # --- looks ---

    def _title(self) -> str:
        return self.task.label if self.task is not None else self._name

    def __repr__(self) -> str:
        why = f": {self._error.message}" if self._error is not None and self._state is FAILED else ""
        return f"<Future {self._title()} {self._state}{why}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from concurrence.scripting.html_views import future_html  # noqa: PLC0415  scripts do not pay for HTML

        self.ask()  # whoever looks sees the error
        result = repr(self._result) if self._state is FINISHED else ""
        return future_html(self._title(), self._state, result, self._error)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise UsageError(
            "a Future cannot travel: it lives in the process that pushed the task. Pass its result() instead, or "
            "push from a done-callback"
        )


def original(error: TaskError) -> BaseException:
    """What is raised for a failed task: its own exception, if there is one that can be raised here.

    The error is the exception's ``__cause__`` then, and tells the rest.

    ``SystemExit`` and the like would end the script instead of telling it, and ``StopIteration`` whatever loop it
    is raised in: for them it is the error itself.
    """
    cause = error.cause
    if isinstance(cause, Exception) and not isinstance(cause, StopIteration | StopAsyncIteration):
        error.__cause__ = None  # a traceback would go round in a circle
        return as_raised(cause, error)
    return error.with_traceback(None)


def waker() -> tuple[Callable[[object], None], asyncio.Future[None]]:
    """For a coroutine that waits: what wakes it from any thread, and what it awaits."""
    import asyncio  # noqa: PLC0415  a script without coroutines does not pay for it

    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def resolve() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def wake(_: object) -> None:
        try:
            loop.call_soon_threadsafe(resolve)
        except RuntimeError as error:  # the loop is closed, and with it whoever waited
            _log.debug("nobody awaits any more: %s", error)

    return wake, waiter
