"""The commands that plug-ins add: found when they are needed, and only then."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from concurrence.cli.failures import note, note_broken

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from concurrence.component import Component
    from concurrence.env.api import ICommands
    from concurrence.env.environment import Environment

PANEL = "From plug-ins"
"""The heading of these commands in ``concurrence --help``."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

Command: TypeAlias = Any
"""A Click command: which Click is Typer's own business."""


class PluginCommands:
    """The commands of the plug-ins that are installed, and of those of one environment.

    Only third-party plug-ins are loaded to find them, and nothing at all if there are none. The rest of what an
    environment has is loaded when one of the commands is about to run.

    Args:
        folder: The environment's folder; None for no environment.
        taken: Names that plug-ins cannot have: those of the built-in commands.
    """

    def __init__(self, folder: Path | None, taken: Collection[str]) -> None:
        self._folder = folder
        self._taken = taken
        self._commands: dict[str, Command] | None = None
        self._environment: Environment | None = None

    @property
    def commands(self) -> Mapping[str, Command]:
        """The commands by name; loaded at the first call."""
        if self._commands is None:
            self._commands = {}
            self._find(self._commands)
        return self._commands

    def complete(self) -> None:
        """Load the rest of the environment, and check its config: one of the commands is about to run.

        Raises:
            ConfigError: The config is wrong.
        """
        from concurrence.env.plugin_sources import find_plugins
        from concurrence.env.plugins import load_sources

        if self._environment is not None:
            environment = self._environment
            own = [source for source in find_plugins(None) if source.is_own]
            load_sources(environment, own, None, log=environment.log)
            environment.start_logging()
            environment.check()

    def close(self) -> None:
        """Close the environment. Repeatable."""
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    def _find(self, commands: dict[str, Command]) -> None:
        from concurrence.env.plugin_sources import find_plugins
        from concurrence.errors import ConcurrenceError

        plugins = self._folder / "plugins" if self._folder is not None else None
        sources = find_plugins(plugins, own=False)
        if not sources:
            return
        from concurrence.env.plugins import load_sources

        try:
            self._environment = environment = self._open()
        except ConcurrenceError as error:
            note(f"commands of plug-ins are left out: {error.message}")
            return
        silent = environment.log.getChild("commands")
        silent.setLevel(logging.CRITICAL + 1)  # one line is enough here
        for plugin in load_sources(environment, sources, plugins, log=silent):
            if plugin.failure is not None:
                note_broken([plugin.failure])
                environment.plugin_failures.append(plugin.failure)
        for cls in environment.implementation_classes(_interface()):
            for name, value in _offered(environment, cls):
                self._add(commands, cls, name, value)

    def _open(self) -> Environment:
        from concurrence.env.environment import Environment

        if self._folder is None:
            return Environment.ephemeral(plugins=False)
        return Environment.open(self._folder, plugins=False)

    def _add(self, commands: dict[str, Command], cls: type[Component], name: object, value: object) -> None:
        from concurrence.component import identity

        place = f"command {name!r} of {identity(cls)} is left out: "
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            note(f"{place}a name is of letters, digits, - and _")
        elif name in self._taken:
            note(f"{place}concurrence {name} is built in")
        elif name in commands:
            note(f"{place}another plug-in has one of that name")
        else:
            try:
                commands[name] = _click_command(name, value)
            except Exception as error:  # noqa: BLE001  the plug-in's signature; the other commands go on
                note(f"{place}{type(error).__name__}: {error}")


def _interface() -> type[ICommands]:
    from concurrence.env.api import ICommands

    return ICommands


def _offered(environment: Environment, cls: type[Component]) -> Iterator[tuple[object, object]]:
    from concurrence.component import identity

    try:
        component = cast("ICommands", environment.component(cls))
        yield from list(component.commands().items())
    except Exception as error:  # noqa: BLE001  the plug-in's own code; the others go on
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        note(f"the commands of {identity(cls)} are left out: {reason}")


def _click_command(name: str, value: object) -> Command:
    """What Click runs for a function, or for a Typer of commands."""
    import typer
    import typer.main

    app = typer.Typer(rich_markup_mode="rich", add_completion=False)
    app.callback()(_nothing)  # or Typer would make a single command the root
    if isinstance(value, typer.Typer):
        app.add_typer(value, name=name, rich_help_panel=PANEL)
    elif callable(value):
        app.command(name, rich_help_panel=PANEL)(value)
    else:
        raise TypeError(f"{value!r} is neither a function nor a typer.Typer")
    return typer.main.get_group(app).commands[name]


def _nothing() -> None:
    """The callback of a group that has nothing to do itself."""
