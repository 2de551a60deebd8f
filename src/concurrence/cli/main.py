"""The command ``concurrence``: its commands, and where it begins."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

try:
    import typer

    from concurrence.cli import (
        apps,
        attach,
        call,
        components,
        config,
        drain,
        env,
        jobs,
        plugin,
        run,
        servers,
        simulate,
        status,
        top,
    )
    from concurrence.cli.ending import own_the_process
    from concurrence.cli.failures import INTERRUPTED
    from concurrence.cli.group import Commands, pass_environment_on, use_environment
    from concurrence.version import __version__
except KeyboardInterrupt:  # Ctrl-C before there is anything that could handle it
    sys.exit(130)

app = typer.Typer(
    name="concurrence",
    cls=Commands,
    help="Distribute the logic of whole applications onto a swarm of machines.",
    add_completion=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command(
    cls=run.RunCommand,
    epilog=run.EPILOG,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)(run.run)
app.command(epilog=attach.EPILOG)(attach.attach)
app.command(epilog=servers.MASTER_EPILOG)(servers.master)
app.command(epilog=servers.SLAVE_EPILOG)(servers.slave)
app.command("worker", epilog=servers.SLAVE_EPILOG, hidden=True)(servers.slave)
app.command(epilog=status.EPILOG)(status.status)
app.command(epilog=jobs.JOBS_EPILOG)(jobs.jobs)
app.command(epilog=jobs.EXPLAIN_EPILOG)(jobs.explain)
app.command(epilog=jobs.CANCEL_EPILOG)(jobs.cancel)
app.command(epilog=jobs.LOGS_EPILOG)(jobs.logs)
app.command(epilog=top.EPILOG)(top.top)
app.command(epilog=drain.EPILOG)(drain.drain)
app.command(epilog=call.EPILOG)(call.call)
app.command(epilog=apps.EPILOG)(apps.apps)
app.command(epilog=simulate.EPILOG)(simulate.simulate)
app.command(cls=components.ComponentsCommand, epilog=components.EPILOG)(components.components)
app.add_typer(env.commands, name="env")
app.add_typer(config.commands, name="config")
app.add_typer(plugin.commands, name="plugin")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"Concurrent {__version__}, Python {sys.version.split()[0]}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end."),
    ] = False,
    environment: Annotated[
        Path | None,
        typer.Option(
            "--env",
            metavar="PATH",
            callback=use_environment,
            is_eager=True,
            help="The environment, also of commands that come from its plug-ins.",
            show_default="the one around you",
        ),
    ] = None,
) -> None:
    """Distribute the logic of whole applications onto a swarm of machines."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit
    pass_environment_on(context)


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    own_the_process()
    try:
        app(prog_name="concurrence")
    except KeyboardInterrupt:  # before the group of all commands, or after it
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
