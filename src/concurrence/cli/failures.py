"""How the command line ends when something goes wrong: what is printed, and with which code.

A mistake of the user's is told in a few lines with what to do about it. What the user's own code raises is shown
with its traceback, from which the frames of Concurrent are left out. Only a fault of Concurrent itself shows ours.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from concurrence.errors import ComponentError, ConcurrenceError

if TYPE_CHECKING:
    from concurrence.env.plugins import PluginFailure

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

_PACKAGE = Path(__file__).parents[1]
_SAMPLES = _PACKAGE / "samples"  # an application's code, although it lies in the package
_STANDARD = sysconfig.get_paths()["stdlib"]


def report(message: str, hint: str = "") -> None:
    """Print an error on standard error: the one form that all errors of the command line have.

    Args:
        message: What went wrong, where and why.
        hint: What to do about it; empty if there is nothing to add.
    """
    sys.stdout.flush()
    lines = [f"error: {message}", *(f"  {line}" for line in hint.splitlines())]
    print("\n".join(lines), file=sys.stderr)


def note(text: str) -> None:
    """Print on standard error what somebody should know although nothing failed."""
    sys.stdout.flush()
    print(f"note: {text}", file=sys.stderr)


def note_broken(failures: Iterable[PluginFailure]) -> None:
    """Tell of plug-ins that could not be loaded, a line for each."""
    for failure in failures:
        note(f"plug-in {failure.name} is broken and left out: {failure.reason}; see: concurrence plugin list")


def report_exception(error: Exception) -> int:
    """Print what is to be said of an exception.

    Args:
        error: What ended the command.

    Returns:
        The exit code.
    """
    if isinstance(error, ConcurrenceError):
        _report_known(error)
        return error.exit_code
    shown = user_traceback(error)
    if shown:
        sys.stdout.flush()
        print(shown.rstrip(), file=sys.stderr)
    elif isinstance(error, OSError):
        report(f"the system refused: {error}")
    else:
        print("".join(traceback.format_exception(error)).rstrip(), file=sys.stderr)
        report("this is a fault in Concurrent, not in your application", "Please report it, with the text above.")
    return 1


def report_handler(error: Exception, name: str) -> bool:
    """Print what an application's own code raised.

    Args:
        error: What it raised.
        name: The application's name.

    Returns:
        Whether that was so; if not, nothing is printed, and the error is another's to report.
    """
    shown = "" if isinstance(error, ConcurrenceError | BrokenPipeError) else user_traceback(error)
    if shown:
        sys.stdout.flush()
        print(shown.rstrip(), file=sys.stderr)
        raised = "".join(traceback.format_exception_only(error)).strip()
        report(f"{name} stopped: its own code raised {raised}")
    return bool(shown)


def user_traceback(error: BaseException) -> str:
    """The traceback from the first frame of the user's own code on, without ours; empty if it has none."""
    whole = traceback.TracebackException.from_exception(error)
    has_user_frames = any(_is_users(frame) for frame in whole.stack)
    _strip(whole)
    return "".join(whole.format()) if has_user_frames else ""


def _report_known(error: ConcurrenceError) -> None:
    # The text of a component that fails names its chain of components; only the cause knows the line.
    if isinstance(error, ComponentError) and isinstance(error.__cause__, Exception):
        shown = user_traceback(error.__cause__)
        if shown:
            print(shown.rstrip(), file=sys.stderr)
    place = _place_in_user_code(error)
    report(error.message + (f"\n  at {place}" if place else ""), error.hint)


def _place_in_user_code(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame)]
    return f"{frames[-1].filename}:{frames[-1].lineno}, in {frames[-1].name}" if frames else ""


def _strip(error: traceback.TracebackException) -> None:
    frames = [frame for frame in error.stack if not _is_ours(frame)]
    while frames and not _is_users(frames[0]):
        del frames[0]
    error.stack = traceback.StackSummary.from_list(frames)
    for other in (error.__cause__, error.__context__, *(error.exceptions or ())):
        if other is not None:
            _strip(other)


def _is_ours(frame: traceback.FrameSummary) -> bool:
    path = Path(frame.filename)
    is_package = path.is_relative_to(_PACKAGE) and not path.is_relative_to(_SAMPLES)
    return is_package or any(part in ("typer", "click", "rich") for part in path.parts[-4:-1])


def _is_users(frame: traceback.FrameSummary) -> bool:
    if _is_ours(frame) or frame.filename.startswith("<frozen"):
        return False
    is_installed = "site-packages" in frame.filename or "dist-packages" in frame.filename
    return is_installed or not frame.filename.startswith(_STANDARD + os.sep)
