"""Options that several commands have, and how they become overrides of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

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
    typer.Option("--set", metavar="SECTION.NAME=VALUE", help="Set an option; goes before all files."),
]
MasterOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--master", metavar="CONNECT.toml", help="The connect file of a master."),
]
WorkersOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--workers", min=1, metavar="N", help="Number of worker processes.", show_default="one per core"),
]

_SEPARATOR: Final = "\n\n"  # what Typer keeps as a line break in an epilog


def examples(*lines: str) -> str:
    """The end of a command's help: one example a line."""
    return _SEPARATOR.join(["Examples:", *(f"$ {line}" for line in lines)])


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
