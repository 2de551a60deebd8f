"""Replacing a config file: whole or not at all, and never over somebody else's change."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

from concurrence.env.config import is_there, read_file
from concurrence.env.layout import in_shell
from concurrence.env.whole import new_file_mode, whole_file
from concurrence.errors import ConcurrenceError

_SECONDS_TO_WAIT = 10.0
_POLL_SECONDS = 0.02


class ConfigNotWritten(ConcurrenceError):
    """The machine's state: the config file cannot be written, or changed meanwhile. It is as it was before."""


def edit_file(path: Path, change: Callable[[str], str], *, create: bool = False) -> bool:
    """Change a config file. It is replaced by a complete new file of the same mode; symbolic links stay.

    Args:
        path: The file.
        change: Gives the new text for the old one.
        create: Whether a missing file counts as an empty one.

    Returns:
        Whether anything changed.

    Raises:
        ConfigError: The file is missing, or is not TOML; the text names the line.
        ConfigNotWritten: It cannot be written, or another program changed it in the meantime.
    """
    target = Path(os.path.realpath(path))
    try:
        with _only_one(target.parent):
            old = _read(path, target, create=create)
            new = change("" if old is None else old.decode("utf-8")).encode("utf-8")
            if new == old:
                return False
            _refuse_read_only(path, target)
            _replace(path, target, old, new)
    except UnicodeEncodeError as error:
        raise ConfigNotWritten(f"{path}: the value is not Unicode; nothing was changed") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigNotWritten(f"{path} cannot be written: {reason}; nothing was changed") from error
    return True


@contextlib.contextmanager
def _only_one(folder: Path) -> Generator[None]:
    """Keep other commands like this one out of a folder; the lock ends with the process and leaves no file."""
    if sys.platform == "win32":
        yield
        return
    import fcntl  # noqa: PLC0415  Windows has none

    lock = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + _SECONDS_TO_WAIT
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ConfigNotWritten(
                        f"another command has been editing files in {folder} for {_SECONDS_TO_WAIT:.0f} s",
                        hint="Wait for it to end, and try again.",
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(lock)


def _read(path: Path, target: Path, *, create: bool) -> bytes | None:
    """The content; None if the file is missing and may be created."""
    if create and not is_there(target):
        return None
    read_file(path)  # refuses what is missing, not UTF-8 or not TOML, and says where
    return target.read_bytes()


def _refuse_read_only(path: Path, target: Path) -> None:
    # Root may write anything, and a rename asks only the folder: but the mode says what the owner wants.
    if target.exists() and not (target.stat().st_mode & 0o222 and os.access(target, os.W_OK)):
        raise ConfigNotWritten(
            f"{path} is read-only; nothing was changed", hint=f"Allow it: chmod u+w {in_shell(path)}"
        )


def _replace(path: Path, target: Path, old: bytes | None, new: bytes) -> None:
    known = target.stat() if target.exists() else None
    mode = new_file_mode() if known is None else stat.S_IMODE(known.st_mode)
    with whole_file(target, mode=mode, replace=True, like=known) as file:
        file.write(new)
        _refuse_changed(path, target, old)


def _refuse_changed(path: Path, target: Path, old: bytes | None) -> None:
    if (target.read_bytes() if target.exists() else None) != old:
        raise ConfigNotWritten(
            f"{path} was changed by another program in the meantime; it stays as that one left it",
            hint="Try again.",
        )
