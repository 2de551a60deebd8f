"""``concurrence env``: make environments, and look into them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concurrence.cli.options import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from concurrence.env.environment import Environment

commands = typer.Typer(no_args_is_help=True, help="Make environments, and look into them.")


@commands.command(
    epilog=examples("concurrence env create mine", "concurrence env create mine --app Mandelbrot"),
)
def create(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder; new or empty.", show_default=False)],
    app: Annotated[str | None, typer.Option("--app", metavar="NAME", help="The application that it runs.")] = None,
) -> int:
    """Make a new environment: a folder for config, plug-ins, keys and state."""
    from concurrence.env.environment import CONFIG_FILE, Environment
    from concurrence.env.log import configure_logging
    from concurrence.errors import UsageError
    from concurrence.nodes.api import IApp

    configure_logging("WARNING")
    with Environment.create(path, app) as environment:
        folder = environment.path
        print(f"Made the environment {folder}")
        print(f"  configure it:  {folder / CONFIG_FILE}")
        print(f"  plug-ins:      {folder / 'plugins'}")
        print(f"  run it:        concurrence run {'' if app else 'APP '}--env {path}")
        try:
            if app:
                environment.find(IApp, app)
        except UsageError as error:
            print(f"note: {error.message} yet; {error.hint}")
    return 0


@commands.command(epilog=examples("concurrence env info", "concurrence env info mine"))
def info(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="PATH", help="The folder.", show_default="the one around you"),
    ] = None,
) -> int:
    """Show what is in an environment."""
    from concurrence.env.environment import Environment
    from concurrence.env.log import configure_logging
    from concurrence.errors import EnvironmentInvalid

    configure_logging("CRITICAL")  # plug-ins that fail are listed below
    folder = path if path is not None else Environment.discover(Path.cwd())
    if folder is None:
        raise EnvironmentInvalid(
            f"neither {Path.cwd()} nor a folder around it is an environment",
            hint="Make one: concurrence env create PATH",
        )
    with Environment.open(folder) as environment:
        for line in _info_lines(environment):
            print(line)
    return 0


def _info_lines(environment: Environment) -> Iterator[str]:
    from concurrence.env.environment import CONFIG_FILE

    plugins = sorted(path.name for path in (environment.path / "plugins").iterdir() if path.name[0] not in "._")
    keys = sorted(path.name for path in (environment.path / "connect").glob("*.toml"))
    yield f"environment    {environment.path}"
    yield f"application    {environment.app_name or 'none: name it in [project] app'}"
    yield f"plug-ins       {', '.join(plugins) or 'none'}"
    yield f"components     {len(environment.registered())}"
    yield f"connect files  {', '.join(keys) or 'none: a master makes them when it first runs'}"
    values = [(section, name, value) for section, name, value in environment.config.items()]
    yield f"configuration  {environment.path / CONFIG_FILE}" + (
        "" if values else ", all options at their defaults"
    )
    for section, name, value in values:
        yield f"  {section}.{name} = {value.raw!r}    from {value.source}"
    for failure in environment.plugin_failures:
        yield f"broken plug-in {failure.name} ({failure.source}):"
        yield from (f"  {line}" for line in failure.traceback.splitlines())
