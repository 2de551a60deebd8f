"""How a worker ends a task early: a signal from the slave, answered by an exception within the task's own code.

The slave writes into the cell which task it means, and then signals. By the time the signal is handled that task
may be over, or the worker may be in the middle of a message to the slave. So the handler raises only if the task
that was meant runs, and only within that task's code; otherwise it does nothing, and the slave signals again.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from concurrence.errors import TaskInterrupted
from concurrence.tasks.loading import clean_text, format_traceback, one_line
from concurrence.tasks.values import describe_error
from concurrence.wire.faults import KIND_CANCELLED, KIND_TIMEOUT, Fault
from concurrence.wire.messages import CANCELLED
from concurrence.workers.cell import INTERRUPT, WorkerCell
from concurrence.workers.groups import members
from concurrence.workers.output import OutputCapture

_TICK = 0.01  # the kernel tells in whole hundredths of a second when processes started
_OURS = ("concurrence.workers.", "concurrence.wire.")


def call_function(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call the author's function. What is called from here may be interrupted."""
    return target(*args, **kwargs)


def call_task(task: Callable[[], Any]) -> Any:
    """Call the author's task. What is called from here may be interrupted."""
    return task()


_INTERRUPTIBLE = (call_function.__code__, call_task.__code__)


class Interrupts:
    """Takes the slave's signal, in the worker's main thread.

    Args:
        cell: Where the slave says which task it means.
        output: Takes what tasks print; None if nothing does. A task that prints all the time is there most of it.
    """

    def __init__(self, cell: WorkerCell, output: OutputCapture | None = None) -> None:
        self._cell = cell
        self._output = output
        self._pid = os.getpid()
        self._interrupted: tuple[int, int] | None = None
        self._status = 0

    def install(self) -> None:
        """Handle the signal from now on; whatever a task did to it is undone."""
        signal.signal(INTERRUPT, self._on_signal)

    def status(self) -> int | None:
        """With which status the task that runs is to end; None if it was not interrupted."""
        return self._status if self._interrupted is not None and self._cell.is_at(self._interrupted) else None

    def end_children(self) -> None:
        """Kill what the running task started and left behind in the worker's process group."""
        if not hasattr(time, "CLOCK_BOOTTIME"):
            return
        age = time.monotonic() - self._cell.started
        since = time.clock_gettime(time.CLOCK_BOOTTIME) - age
        for member in members([self._pid]):
            if member.pid != self._pid and member.started >= since - _TICK:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(member.pid, signal.SIGKILL)

    def _after_write(self) -> None:
        """What was in the way of an interruption is over: the author's code goes on right after this."""
        if threading.current_thread() is threading.main_thread():
            here = inspect.currentframe()
            writing = here.f_back if here is not None else None
            self._on_signal(0, writing.f_back if writing is not None else None)

    def _on_signal(self, _number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return  # a process that the task forked; it is not meant
        status = self._cell.asked_to_interrupt()
        if status is None:
            return
        if not _is_interruptible(frame):
            if self._output is not None:
                self._output.after_write = self._after_write
            return
        self._interrupted, self._status = self._cell.take_interruption(), status
        raise TaskInterrupted("cancelled" if status == CANCELLED else "timeout")


def interruption_fault(error: BaseException, status: int, timeout: float, output: str) -> Fault:
    """The fault of a task that was interrupted.

    Args:
        error: What it raised then.
        status: With which status it ends.
        timeout: Its time-out, in seconds.
        output: The last lines that it wrote.
    """
    if status == CANCELLED:
        kind, message, hint = KIND_CANCELLED, "the task was cancelled while it ran", ""
    else:
        kind = KIND_TIMEOUT
        message = f"the task took longer than its time-out of {timeout:g} s and was interrupted"
        hint = "Raise the time-out, or split the task; the traceback shows where it was."
    if not isinstance(error, TaskInterrupted):
        hint = clean_text(one_line(f"While it was being ended it raised {describe_error(error)}")) + (
            f"\n  {hint}" if hint else ""
        )
    return Fault(kind, message, hint=hint, traceback=format_traceback(error), output=output)


def _is_interruptible(frame: FrameType | None) -> bool:
    """Whether the author's code runs: not ours, that runs around it or that it called."""
    while frame is not None:
        if frame.f_code in _INTERRUPTIBLE:
            return True
        if frame.f_globals.get("__name__", "").startswith(_OURS):
            return False
        frame = frame.f_back
    return False
