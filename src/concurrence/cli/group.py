"""The root of all commands: whatever happens below it ends in an exit code and a text for people."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, NoReturn, cast

import typer
from typer.core import TyperGroup

from concurrence.cli.failures import INTERRUPTED, report, report_exception


class _Carried(Exception):
    """Brings an exception past Typer, which would make something else of it."""


class Commands(TyperGroup):
    """The group of all commands, which turns exceptions into messages and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, EOFError) as error:
            raise _Carried from error

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run a command and exit: 0 for success, 1 for a failure, 2 for wrong usage, 130 after Ctrl-C."""
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
        report(str(usage.format_message()), f"See: {context.command_path} --help" if context else "")
        return int(usage.exit_code)
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return _reader_is_gone()
    return report_exception(error)
