"""Signals of an application: what ends it, and what has its config read again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from concurrence.env.environment import Environment

_TERMINAL = "/dev/tty"


def catch_signals(environment: Environment, reload: Callable[[], None]) -> Callable[[], None]:
    """SIGTERM ends the application as Ctrl-C does; so does SIGHUP, unless there is a config to read again.

    Also where there is one SIGHUP ends the application if its terminal is gone: it then meant that. Whoever
    had SIGHUP ignored, as ``nohup`` does, is obeyed.

    Args:
        environment: Whose config it is.
        reload: Has the config read soon; called in the signal handler.

    Returns:
        What puts the previous handlers back.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    had_terminal = _has_terminal()

    def on_terminate(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def on_hangup(number: int, frame: FrameType | None) -> None:
        if had_terminal and not _has_terminal():
            raise KeyboardInterrupt
        reload()

    handlers: dict[int, Callable[[int, FrameType | None], None]] = {signal.SIGTERM: on_terminate}
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handlers[signal.SIGHUP] = on_hangup if _has_config(environment) else on_terminate
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    return restore


def _has_config(environment: Environment) -> bool:
    """Whether there is a config that somebody may have edited."""
    return not environment.is_temporary and any(path.exists() for path in environment.watched_files())


def _has_terminal() -> bool:
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
