"""Errors of tasks that ran in their owner's own process: the very objects, with their frames, for a debugger.

Pickling an exception drops its traceback, its cause and its context. Between processes there is no other way; in
an inline swarm the pickled form only names the object.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from typing import Any

from concurrence.errors import TaskError

_MAX_KEPT = 256
"""Each keeps the frames of its traceback alive; of older ones only the pickled form arrives."""
_MAX_PACKED = 1_000_000
_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_TRACEBACK = "__concurrence_traceback__"


class _Keeping(threading.local):
    is_on = False


_keeping = _Keeping()
_numbers = count()
_kept: dict[int, BaseException] = {}


@contextmanager
def keeping_errors() -> Generator[None]:
    """Within this block, in this thread, exceptions that are packed are kept."""
    before, _keeping.is_on = _keeping.is_on, True
    try:
        yield
    finally:
        _keeping.is_on = before


def keep(error: BaseException, packed: bytes) -> bytes:
    """The pickled form of an exception: of one that is kept, a reference to it.

    Args:
        error: The exception.
        packed: What pickling it gave; empty if it cannot be pickled.
    """
    if not _keeping.is_on:
        return packed
    if len(packed) > _MAX_PACKED:
        packed = b""  # a fault has room for this and little more
    number = next(_numbers)
    _kept[number] = error
    if len(_kept) > _MAX_KEPT:
        del _kept[min(_kept)]
    return pickle.dumps(_Reference(number, packed), 5)


def forget_errors() -> None:
    """Drop what nobody came for: an inline swarm has ended."""
    _kept.clear()


def as_raised(exception: BaseException, error: TaskError) -> BaseException:
    """A task's exception for whoever waits: its cause is the error, which tells the rest.

    One that was kept has its own traceback, and if it has a cause or context of its own, that too.
    """
    trace = getattr(exception, _TRACEBACK, None)
    if trace is None or (exception.__cause__ is None and exception.__context__ is None):
        exception.__cause__ = error
    return exception.with_traceback(trace)


class _Reference:
    def __init__(self, number: int, packed: bytes) -> None:
        self._number = number
        self._packed = packed

    def __reduce__(self) -> tuple[Any, ...]:
        return _take, (self._number, self._packed)


def _take(number: int, packed: bytes) -> Any:
    error = _kept.pop(number, None)
    if error is None:
        return pickle.loads(packed) if packed else None
    # Raising it again lengthens the traceback, and whoever does that may want to begin from here again.
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        frames = frames.tb_next
    error.__traceback__ = frames or error.__traceback__
    setattr(error, _TRACEBACK, error.__traceback__)
    return error
