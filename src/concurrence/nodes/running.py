"""Running an application in an environment: what the command line does, and what a script can do itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from concurrence.env.environment import Environment
from concurrence.errors import ConcurrenceError, UsageError
from concurrence.nodes.application import ApplicationNode
from concurrence.nodes.display import IDisplay


def open_environment(
    path: Path | None, *, overrides: Sequence[str] = (), config_files: Sequence[Path] = ()
) -> Environment:
    """The environment in a folder; without one, that of the working directory, or a temporary one.

    Raises:
        EnvironmentInvalid: The folder is no environment.
        ConfigError: A config file or an override cannot be read.
    """
    folder = path if path is not None else Environment.discover(Path.cwd())
    if folder is None:
        return Environment.ephemeral(overrides=overrides, config_files=config_files)
    return Environment.open(folder, overrides=overrides, config_files=config_files)


def run(
    app: type[ApplicationNode],
    *,
    environment: Path | None = None,
    workers: int | None = None,
    overrides: Sequence[str] = (),
    inline: bool = False,
) -> int:
    """Run an application from a script; the exit code.

    Args:
        app: The application.
        environment: The folder of an environment; by default the one around the working directory, if any.
        workers: Workers of the private swarm; by default one per core.
        overrides: Texts ``section.name=value``.
        inline: Run everything in this process and thread.

    Errors of Concurrent are printed, not raised: this is meant for the last line of a script.
    """
    try:
        check_application(app)
        with open_environment(environment, overrides=overrides) as opened:
            opened.start_logging()
            opened.register(app)
            opened.check()
            return run_application(opened.component(app), workers=workers, inline=inline)
    except ConcurrenceError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


def check_application(app: object) -> None:
    """Check that something is the class of an application.

    Raises:
        UsageError: It is not.
    """
    if isinstance(app, ApplicationNode):
        name = type(app).__name__
        raise UsageError(
            f"{app!r:.200} is no application class", hint=f"Give the class: {name}, not an object of it."
        )
    if not (isinstance(app, type) and issubclass(app, ApplicationNode)):
        raise UsageError(f"{app!r:.200} is no application", hint="Derive its class from ApplicationNode.")
    if app.is_abstract:
        raise UsageError(
            f"{app!r:.200} is no application that can run: it is abstract", hint="Derive one from it."
        )


def run_application(
    app: ApplicationNode,
    *,
    workers: int | None = None,
    inline: bool = False,
    display: IDisplay | None = None,
) -> int:
    """Run an application that its environment has made; the exit code.

    Args:
        app: The application.
        workers: Workers of the private swarm; by default one per core.
        inline: Run everything in this process and thread.
        display: What shows how it goes.
    """
    app.workers = workers
    app.inline = inline
    if display is not None:
        app.display = display
    app.app_init()
    return app.app_main()
