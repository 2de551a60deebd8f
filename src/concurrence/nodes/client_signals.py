"""Signals of an application: what ends it, and what has its config read again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from concurrence.env.environment import Environment
from concurrence.nodes.stop_signals import Handler, StopSignals

_TERMINAL = "/dev/tty"


def catch_signals(environment: Environment, reload: Callable[[], None]) -> StopSignals:
    """SIGTERM ends the application as Ctrl-C does; so does SIGHUP, unless there is a config to read again.

    Also where there is one SIGHUP ends the application if its terminal is gone: it then meant that. Whoever
    had SIGHUP ignored, as ``nohup`` does, is obeyed; and so is who has handlers of its own for Ctrl-C.

    Args:
        environment: Whose config it is.
        reload: Has the config read soon; called in the signal handler.
    """
    had_terminal = _has_terminal()

    def on_terminate(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def on_hangup(number: int, frame: FrameType | None) -> None:
        if had_terminal and not _has_terminal():
            raise KeyboardInterrupt
        reload()

    handlers: dict[int, Handler] = {signal.SIGTERM: on_terminate}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        handlers[signal.SIGINT] = on_terminate
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handlers[signal.SIGHUP] = on_hangup if _has_config(environment) else on_terminate
    signals = StopSignals()
    signals.catch(handlers)
    return signals


def _has_config(environment: Environment) -> bool:
    """Whether there is a config that somebody may have edited."""
    return not environment.is_temporary and any(path.exists() for path in environment.watched_files())


def _has_terminal() -> bool:
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
