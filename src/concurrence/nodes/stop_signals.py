"""Signals that end a node: what they do before it ends, while it cleans up, and when it has.

A clean-up is not interrupted: it has deadlines of its own, and what it leaves behind nobody else removes.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], None]

PATIENCE_SECONDS = 10.0
"""Somebody who still sends signals so long after the first that a clean-up ignored has the process end at once."""

_INTERRUPTED = 130  # as shells have it
_SAME_SECONDS = 0.5  # what comes so soon after the first signal is the same request, sent by several or twice

_STOPPING = (signal.SIGINT, signal.SIGTERM)

_the_process_ends = False


def end_with_the_node() -> None:
    """The node that is about to run is the last thing that this process does.

    Signals that come when it has cleaned up are then ignored: the process is about to end with its own exit code.
    """
    global _the_process_ends  # noqa: PLW0603  as the handlers of signals are: there is one set in a process
    _the_process_ends = True


class StopSignals:
    """The handlers of signals of something that runs, and then cleans up.

    Attributes:
        is_ending: Whether it cleans up; set it first of all then.
        is_breakable: Whether a signal may interrupt the clean-up all the same; what raises KeyboardInterrupt.
        is_interrupted: Whether somebody lost patience.
    """

    def __init__(self) -> None:
        self.is_ending = False
        self.is_breakable = False
        self.is_interrupted = False
        self._ignored_at: float | None = None
        self._previous: dict[int, signal.Handlers | Handler | int | None] = {}

    def catch(self, handlers: Mapping[int, Handler]) -> None:
        """Install handlers, which are not called any more during the clean-up; in the main thread alone."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in handlers.items():
            self._previous[number] = signal.signal(number, self._guarded(handler))

    def release(self) -> None:
        """It has ended: put the previous handlers back, unless the process ends as well."""
        previous, self._previous = self._previous, {}
        for number, handler in previous.items():
            if _the_process_ends:
                # These handlers stay. At the very end Python would put the defaults in their place, but not here.
                atexit.register(signal.signal, number, signal.SIG_IGN)
            else:
                signal.signal(number, handler)

    def _guarded(self, handler: Handler) -> Handler:
        def on_signal(number: int, frame: FrameType | None) -> None:
            if not self.is_ending:
                handler(number, frame)
            elif number in _STOPPING:
                self._while_ending()

        return on_signal

    def _while_ending(self) -> None:
        if self.is_breakable:
            self.is_interrupted = True
            raise KeyboardInterrupt
        now = time.monotonic()
        if self._ignored_at is None:
            self._ignored_at = now
        elif now - self._ignored_at > PATIENCE_SECONDS:
            os._exit(_INTERRUPTED)  # the clean-up hangs; what this process started ends with it


class NodeSignals(StopSignals):
    """The signals of a node with a poll loop: the first asks it to stop, the second does not wait for its answer.

    Args:
        on_stop: Called in the handler, with the name of the first signal.
        on_hangup: Called in the handler: the config is to be read again.
    """

    def __init__(self, on_stop: Callable[[str], None], on_hangup: Callable[[], None]) -> None:
        super().__init__()
        self._on_stop = on_stop
        self._on_hangup = on_hangup
        self._first_at: float | None = None

    def catch_all(self) -> None:
        """Install the handlers."""
        handlers: dict[int, Handler] = {signal.SIGINT: self._stop, signal.SIGTERM: self._stop}
        if hasattr(signal, "SIGHUP"):  # not on Windows
            handlers[signal.SIGHUP] = lambda number, frame: self._on_hangup()
        self.catch(handlers)

    def forget_the_first(self) -> None:
        """The next signal is the first."""
        self._first_at = None

    def _stop(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first_at is None:
            self._first_at = now
            self._on_stop(signal.Signals(number).name)
        elif now - self._first_at > _SAME_SECONDS:
            self.is_interrupted = True
            raise KeyboardInterrupt
