"""One master per environment: a lock on a file, which the system drops with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import TextIO

from concurrence.env.environment import Environment
from concurrence.env.layout import in_shell
from concurrence.errors import EnvironmentInvalid, UsageError

LOCK_FILE = Path("state", "master.lock")
"""Where the lock lies in an environment. The file stays when the lock goes."""

_ATTEMPTS, _PAUSE = 5, 0.02  # whoever merely looks holds the lock for an instant


def lock_environment(environment: Environment) -> TextIO:
    """Keep other masters out of an environment: the connect files can name one only.

    Returns:
        The lock, which lasts until it is closed or the process ends.

    Raises:
        UsageError: A master runs in the environment already.
        EnvironmentInvalid: The lock cannot be made.
    """
    return lock_folder(environment.path)


def lock_folder(folder: Path) -> TextIO:
    """Keep masters out of the environment in a folder, of whatever layout; see :func:`lock_environment`."""
    path = folder / LOCK_FILE
    try:
        lock = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise EnvironmentInvalid(
            f"the lock {path} cannot be made: {error.strerror}",
            hint=f"See what is wrong: concurrence env check {in_shell(folder)}",
        ) from error
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt + 1 < _ATTEMPTS:
                time.sleep(_PAUSE)
        else:
            return lock
    lock.seek(0)
    who = lock.read().strip()
    lock.close()
    raise UsageError(
        f"a master runs in {folder} already{f' ({who})' if who else ''}",
        hint="Stop it, or give this one an environment of its own: --env PATH",
    )


def note_address(lock: TextIO, address: str) -> None:
    """Write who holds the lock, for the error that the next one gets."""
    lock.seek(0)
    lock.truncate()
    lock.write(f"process {os.getpid()} at {address}\n")
    lock.flush()


def running_master(folder: Path) -> str | None:
    """Who holds the lock of the environment in a folder, in words; None if nobody does. Nothing is written.

    Raises:
        OSError: There is a lock file, but it cannot be read.
    """
    try:
        lock = (folder / LOCK_FILE).open(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return lock.read().strip() or "a process that is starting"
    return None
