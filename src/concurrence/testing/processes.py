"""Whether processes of a private swarm are left: seen in ``/proc``, so on Linux only."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_VARIABLE: Final = "_SWARM_OF_TEST"
_SECONDS: Final = 5.0
_PAUSE: Final = 0.01


@contextmanager
def marked() -> Generator[str]:
    """Processes that are started within this block, and what they start, carry a mark by which they are found."""
    mark = secrets.token_hex(8)
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = mark
    try:
        yield mark
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before


def check_none_left(mark: str) -> None:
    """Give processes that are about to end the time for it.

    Args:
        mark: That of :func:`marked`.

    Raises:
        AssertionError: One is still there.
    """
    deadline = time.monotonic() + _SECONDS
    while left := marked_processes(mark):
        if time.monotonic() > deadline:
            texts = [f"{process}: {_command(process)}" for process in left]
            raise AssertionError("\n  ".join(["processes of the swarm are left:", *texts]))
        time.sleep(_PAUSE)


def marked_processes(mark: str) -> list[int]:
    """The ids of the processes that carry a mark and have not ended."""
    if not _PROC.is_dir():
        return []
    entry = f"{_VARIABLE}={mark}".encode()
    numbers = [int(name) for name in os.listdir(_PROC) if name.isdecimal()]
    # A process that has ended has no environment any more, even if nobody has asked for its exit code yet.
    return [number for number in numbers if entry in _read(number, "environ").split(b"\0")]


def _command(number: int) -> str:
    return _read(number, "cmdline").replace(b"\0", b" ").decode(errors="replace")


def _read(number: int, name: str) -> bytes:
    try:
        return (_PROC / str(number) / name).read_bytes()
    except OSError:  # it has ended, or is another user's
        return b""
