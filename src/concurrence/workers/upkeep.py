"""Puts back, before each chunk, what tasks may have changed of their process and the next ones rely on.

Also keeps the link out of the way of tasks that close the low file descriptors, and starts counting the peak of
memory anew.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import time
from types import ModuleType
from typing import Final

from concurrence.workers.groups import resident
from concurrence.workers.interrupts import Interrupts

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_OUT_OF_THE_WAY: Final = 200
_CHECK_PERIOD: Final = 1.0  # seconds between two looks at this process's own memory
_RESET_PEAK = b"5"
_TIMERS: Final = tuple(
    getattr(signal, name) for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF") if hasattr(signal, name)
)


class Upkeep:
    """What a worker sees to between chunks.

    Args:
        output: The descriptor that standard output and error lead to.
        interrupts: The handler of the slave's signal.
        max_growth: How many bytes it may hold more than at its start, before it is worn; 0 for any number.
    """

    def __init__(self, output: int, interrupts: Interrupts, max_growth: int) -> None:
        self._output = out_of_the_way(output)
        self._interrupts = interrupts
        self._max_growth = max_growth
        self._at_start = resident(os.getpid()) if max_growth else 0
        self._check_at = 0.0
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._folder: int | None = None
        self._peak: int | None = None
        with contextlib.suppress(OSError):
            self._folder = out_of_the_way(os.open(".", os.O_RDONLY | os.O_CLOEXEC))
        with contextlib.suppress(OSError):
            self._peak = out_of_the_way(os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC))
        self._stream = os.fstat(self._output)
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ()) if hasattr(signal, "pthread_sigmask") else None

    def before_chunk(self) -> None:
        """Put everything back."""
        for timer in _TIMERS:  # what one task left would kill the worker of another
            signal.setitimer(timer, 0.0)
        if self._mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        self._interrupts.install()
        os.umask(self._umask)
        if self._folder is not None:
            with contextlib.suppress(OSError):
                os.fchdir(self._folder)
        for stream in (1, 2):
            if not self._is_whole(stream):
                with contextlib.suppress(OSError):
                    os.dup2(self._output, stream)
        if self._peak is not None:
            with contextlib.suppress(OSError):
                os.write(self._peak, _RESET_PEAK)

    def after_chunk(self) -> int | None:
        """The bytes of memory in use, if that is more than it may have grown to."""
        if not self._max_growth or time.monotonic() < self._check_at:
            return None
        self._check_at = time.monotonic() + _CHECK_PERIOD
        most = self._at_start + self._max_growth
        if resident(os.getpid()) <= most:
            return None
        gc.collect()  # what nobody needs any more is no reason
        used = resident(os.getpid())
        return used if used > most else None

    def _is_whole(self, stream: int) -> bool:
        try:
            found = os.fstat(stream)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self._stream.st_dev, self._stream.st_ino)


def out_of_the_way(descriptor: int) -> int:
    """The same as a high descriptor, with the low one closed; or as it was, where that is not to be had."""
    if fcntl is None:
        return descriptor
    try:
        high: int = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY)
    except OSError:  # so few are allowed
        return descriptor
    os.close(descriptor)
    return high
