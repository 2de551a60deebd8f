"""What needs somebody at a terminal, in a process that has none: ``breakpoint()``, the debugger, ``input()``."""

from __future__ import annotations

import inspect
import io
import os
import sys
from typing import Any, NoReturn

from concurrence.errors import UsageError

_OWN_DEBUGGERS = ("", "pdb.set_trace")
"""Values of PYTHONBREAKPOINT that mean the debugger that needs a terminal."""


class NoTerminal(UsageError):
    """The author's fault: code that runs on a worker or host asks for somebody at a terminal. Run it inline."""

    def __init__(self, what: str, place: str) -> None:
        super().__init__(
            f"{what} on {place}, where there is no terminal",
            hint="Run it where there is one, in a single process: concurrence run APP --inline, or "
            "local_swarm(inline=True) in a script.",
        )
        self.what = what
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.place)


class NoAnswer(NoTerminal, EOFError):
    """The same for ``input()``, whose callers may be prepared for the end of the input."""


def refuse_terminal(place: str) -> None:
    """From now on whatever needs a terminal raises :class:`NoTerminal` in this process, instead of hanging.

    A debugger that needs none, named in ``PYTHONBREAKPOINT``, is left to itself.

    Args:
        place: What the error calls this process, as in ``slave vm``.
    """

    def refuse_breakpoint(*args: Any, **kwargs: Any) -> Any:
        if os.environ.get("PYTHONBREAKPOINT", "") not in _OWN_DEBUGGERS:
            return sys.__breakpointhook__(*args, **kwargs)  # noqa: T100  what the user chose
        raise NoTerminal("breakpoint() was called", place)

    sys.breakpointhook = refuse_breakpoint
    sys.stdin = NoInput(place)


class NoInput(io.TextIOBase):
    """Standard input of a process that has none: empty for programs, an error for what asks a person.

    Args:
        place: What the error calls this process.
    """

    encoding = "utf-8"
    errors = "strict"
    name = "<stdin>"
    mode = "r"

    def __init__(self, place: str) -> None:
        self._place = place

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def fileno(self) -> int:
        """The descriptor, which is that of the null device."""
        return 0

    def read(self, size: int | None = -1, /) -> str:
        """There is nothing."""
        return ""

    def readline(self, size: int = -1, /) -> NoReturn:
        """What ``input()`` and the debugger call.

        Raises:
            NoTerminal: Always.
        """
        # The debugger takes the end of its input for the end of the program.
        here = inspect.currentframe()
        caller = here.f_back if here is not None else None
        if caller is not None and caller.f_globals.get("__name__") == "cmd":
            raise NoTerminal("a debugger was started", self._place)
        raise NoAnswer("a line of input was asked for", self._place)

    def __next__(self) -> NoReturn:
        raise StopIteration
