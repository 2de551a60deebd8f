"""What tests of applications call: they run what is tested with the code that runs in production."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, overload

from concurrence.component import Component
from concurrence.env.environment import Environment
from concurrence.errors import UsageError
from concurrence.nodes.application import ApplicationNode
from concurrence.nodes.display import RunSummary
from concurrence.nodes.running import check_application, run_application
from concurrence.scripting.connection import ScriptClient, SwarmConnection
from concurrence.scripting.swarm import Swarm
from concurrence.tasks.api import ITaskSystem, Task
from concurrence.testing.processes import check_none_left, marked
from concurrence.testing.recording import RecordingDisplay, recorded_output

A = TypeVar("A", bound=ApplicationNode)
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class AppRun(Generic[A]):
    """What an application did in a test.

    Attributes:
        app: The application itself, as its handlers left it.
        exit_code: What it ended with.
        said: The lines that it said.
        announced: The files that it said it wrote.
        output: The lines that its tasks and task systems wrote, by the task's name; those of a task system are
            under ``task system``.
        summary: What the run took: tasks finished, failed and cancelled, times, bytes.
    """

    app: A
    exit_code: int
    said: list[str]
    announced: list[Path]
    output: dict[str, list[str]] = field(repr=False)
    summary: RunSummary


def environment(
    *components: type[Component],
    overrides: Sequence[str] = (),
    config_files: Sequence[Path] = (),
) -> Environment:
    """A temporary environment, to be closed at the end: use it in a ``with`` statement.

    Args:
        components: What is registered in it, besides what is installed: applications, strategies, services.
        overrides: Texts ``section.name=value``.
        config_files: TOML files.

    Raises:
        ConfigError: An override or a file cannot be read.
    """
    opened = Environment.ephemeral(overrides=overrides, config_files=config_files)
    try:
        for component in components:
            opened.register(component)
    except BaseException:
        opened.close()
        raise
    return opened


def run_app(
    app: type[A],
    *,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    components: Sequence[type[Component]] = (),
) -> AppRun[A]:
    """Run an application to its end.

    Args:
        app: The application's class.
        overrides: Texts ``section.name=value``.
        workers: A private swarm of so many worker processes; None, the default, for everything in this process and
            thread, which is quick and lets debuggers in.
        components: Further components that it needs.

    Returns:
        What it did.

    Raises:
        ConcurrenceError: It is configured wrongly, or there is no swarm to be had.
        Exception: Whatever a handler raised.
        AssertionError: A process of its private swarm is left.
    """
    check_application(app)
    display = RecordingDisplay()
    with marked() as mark, environment(*components, app, overrides=overrides) as opened:
        opened.check()
        made = opened.component(app)
        with recorded_output(display, is_inline=workers is None):
            try:
                code = run_application(made, workers=workers, inline=workers is None, display=display)
            finally:
                _close(made.transport)
    if workers is not None:
        check_none_left(mark)
    summary = made.summary
    if summary is None:  # the run has ended
        raise TypeError(made)
    return AppRun(made, code, display.said, display.announced, display.lines, summary)


def _close(transport: Any) -> None:
    """A command ends with its sockets; a test process goes on, and may not leave any open."""
    if hasattr(transport, "close"):
        transport.close()


@overload
def run_task(task: Task, /) -> Any: ...


@overload
def run_task(task: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...


def run_task(task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Pack a task, execute it as a worker does, and unpack its result: all that could fail on the way fails here.

    ``clean_up`` is called on the worker's copy, and ``finished`` on the task itself.

    Args:
        task: A task; or a function, with its arguments behind it.
        args: The function's arguments.
        kwargs: The function's keyword arguments.

    Returns:
        What it returned.

    Raises:
        Exception: What it raised, with its traceback.
        UsageError: It is no task.
        PackingError: It cannot be pickled; the text names the part.
        TaskError: It failed without an exception of its own, because its result cannot be pickled, for example.
    """
    if isinstance(task, ITaskSystem):
        raise UsageError(f"run_task was given the task system {task!r:.200}", hint="Call run_system(system).")
    with swarm() as inline:
        return inline.submit(task, *args, **kwargs).result()


def run_system(system: ITaskSystem, *, overrides: Sequence[str] = ()) -> Any:
    """Run a task system and its tasks to their end, in this process and thread.

    Args:
        system: The system. As in production a pickled copy of it runs, so that this object stays as it is.
        overrides: Texts ``section.name=value``.

    Returns:
        Its result.

    Raises:
        Exception: What one of its methods raised, with its traceback.
        PackingError: It cannot be pickled; the text names the part.
        TaskError: It failed without an exception of its own.
    """
    with swarm(overrides=overrides) as inline:
        return inline.push_tasksystem(system).result()


@contextmanager
def swarm(workers: int | None = None, *, overrides: Sequence[str] = ()) -> Generator[Swarm]:
    """A swarm in an environment of its own, whatever environment is around the working directory.

    Unlike that of ``local_swarm``, its end does not wait: what is unfinished is cancelled.

    Args:
        workers: So many worker processes; None, the default, for everything in this process and thread.
        overrides: Texts ``section.name=value``.

    Raises:
        AssertionError: A process of it is left.
        ConcurrenceError: It cannot be started.
    """
    opened = environment(ScriptClient, overrides=overrides)
    try:
        opened.check()
        inline = workers is None
        with marked() as mark:
            made = Swarm(
                SwarmConnection(
                    opened, credentials=None, workers=workers, inline=inline, display=RecordingDisplay()
                )
            )
    except BaseException:
        opened.close()
        raise
    try:
        yield made
    finally:
        made.close()
    if not inline:
        check_none_left(mark)
