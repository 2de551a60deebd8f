"""``concurrence apps``: the applications that can be run."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from concurrence.cli.options import EnvOption, examples

if TYPE_CHECKING:
    from concurrence.component import Component
    from concurrence.env.environment import Environment

EPILOG = examples("concurrence apps", "concurrence apps --env mine")


def apps(env: EnvOption = None) -> int:
    """List the applications that can be run by name, and where they come from."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from concurrence.cli.choosing import is_server
    from concurrence.env.log import configure_logging
    from concurrence.nodes.api import IApp
    from concurrence.nodes.running import open_environment

    configure_logging("CRITICAL")  # plug-ins that fail are listed below
    with open_environment(env) as environment:
        table = Table("application", "what it does", "where it comes from", box=None, pad_edge=False)
        classes = [cls for cls in environment.implementation_classes(IApp) if not is_server(cls)]
        for cls in sorted(classes, key=lambda cls: cls.__name__.casefold()):
            table.add_row(Text(cls.__name__, "bold"), Text(_first_line(cls)), Text(_home(cls, environment)))
        console = Console() if sys.stdout.isatty() else Console(width=_UNLIMITED)
        console.print(table)
        for failure in environment.plugin_failures:
            console.print(Text(f"\nbroken plug-in {failure.name} ({failure.source}):"))
            console.print(Text(failure.traceback.rstrip()))
    return 0


_UNLIMITED = 400  # columns: a file or pipe has no width, and grep finds nothing in cut lines


def _first_line(cls: type[Component]) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def _home(cls: type[Component], environment: Environment) -> str:
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file and Path(file).is_relative_to(environment.path):
        return str(Path(file).relative_to(environment.path))
    return cls.__module__
