"""``concurrence top``: what a swarm does, once a second."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from concurrence.cli.options import EnvOption, JsonOption, MasterOption, examples

if TYPE_CHECKING:
    from collections.abc import Generator

    from concurrence.cli.asking import Asked
    from concurrence.cli.top_frames import Frames

EPILOG = examples(
    "concurrence top",
    "concurrence top --once --env swarm",
    "concurrence top --json --master admin.toml",
)
SECONDS = 1.0
"""How often it looks."""

_TIMEOUT = 5.0
_WIDTH = 200  # of a frame that goes into a file or a pipe


def top(
    once: Annotated[
        bool, typer.Option("--once", help="Print one frame and end, as it does where there is no terminal.")
    ] = False,
    master: MasterOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show slaves and jobs, once a second, until q or Ctrl-C."""
    from concurrence.cli.asking import Asked
    from concurrence.cli.top_frames import Frames

    with Asked(master, env, "top") as asked:
        snapshot = asked.call("top", timeout=_TIMEOUT)
        if as_json:
            print(json.dumps(snapshot, indent=2))
            return 0
        frames = Frames(asked.address)
        frames.add(snapshot)
        if once or not sys.stdout.isatty():
            return _print_frame(asked, frames)
        with suppress(KeyboardInterrupt):
            _show(asked, frames)
    return 0


def _print_frame(asked: Asked, frames: Frames) -> int:
    """Print one frame; a second snapshot tells how fast it goes."""
    from rich.console import Console

    time.sleep(SECONDS)
    frames.add(asked.call("top", timeout=_TIMEOUT))
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_WIDTH)
    console.print(frames.render())
    return 0


def _show(asked: Asked, frames: Frames) -> None:
    """Show frame after frame on the terminal's other screen, until somebody has seen enough."""
    from rich.live import Live

    with _single_keys() as has_keys, Live(frames.render(), screen=True, auto_refresh=False) as live:
        while not _wait(SECONDS, has_keys=has_keys):
            _look(asked, frames)
            live.update(frames.render(), refresh=True)


def _look(asked: Asked, frames: Frames) -> None:
    """Take a snapshot; a master that does not answer may be back soon."""
    from concurrence.errors import ConcurrenceError

    try:
        frames.add(asked.call("top", timeout=_TIMEOUT))
    except ConcurrenceError as error:
        frames.trouble = f"{error.message}; trying again. What you see is old."


def _wait(seconds: float, *, has_keys: bool) -> bool:
    """Let time pass; whether somebody pressed q meanwhile, or the terminal is gone."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if not has_keys:
            time.sleep(left)
        elif select.select([sys.stdin], [], [], left)[0]:
            pressed = os.read(sys.stdin.fileno(), 64)
            if not pressed or b"q" in pressed.lower():
                return True
    return False


@contextmanager
def _single_keys() -> Generator[bool]:
    """Get each key as it is pressed, and do not show it; whether there is a keyboard to get keys from."""
    if not sys.stdin.isatty():
        yield False
        return
    import termios
    import tty

    before: Any = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)  # Ctrl-C goes on to interrupt
        yield True
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
