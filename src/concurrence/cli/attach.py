"""``concurrence attach``: come for a task system that was left at its master."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from concurrence.cli.completion import complete_apps
from concurrence.cli.ending import end_with_the_node
from concurrence.cli.options import EnvOption, MasterOption, SetOption, examples, overrides_of

if TYPE_CHECKING:
    from pathlib import Path

    from concurrence.ids import SystemId

EPILOG = examples(
    "concurrence run primes.py --master client.toml --detach",
    "concurrence attach 0c81a2b3d4e5f607 --master client.toml",
    "concurrence attach 0c81a2b3d4e5f607 --env swarm --app primes.py",
)


def attach(
    system: Annotated[
        str, typer.Argument(metavar="SYSTEM", help="The system's number, as concurrence run --detach said it.")
    ],
    env: EnvOption = None,
    master: MasterOption = None,
    app: Annotated[
        str | None,
        typer.Option(
            "--app",
            metavar="APP",
            autocompletion=complete_apps,
            help="The application that it is from, if its result is of classes of that.",
            show_default="none",
        ),
    ] = None,
    settings: SetOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Nothing but the result.")] = False,
) -> int:
    """Come for a detached task system: show how it goes and what it prints, and at its end its result.

    The connect file must be the one that it was pushed with. Ctrl-C leaves it at the master again.
    """
    from concurrence.cli.choosing import choose_app
    from concurrence.cli.run import make_display
    from concurrence.nodes.collecting import DetachedCollector
    from concurrence.nodes.running import open_environment, run_application

    wanted = _number(system)
    overrides = overrides_of(settings, application__master=master or _of_environment(env))
    with open_environment(env, overrides=overrides) as environment:
        environment.start_logging()
        if app is not None:
            choose_app(environment, app)  # imports it
        environment.register(DetachedCollector)
        collector = environment.component(DetachedCollector)
        _check_master(collector.master)
        collector.wanted = wanted
        try:
            with make_display(bar=sys.stdout.isatty() and not quiet) as display:
                environment.start_logging()
                end_with_the_node()
                return run_application(collector, display=display)
        except KeyboardInterrupt:
            if not quiet:
                print(f"task system {wanted:016x} goes on at the master", file=sys.stderr)
            raise
        finally:
            environment.start_logging()


def _number(text: str) -> SystemId:
    from concurrence.errors import UsageError
    from concurrence.ids import SystemId

    try:
        number = int(text, 16)
    except ValueError:
        number = 0
    if not 0 < number < 1 << 63:
        raise UsageError(
            f"{text!r} is no number of a task system",
            hint="It has 16 hexadecimal digits, as in 0c81a2b3d4e5f607; see: concurrence jobs",
        )
    return SystemId(number)


def _of_environment(env: Path | None) -> Path | None:
    """The connect file for clients of the master of an environment that was named."""
    file = None if env is None else env / "connect" / "client.toml"
    return file if file is not None and file.exists() else None


def _check_master(master: Path | None) -> None:
    from concurrence.errors import UsageError

    if master is None:
        raise UsageError(
            "no master is named, and a private swarm keeps no task systems",
            hint="concurrence attach SYSTEM --master client.toml, or --env PATH of the master's",
        )
