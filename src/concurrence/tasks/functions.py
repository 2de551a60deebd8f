"""Plain functions as tasks: ``@task``, and the task that a call to a function becomes."""

from __future__ import annotations

import functools
import inspect
import reprlib
import sys
from collections.abc import Callable, Mapping
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from concurrence.errors import UsageError
from concurrence.tasks.api import Task
from concurrence.tasks.options import checked_options, wrong

if TYPE_CHECKING:
    from datetime import timedelta


class _Short(reprlib.Repr):
    """Shows values in a few characters; of bytes it does not look at all, which may be many megabytes."""

    def repr_bytes(self, value: bytes | bytearray, level: int) -> str:
        return self.repr_instance(value if len(value) <= self.maxother else value[: self.maxother], level)

    repr_bytearray = repr_bytes


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = 30
_MAX_SHOWN = 5  # arguments of a call that people see

P = ParamSpec("P")
R = TypeVar("R")


class FunctionTask(Task):
    """One call of a function, to be run on a worker.

    Args:
        function: What to call. A plain function, a class or a ``@task`` function travels once; any other
            callable, such as a bound method, travels anew with each task.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        options: Fields of the task that differ from the defaults, as in ``{"priority": 2}``.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        # Task.__init__ is left out: it would only set what the options set, at twice the price.
        if options:
            self.__dict__.update(options)
        self.function: Callable[..., Any] = function
        self.args = args
        self.kwargs: Mapping[str, Any] = kwargs if kwargs is not None else {}

    def __call__(self) -> Any:
        """Call the function."""
        return self.function(*self.args, **self.kwargs)

    @property
    def label(self) -> str:
        """The name, or the function's without its module, and its arguments, shortened."""
        return self.name or f"{callable_name(self.function).rpartition(':')[2]}({self._shown_arguments()})"

    def _shown_arguments(self) -> str:
        shown = [_SHORT.repr(value) for value in self.args]
        shown += [f"{name}={_SHORT.repr(value)}" for name, value in self.kwargs.items()]
        return ", ".join(shown if len(shown) <= _MAX_SHOWN else [*shown[:_MAX_SHOWN], "..."])


class TaskFunction(Generic[P, R]):
    """A function that can be called as before, and that makes tasks of itself.

    Args:
        function: The function.
        options: Fields of the tasks that differ from the defaults.
    """

    def __init__(self, function: Callable[P, R], options: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = dict(options)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now."""
        return self.function(*args, **kwargs)

    def task(self, *args: P.args, **kwargs: P.kwargs) -> FunctionTask:
        """A task that calls the function with these arguments; push it."""
        return FunctionTask(self, args, kwargs, self.options)

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        # By name where the other side can import it, like the bare function that stood in its place.
        # The main module is never importable there: its functions travel by value.
        name: str = getattr(self, "__qualname__", "")
        module = sys.modules.get(self.__module__)
        if self.__module__ != "__main__" and _attribute(module, name) is self:
            return name
        return super().__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return f"<task function {callable_name(self)}>"


@overload
def task(function: Callable[P, R], /) -> TaskFunction[P, R]: ...


@overload
def task(
    *,
    name: str = "",
    priority: int = 0,
    retries: int = 0,
    timeout: float | timedelta | None = None,
    resources: Mapping[str, float] | None = None,
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...


def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    priority: int = 0,
    retries: int = 0,
    timeout: float | timedelta | None = None,
    resources: Mapping[str, float] | None = None,
) -> Any:
    """Make a function a task: ``f(3)`` runs it here, ``f.task(3)`` makes a task to push.

    Args:
        function: The function, when used without arguments.
        name: What people see; the function's name by default.
        priority: Higher goes first among the tasks of one client.
        retries: How often the task is tried again after its code raised.
        timeout: Seconds that one attempt may take, or a ``timedelta``; None for no limit.
        resources: What it needs of a slave beyond one worker, as in ``{"gpu": 1}``.

    Raises:
        UsageError: An option is not what it has to be, or this is no function.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]  authors need no type checker
        raise wrong("@task", "name", name, "a text")
    checked = checked_options("@task", priority, retries, timeout, resources)
    given: dict[str, Any] = {
        "name": name,
        "priority": checked.priority,
        "max_retries": checked.max_retries,
        "timeout": checked.timeout,
        "resources": dict(resources) if resources else None,
    }
    options = {key: value for key, value in given.items() if value not in ("", 0, None)}

    def decorate(decorated: Callable[..., Any]) -> TaskFunction[..., Any]:
        if not callable(decorated):
            raise UsageError(
                f"@task was given {decorated!r:.100}, which is no function",
                hint='Name the options, as in @task(name="fast", timeout=10).',
            )
        return TaskFunction(decorated, options)

    return decorate if function is None else decorate(function)


def callable_name(function: object) -> str:
    """The name that people see of a function, class or other callable: ``module:qualified_name``."""
    if isinstance(function, functools.partial):
        return callable_name(function.func)
    qualified = getattr(function, "__qualname__", None)
    named = function if isinstance(qualified, str) else type(function)
    name = str(getattr(named, "__qualname__", type(function).__name__))
    module: str | None = getattr(named, "__module__", None)
    return f"{module}:{name}" if module else name


def is_async(function: Any) -> bool:
    """Whether a call of it only makes a coroutine or an asynchronous generator."""
    while isinstance(function, TaskFunction | functools.partial):
        inner = cast("TaskFunction[..., Any] | functools.partial[Any]", function)
        function = inner.function if isinstance(inner, TaskFunction) else inner.func
    called: list[Any] = [function]
    if not isinstance(function, type | FunctionType | MethodType):
        kind = cast("type[Any]", type(function))
        called.append(kind.__call__)
    return any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in called)


def _attribute(module: object, qualified_name: str) -> object:
    found = module
    for part in qualified_name.split("."):
        found = getattr(found, part, None)
    return found
