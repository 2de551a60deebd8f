"""``concurrence run``: run an application, on a private swarm or at a master."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand

from concurrence.cli.completion import complete_apps, is_for_a_shell
from concurrence.cli.ending import end_with_the_node
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
    from concurrence.cli.display import LineDisplay, RichDisplay
    from concurrence.cli.report_file import ReportFile
    from concurrence.component import Component
    from concurrence.env.environment import Environment
    from concurrence.errors import UsageError
    from concurrence.nodes.application import ApplicationNode

EPILOG = examples(
    "concurrence run mandelbrot",
    "concurrence run mandelbrot --help",
    "concurrence run mandelbrot --width 768 --height 512 --workers 2",
    "concurrence run mandelbrot --report out.html",
    "concurrence run primes.py --set primes.limit=20000",
    "concurrence run apps.py:Primes --inline",
    "concurrence run mandelbrot --master client.toml",
    "concurrence run primes.py --master client.toml --detach",
)


_WORDS = "concurrence.words"  # where a context keeps what was typed


class RunCommand(TyperCommand):
    """The command that leaves words which it does not know to the application, and shows an application's help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remember the words: help and completion ask for the application that they name."""
        ctx.meta[_WORDS] = list(args)
        return super().parse_args(ctx, args)

    def get_help(self, ctx: Any) -> str:
        """The application's help if the words name one, else the command's."""
        given = [word for word in ctx.meta.get(_WORDS, ()) if word not in ctx.help_option_names]
        with self.make_context(ctx.info_name, given, parent=ctx.parent, resilient_parsing=True) as found:
            word = found.params.get("app")
            if not word or word.startswith("-"):
                return super().get_help(ctx)
            shown = self._of_application(found)
        with shown.make_context(f"concurrence run {word}", []) as context:
            return str(shown.get_help(context))

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's parameters; for a shell that asks what may follow, the application's too."""
        own: list[Any] = list(super().get_params(ctx))
        word = ctx.params.get("app") if ctx.resilient_parsing else None
        if not word or word.startswith("-") or not is_for_a_shell():
            return own
        try:
            return [*own, *self._of_application(ctx).params]
        except Exception:  # noqa: BLE001  the command itself will tell what is wrong; a shell cannot
            return own

    def _of_application(self, ctx: Any) -> Any:
        from concurrence.cli.app_words import help_command
        from concurrence.cli.choosing import choose_app
        from concurrence.nodes.running import open_environment

        given = ctx.params
        folder = given.get("env")
        files = [Path(path) for path in given.get("config") or ()]
        settings = cast("list[str]", given.get("settings") or ())
        with open_environment(
            Path(folder) if folder else None, overrides=list(settings), config_files=files_of(files)
        ) as environment:
            return help_command(choose_app(environment, given["app"]), own_words(self))


def own_words(command: Any) -> list[str]:
    """The options of ``concurrence run`` itself, which go before those of applications."""
    return ["--help", "-h", *(word for parameter in command.params for word in parameter.opts)]


def run(
    context: typer.Context,
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

    The application's own options follow its name. They are listed by: concurrence run APP --help
    """
    from concurrence.cli.choosing import choose_app
    from concurrence.nodes.application import ApplicationNode
    from concurrence.nodes.running import open_environment

    file = _report_file(report, detach=detach)
    _check_combination(workers=workers is not None, master=master is not None, inline=inline, detach=detach)
    overrides = overrides_of(settings, application__master=master, application__detach="true" if detach else None)
    with open_environment(env, overrides=overrides, config_files=files_of(config)) as environment:
        environment.start_logging()
        if app is not None and app.startswith("-"):
            raise _unknown_option(app, own_words(context.command))
        chosen = choose_app(environment, app)
        if context.args:
            from concurrence.cli.app_words import read_words

            environment.override(read_words(context.args, chosen, app or "", own_words(context.command)))
        environment.check()
        _note_the_shadowed(context, chosen, environment.overrides)
        made = environment.component(chosen)
        if isinstance(made, ApplicationNode):
            if made.master is None and not (inline or quiet):
                _note_the_master(env)
            return _run_application(environment, made, workers, file, inline=inline, quiet=quiet)
        given = [
            ("--report", file is not None), ("--workers", workers is not None), ("--master", master is not None),
            ("--inline", inline), ("--detach", detach),
        ]  # fmt: skip
        return _run_other(made, [option for option, is_given in given if is_given])


def _report_file(path: Path | None, *, detach: bool) -> ReportFile | None:
    from concurrence.cli.report_file import ReportFile
    from concurrence.errors import UsageError

    if path is not None and detach:
        raise UsageError("--report and --detach exclude each other", hint="Nobody here sees how such a run ends.")
    return ReportFile(path) if path is not None else None


def _unknown_option(word: str, known: list[str]) -> UsageError:
    from concurrence.errors import UsageError, nearest

    near = nearest(word, known)
    guess = f"Did you mean {near}? " if near else ""
    return UsageError(
        f"concurrence run has no option {word}",
        hint=f"{guess}Those of an application follow its name; see: concurrence run --help",
    )


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


def _run_other(app: Component, given: list[str]) -> int:
    """Run an application that is no client; the options of clients mean nothing to it."""
    from concurrence.errors import UsageError
    from concurrence.nodes.api import IApp

    if not isinstance(app, IApp):  # what choose_app found is one
        raise TypeError(app)
    if given:
        means = "means" if len(given) == 1 else "mean"
        name = type(app).__name__
        raise UsageError(
            f"{name} is no client of a swarm, and {', '.join(given)} {means} nothing to it",
            hint=f"Leave that out. Its own options: concurrence run {name.lower()} --help",
        )
    app.app_init()
    return app.app_main() or 0


def _note_the_master(env: Path | None) -> None:
    """A master's environment is no swarm to run on unless its connect file is named: say so."""
    client_file = None if env is None else env / "connect" / "client.toml"
    if client_file is not None and client_file.exists():
        print(
            f"note: this runs on a private swarm; to use the master of {env} add: --master {client_file}",
            file=sys.stderr,
        )


def _note_the_shadowed(context: typer.Context, app: type[Component], overrides: Sequence[str]) -> None:
    """Say at once that an option of every run hides one of the application that has its name."""
    parameters = context.command.params
    sources = {parameter: context.get_parameter_source(parameter.name or "") for parameter in parameters}
    given = [
        word
        for parameter, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
        for word in parameter.opts
    ]
    if not given:
        return
    from concurrence.cli.app_words import shadowed

    for note in shadowed(app, given, overrides):
        print(note, file=sys.stderr)


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
            end_with_the_node()
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
    lines = [*summary_lines(summary, count, report), *(report_lines(report) if report is not None else [])]
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
