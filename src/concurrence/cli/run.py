"""``concurrence run``: run an application, on a private swarm or at a master."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from concurrence.cli.completion import complete_apps
from concurrence.cli.options import (
    ConfigOption,
    EnvOption,
    MasterOption,
    ReportOption,
    SetOption,
    WorkersOption,
    examples,
    files_of,
    overrides_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from concurrence.cli.display import LineDisplay, RichDisplay
    from concurrence.cli.report_file import ReportFile
    from concurrence.env.environment import Environment
    from concurrence.nodes.application import ApplicationNode

EPILOG = examples(
    "concurrence run mandelbrot",
    "concurrence run primes.py --workers 2 --set primes.limit=20000",
    "concurrence run mandelbrot --report out.html",
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
    report: ReportOption = None,
) -> int:
    """Run an application.

    Without a master a private swarm is started for the run, on this machine, and stopped at its end.
    """
    from concurrence.cli.choosing import choose_app
    from concurrence.nodes.api import IApp
    from concurrence.nodes.application import ApplicationNode
    from concurrence.nodes.running import open_environment

    file = _report_file(report, detach=detach)
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
            return _run_application(environment, made, workers, file, inline=inline, quiet=quiet)
        if not isinstance(made, IApp):  # what choose_app found is one
            raise TypeError(made)
        given = [
            ("--report", file is not None), ("--workers", workers is not None), ("--master", master is not None),
            ("--inline", inline), ("--detach", detach),
        ]  # fmt: skip
        _refuse_for_servers(chosen.__name__, [option for option, is_given in given if is_given])
        made.app_init()
        return made.app_main() or 0


def _report_file(path: Path | None, *, detach: bool) -> ReportFile | None:
    from concurrence.cli.report_file import ReportFile
    from concurrence.errors import UsageError

    if path is not None and detach:
        raise UsageError("--report and --detach exclude each other", hint="Nobody here sees how such a run ends.")
    return ReportFile(path) if path is not None else None


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


def _refuse_for_servers(name: str, given: list[str]) -> None:
    """What is an application, but not that of a client, has nothing to do with the options of clients."""
    from concurrence.errors import UsageError

    if given:
        means = "means" if len(given) == 1 else "mean"
        raise UsageError(
            f"{name} is no client of a swarm, and {', '.join(given)} {means} nothing to it",
            hint="Leave them out; its own options are set by --set. See: concurrence config doc",
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
    environment: Environment,
    app: ApplicationNode,
    workers: int | None,
    file: ReportFile | None,
    *,
    inline: bool,
    quiet: bool,
) -> int:
    from concurrence.cli.failures import INTERRUPTED, report_handler
    from concurrence.nodes.running import run_application

    code = None
    outcome = ""
    try:
        with make_display(bar=sys.stdout.isatty() and not quiet and not inline) as display:
            # Again: a bar has taken the place of sys.stderr, and puts what is written there above itself.
            environment.start_logging()
            code = run_application(app, workers=workers, inline=inline, display=display)
    except KeyboardInterrupt:
        code, outcome = INTERRUPTED, "interrupted"
        raise
    except Exception as error:
        outcome = f"failed: {type(error).__name__}: {error}"
        if not report_handler(error, app.name):
            raise
        return 1
    else:
        return code
    finally:
        environment.start_logging()
        if code is not None and not quiet:
            _print_summary(environment, app, workers, inline=inline, interrupted=code == INTERRUPTED)
        if file is not None and app.run_report is not None:
            how = outcome or ("complete" if code == 0 else f"ended with exit code {code}")
            file.write(app.run_report, app.name, how, is_good=code == 0)


def _print_summary(
    environment: Environment, app: ApplicationNode, workers: int | None, *, inline: bool, interrupted: bool
) -> None:
    from concurrence.cli.display import report_lines, summary_lines

    summary, report = app.summary, app.run_report
    if summary is None or (interrupted and not summary.finished + summary.failed):
        return
    count = _worker_count(environment, app, workers, inline=inline)
    sys.stdout.flush()
    lines = [*summary_lines(summary, count), *(report_lines(report) if report is not None else [])]
    print("\n".join(lines), file=sys.stderr)


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
