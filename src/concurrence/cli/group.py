"""The root of all commands: whatever happens below it ends in an exit code and a text for people."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from pathlib import Path
from typing import Any, NoReturn, cast

import typer
from typer.core import TyperGroup

from concurrence.cli.completion import HIDDEN, be_silent_for_a_shell
from concurrence.cli.failures import INTERRUPTED, report, report_exception
from concurrence.cli.plugin_commands import PluginCommands
from concurrence.errors import UsageError, nearest

_ENV, _PLUGINS = "concurrence.env", "concurrence.plugins"  # where the root context keeps them


class _Carried(Exception):
    """Brings an exception past Typer, which would make something else of it."""


class Commands(TyperGroup):
    """The group of all commands, those of plug-ins too; it turns exceptions into messages and exit codes.

    A built-in command is found without a look at plug-ins. They are loaded for the help of all commands, and for a
    command that is not built in.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """The options of the root; those that install the shell's completion are kept out of the help."""
        parameters: list[Any] = list(super().get_params(ctx))
        for parameter in parameters:
            if parameter.name in HIDDEN:
                parameter.hidden = True
        return parameters

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands, in the order of the help."""
        built_in = super().list_commands(ctx)
        return [*built_in, *sorted(self._of_plugins(ctx).commands)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, or None."""
        return super().get_command(ctx, cmd_name) or self._of_plugins(ctx).commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that is about to run, and what is left for it; an unknown one ends in a suggestion."""
        name = args[0]
        if self.get_command(ctx, name) is None:
            near = nearest(name, self._shown(ctx))
            text = f"No such command {name!r}." + (f" Did you mean {near!r}?" if near else "")
            behind = "" if _ENV in ctx.find_root().meta else _environment_behind(args)
            if behind:
                raise UsageError(
                    text,
                    hint=f"A plug-in's command stands behind its environment: concurrence --env {behind} {name}",
                )
            ctx.fail(text)
        if name not in self.commands:
            self._of_plugins(ctx).complete()
        return super().resolve_command(ctx, args)

    def _shown(self, ctx: Any) -> list[str]:
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return [name for name, command in found if command is not None and not command.hidden]

    def _of_plugins(self, ctx: Any) -> PluginCommands:
        root = ctx.find_root()
        known = cast("PluginCommands | None", root.meta.get(_PLUGINS))
        if known is None:
            known = PluginCommands(_environment_of(root), self.commands.keys())
            root.meta[_PLUGINS] = known
            root.call_on_close(known.close)
        return known

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, EOFError) as error:
            raise _Carried from error

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run a command and exit: 0 for success, 1 for a failure, 2 for wrong usage, 130 after Ctrl-C."""
        be_silent_for_a_shell()
        kwargs["standalone_mode"] = False  # or Typer would print in its own form, and we would not hear of it
        try:
            code = _exit_code(super().main(*args, **kwargs))
            sys.stdout.flush()
        except (_Carried, KeyboardInterrupt, typer.Abort) as error:
            code = _interrupted(error)
        except BrokenPipeError:
            code = _reader_is_gone()
        except Exception as error:  # noqa: BLE001  the last resort of the whole program
            code = _failed(error)
        sys.exit(code)


def use_environment(context: typer.Context, path: Path | None) -> Path | None:
    """The callback of the root's ``--env``: remember it for what follows and for plug-ins."""
    if path is not None:
        context.meta[_ENV] = path
    return path


def pass_environment_on(context: typer.Context) -> None:
    """``concurrence --env PATH COMMAND`` is ``concurrence COMMAND --env PATH``.

    Raises:
        typer.BadParameter: The command has no such option.
    """
    path = context.meta.get(_ENV)
    name = context.invoked_subcommand
    command = cast("Any", context.command).commands.get(name)
    if path is None or name is None or command is None:
        return
    defaults = _defaults(command, path)
    if not defaults:
        raise typer.BadParameter(f"concurrence {name} has no option --env")
    context.default_map = {name: defaults}


def _defaults(command: Any, path: Path) -> dict[str, Any]:
    if hasattr(command, "commands"):
        below = {name: _defaults(each, path) for name, each in command.commands.items()}
        return {name: defaults for name, defaults in below.items() if defaults}
    return {"env": str(path)} if any("--env" in parameter.opts for parameter in command.params) else {}


def _environment_behind(args: list[str]) -> str:
    """The environment that is named behind a command, as one types it; empty if there is none."""
    for position, word in enumerate(args):
        option, separator, path = word.partition("=")
        if option == "--env":
            return shlex.quote(path) if separator else shlex.quote(next(iter(args[position + 1 :]), "PATH"))
    return ""


def _environment_of(root: Any) -> Path | None:
    # Environment itself would slow the help of all commands down.
    from concurrence.env.layout import is_environment, missing_folder
    from concurrence.errors import EnvironmentInvalid

    path = cast("Path | None", root.meta.get(_ENV))
    if path is None:
        here = Path.cwd()
        return next((folder for folder in (here, *here.parents) if is_environment(folder)), None)
    if not path.is_dir():
        raise EnvironmentInvalid(
            f"{path.absolute()} {missing_folder(path)}", hint="Make one: concurrence env create PATH"
        )
    return path.absolute()


def _exit_code(result: object) -> int:
    return result if isinstance(result, int) else 0


def _interrupted(error: BaseException) -> int:
    if isinstance(error.__cause__, EOFError):
        return report_exception(error.__cause__)
    print("interrupted", file=sys.stderr)
    return INTERRUPTED


def _reader_is_gone() -> int:
    # Whoever read our output, head for example, has enough. Python flushes once more at its end.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return 1


def _failed(error: Exception) -> int:
    # Typer brings its own Click or uses an installed one, depending on its version: known by its method.
    if hasattr(error, "format_message"):
        usage = cast("Any", error)
        context: Any = getattr(usage, "ctx", None)
        message = str(usage.format_message())
        if message:  # a group of commands that was called alone has shown its help, and says no more
            report(message, f"See: {context.command_path} --help" if context else "")
        return int(usage.exit_code)
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return _reader_is_gone()
    return report_exception(error)
