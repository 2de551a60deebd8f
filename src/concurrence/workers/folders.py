"""A folder for temporary files of each worker, removed when the worker has ended, whatever it ended of.

They lie in one folder of the template process that forks the workers. While that process lives it holds a lock in
it. What is not locked was left by one that was killed; the next one removes it.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PREFIX: Final = "concurrence-work-"
_LOCK = ".lock"
_VARIABLES = ("TMPDIR", "TEMP", "TMP")


class PrivateFolders:
    """The folders of the children of this process.

    Args:
        base: Where they are made; empty for the system's folder of temporary files.
    """

    def __init__(self, base: str) -> None:
        self._base = Path(base or tempfile.gettempdir())
        self._root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._base))
        self._lock = _lock_new(self._root / _LOCK)

    def path(self, number: int) -> Path:
        """The folder of a child; the child makes it."""
        return self._root / str(number)

    def remove(self, number: int) -> None:
        """A child has ended: remove its folder, in a process of its own if there is anything in it."""
        path = self.path(number)
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            _remove_aside([path])

    def sweep(self) -> None:
        """Remove what others left that were killed."""
        left = [path for path in self._base.glob(f"{PREFIX}*") if path != self._root and _is_left(path)]
        if left:
            _remove_aside(left)

    def close(self) -> None:
        """Remove everything; all children have ended."""
        for _ in range(2):  # a process that removes a part of it may still be at it
            _remove(self._root)
        if self._lock is not None:
            os.close(self._lock)


def use(path: Path) -> None:
    """Make a folder, and have this process and what it starts put temporary files there."""
    path.mkdir(mode=0o700)
    for name in _VARIABLES:
        os.environ[name] = str(path)
    tempfile.tempdir = None  # where it was is not asked again otherwise


def _lock_new(path: Path) -> int | None:
    """A locked file, which has its name only once it is locked."""
    if fcntl is None:
        return None
    unnamed = path.with_name(f"{path.name}-new")
    descriptor = os.open(unnamed, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    unnamed.rename(path)
    return descriptor


def _is_left(path: Path) -> bool:
    """Whether this is a folder of ours that nobody uses any more."""
    if fcntl is None:
        return False
    try:
        if path.is_symlink() or path.stat().st_uid != os.getuid():
            return False
        descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _remove_aside(paths: list[Path]) -> None:
    """Remove folders in a process of its own: they may be large, and this process must answer soon."""
    try:
        if os.fork():
            return
    except OSError:
        return  # what is left is removed at the end
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for path in paths:
            _remove(path)
    finally:
        os._exit(0)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        for folder in _folders(path):
            os.chmod(folder, 0o700)  # a task may have taken the permission
        shutil.rmtree(path, ignore_errors=True)


def _folders(path: Path) -> Iterator[str]:
    os.chmod(path, 0o700)
    for folder, names, _ in os.walk(path):
        for name in names:
            if not os.path.islink(inner := os.path.join(folder, name)):
                yield inner
