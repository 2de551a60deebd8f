"""``concurrence run``: run an application, on a private swarm or at a master."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from concurrence.cli.completion import complete_apps
from concurrence.cli.ending import end_with_the_node
from concurrence.cli.options import (
    ConfigOption,
    EnvOption,
    MasterOption,
    SetOption,
    WorkersOption,
    examples,
    files_of,
    overrides_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from concurrence.cli.display import LineDisplay, RichDisplay
    from concurrence.env.environment import Environment
    from concurrence.nodes.application import ApplicationNode

EPILOG = examples(
    "concurrence run mandelbrot",
    "concurrence run primes.py --workers 2 --set primes.limit=20000",
    "concurrence run apps.py:Primes --inline",
    "concurrence run mandelbrot --master client.toml",
    "concurrence run primes.py --master client.toml --detach",
)


def run(
    app: Annotated[
        str | None,
        typer.Argument(
            metavar="APP",
            autocompletion=complete_apps,
            help="An application's name, or a .py file or folder; FILE:CLASS if it defines several.",
            show_default="what the environment's config names",
        ),
    ] = None,
    env: EnvOption = None,
    config: ConfigOption = None,
    workers: WorkersOption = None,
    master: MasterOption = None,
    settings: SetOption = None,
    inline: Annotated[
        bool, typer.Option("--inline", help="Run everything in this process and thread, for debugging.")
    ] = False,
    detach: Annotated[
        bool,
        typer.Option("--detach", help="Leave its task system at the master, for: concurrence attach."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no summary.")] = False,
) -> int:
    """Run an application.

    Without a master a private swarm is started for the run, on this machine, and stopped at its end.
    """
    from concurrence.cli.choosing import choose_app
    from concurrence.nodes.api import IApp
    from concurrence.nodes.application import ApplicationNode
    from concurrence.nodes.running import open_environment

    _check_combination(workers=workers is not None, master=master is not None, inline=inline, detach=detach)
    overrides = overrides_of(settings, application__master=master, application__detach="true" if detach else None)
    with open_environment(env, overrides=overrides, config_files=files_of(config)) as environment:
        environment.start_logging()
        chosen = choose_app(environment, app)
        environment.check()
        made = environment.component(chosen)
        if isinstance(made, ApplicationNode):
            if made.master is None and not (inline or quiet):
                _note_the_master(env)
            return _run_application(environment, made, workers, inline=inline, quiet=quiet)
        if not isinstance(made, IApp):  # what choose_app found is one
            raise TypeError(made)
        made.app_init()
        return made.app_main() or 0


def _check_combination(*, workers: bool, master: bool, inline: bool, detach: bool) -> None:
    from concurrence.errors import UsageError

    if detach and (inline or workers):
        raise UsageError(
            f"--detach and {'--inline' if inline else '--workers'} exclude each other",
            hint="A task system can be left only at a master that goes on: --master CONNECT.toml",
        )
    if inline and (workers or master):
        other = "--workers" if workers else "--master"
        raise UsageError(
            f"--inline and {other} exclude each other", hint="Inline, this process is the whole swarm."
        )
    if workers and master:
        raise UsageError(
            "--workers and --master exclude each other",
            hint="The workers of a master belong to its slaves: concurrence slave --workers N",
        )


def _note_the_master(env: Path | None) -> None:
    """A master's environment is no swarm to run on unless its connect file is named: say so."""
    client_file = None if env is None else env / "connect" / "client.toml"
    if client_file is not None and client_file.exists():
        print(
            f"note: this runs on a private swarm; to use the master of {env} add: --master {client_file}",
            file=sys.stderr,
        )


def _run_application(
    environment: Environment, app: ApplicationNode, workers: int | None, *, inline: bool, quiet: bool
) -> int:
    from concurrence.cli.failures import INTERRUPTED, report_handler
    from concurrence.nodes.running import run_application

    code = None
    try:
        with make_display(bar=sys.stdout.isatty() and not quiet and not inline) as display:
            # Again: a bar has taken the place of sys.stderr, and puts what is written there above itself.
            environment.start_logging()
            end_with_the_node()
            code = run_application(app, workers=workers, inline=inline, display=display)
    except KeyboardInterrupt:
        code = INTERRUPTED
        raise
    except Exception as error:
        if not report_handler(error, app.name):
            raise
        return 1
    else:
        return code
    finally:
        environment.start_logging()
        if code is not None and not quiet:
            _print_summary(environment, app, workers, inline=inline, interrupted=code == INTERRUPTED)


def _print_summary(
    environment: Environment, app: ApplicationNode, workers: int | None, *, inline: bool, interrupted: bool
) -> None:
    from concurrence.cli.display import summary_lines

    summary = app.summary
    if summary is None or (interrupted and not summary.finished + summary.failed):
        return
    count = _worker_count(environment, app, workers, inline=inline)
    sys.stdout.flush()
    print("\n".join(summary_lines(summary, count)), file=sys.stderr)


def make_display(*, bar: bool) -> RichDisplay | LineDisplay:
    """What shows how an application goes, with a progress bar or without."""
    from concurrence.cli.display import LineDisplay, RichDisplay

    return RichDisplay() if bar else LineDisplay()


def _worker_count(
    environment: Environment, app: ApplicationNode, workers: int | None, *, inline: bool
) -> int | None:
    """How many workers the swarm had, as far as it is known here."""
    from concurrence.workers.api import ITaskManager

    if inline or workers is not None:
        return workers or 1
    if app.master is not None:
        return None
    chosen = environment.config.get("slavenode", "task_manager")
    name = str(chosen.raw) if chosen is not None else "ZMQTaskManager"
    return environment.implementation(ITaskManager, name).workers
