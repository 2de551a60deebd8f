"""``connect`` and ``local_swarm``: how scripts and notebooks get at a swarm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from concurrence.env.environment import Environment
from concurrence.errors import UsageError
from concurrence.nodes.display import IDisplay
from concurrence.nodes.running import open_environment
from concurrence.scripting.connection import ScriptClient, SwarmConnection
from concurrence.scripting.display import choose_display
from concurrence.scripting.swarm import Swarm
from concurrence.tasks import waiting
from concurrence.transport.security import Credentials, read_connect_file


def connect(
    master: str | Path | None = None,
    *,
    environment: str | Path | None = None,
    overrides: Sequence[str] = (),
    display: IDisplay | None = None,
) -> Swarm:
    """Connect to a swarm that runs already.

    Args:
        master: The connect file of its master. By default what ``CONCURRENCE_APPLICATION__MASTER`` or
            ``[application] master`` names, or else ``connect/client.toml`` of the environment.
        environment: The folder of an environment; by default the one around the working directory, if any.
        overrides: Texts ``section.name=value``.
        display: What shows the output of tasks and how far they are. By default output is printed, with prefixes;
            maps and waits that take long have a progress bar in notebooks and on terminals.

    Raises:
        ConcurrenceError: The master cannot be reached, or says no.
        UsageError: No master is named.
        WouldBlock: This is a task, a task system or a handler.
    """
    waiting.check("connect()")
    given = [f"application.master={master}"] if master is not None else []
    opened = _open(environment, [*overrides, *given])
    try:
        file = opened.component(opened.register(ScriptClient)).master
        if file is None and not opened.is_temporary and (opened.path / "connect" / "client.toml").exists():
            file = opened.path / "connect" / "client.toml"
        if file is None:
            raise UsageError(  # noqa: TRY301  the environment is closed below
                "there is no master to connect to: none is named, and no environment that has one is around",
                hint="connect('client.toml'), or CONCURRENCE_APPLICATION__MASTER=client.toml, or local_swarm() "
                "for a swarm of your own.",
            )
        return _swarm(opened, read_connect_file(file), None, display)
    except BaseException:
        opened.close()
        raise


def local_swarm(
    workers: int | None = None,
    *,
    inline: bool = False,
    environment: str | Path | None = None,
    overrides: Sequence[str] = (),
    display: IDisplay | None = None,
) -> Swarm:
    """Start a private swarm on this machine, which ends with the script.

    Args:
        workers: Number of worker processes; by default one per core.
        inline: Everything in this process and thread instead, so that ``breakpoint()`` works in tasks. They run
            while somebody waits.
        environment: The folder of an environment; by default the one around the working directory, if any.
        overrides: Texts ``section.name=value``.
        display: What shows the output of tasks and how far they are. By default output is printed, with prefixes;
            maps and waits that take long have a progress bar in notebooks and on terminals.

    Raises:
        ConcurrenceError: It cannot be started.
        UsageError: The arguments exclude each other.
        WouldBlock: This is a task, a task system or a handler.
    """
    waiting.check("local_swarm()")
    if workers is not None and inline:
        raise UsageError("workers= and inline= exclude each other", hint="Inline, this thread is the only worker.")
    if workers is not None and workers < 1:
        raise UsageError(f"a swarm with {workers} workers does nothing", hint="workers=1 or more")
    opened = _open(environment, overrides)
    try:
        return _swarm(opened, None, workers, display, inline=inline)
    except BaseException:
        opened.close()
        raise


def _open(environment: str | Path | None, overrides: Sequence[str]) -> Environment:
    opened = open_environment(None if environment is None else Path(environment), overrides=overrides)
    opened.register(ScriptClient)
    return opened


def _swarm(
    environment: Environment,
    credentials: Credentials | None,
    workers: int | None,
    display: IDisplay | None,
    *,
    inline: bool = False,
) -> Swarm:
    if environment.is_temporary:
        # One of its own may configure applications that this script knows nothing of.
        environment.check()
    return Swarm(
        SwarmConnection(
            environment,
            credentials=credentials,
            workers=workers,
            inline=inline,
            display=display or choose_display(inline=inline),
        )
    )
