"""Options that several commands have, and how they become overrides of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from concurrence.cli.completion import complete_settings

EnvOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--env", metavar="PATH", help="The environment's folder.", show_default="the one around you"),
]
ConfigOption: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option("-c", metavar="FILE", help="A further config file; goes before the environment's."),
]
SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.NAME=VALUE",
        autocompletion=complete_settings,
        help="Set an option; goes before all files.",
    ),
]
MasterOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--master", metavar="CONNECT.toml", help="The connect file of a master."),
]
WorkersOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--workers", min=1, metavar="N", help="Number of worker processes.", show_default="one per core"),
]

ReportOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE.html", help="Write where the time went, with plots: one HTML file."),
]

JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_SEPARATOR: Final = "\n\n"  # what Typer keeps as a line break in an epilog


def examples(*lines: str) -> str:
    """The end of a command's help: one example a line."""
    return _SEPARATOR.join(["Examples:", *(f"$ {line}" for line in lines)])


def show_help(context: typer.Context) -> None:
    """The callback of a group of commands: without one of them it shows its help, as the root does."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def environment_folder(given: Path | None, *, reason: str = "", hint: str = "Name one with --env PATH") -> Path:
    """The folder of the environment that a command is about; it need not be one.

    Args:
        given: What the user named; None for the environment around the working directory.
        reason: What to add to the error: why there must be one.
        hint: What to do instead of making one.

    Raises:
        EnvironmentInvalid: There is none around the working directory.
    """
    from concurrence.env.environment import Environment
    from concurrence.errors import EnvironmentInvalid

    folder = given if given is not None else Environment.discover(Path.cwd())
    if folder is None:
        raise EnvironmentInvalid(
            f"neither {Path.cwd()} nor a folder around it is an environment{reason}",
            hint=f"{hint}, or make one: concurrence env create PATH",
        )
    return folder


def overrides_of(given: list[str] | None, **values: object) -> list[str]:
    """What ``--set`` and the other options of a command set.

    Args:
        given: The texts of ``--set``.
        values: By ``section__name``; None where the option was not used. They go before ``--set``.
    """
    overrides = list(given or ())
    for key, value in values.items():
        if value is not None:
            # A relative path means the folder where the command was typed, whoever reads it later.
            text = value.absolute() if isinstance(value, Path) else value
            overrides.append(f"{key.replace('__', '.')}={text}")
    return overrides


def files_of(given: list[Path] | None) -> list[Path]:
    """The files of ``-c`` as absolute paths."""
    return [path.absolute() for path in given or ()]
