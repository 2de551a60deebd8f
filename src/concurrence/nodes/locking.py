"""One master per environment: a lock on a file, which the system drops with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from typing import TextIO

from concurrence.env.environment import Environment
from concurrence.errors import UsageError


def lock_environment(environment: Environment) -> TextIO:
    """Keep other masters out of an environment: the connect files can name one only.

    Returns:
        The lock, which lasts until it is closed or the process ends.

    Raises:
        UsageError: A master runs in the environment already.
    """
    lock = (environment.path / "state" / "master.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        who = lock.read().strip()
        lock.close()
        raise UsageError(
            f"a master runs in {environment.path} already{f' ({who})' if who else ''}",
            hint="Stop it, or give this one an environment of its own: --env PATH",
        ) from None
    return lock


def note_address(lock: TextIO, address: str) -> None:
    """Write who holds the lock, for the error that the next one gets."""
    lock.seek(0)
    lock.truncate()
    lock.write(f"process {os.getpid()} at {address}\n")
    lock.flush()
