"""How a call of a remote method can fail. Each has a name that goes over the wire."""

from __future__ import annotations

from typing import ClassVar

from concurrence.errors import ConcurrenceError
from concurrence.transport.jsonrpc import clipped
from concurrence.wire.rpc_messages import RpcFailure

_MAX_TRACEBACK = 32_768


class CallFailed(ConcurrenceError):
    """A call of a remote method failed; the class says how, and so whose fault it is."""

    kind: ClassVar[str] = "failed"


class UnknownMethod(CallFailed):
    """The caller's fault: the other end has no such method. The text tells the nearest name."""

    kind = "unknown method"


class BadParameters(CallFailed):
    """The caller's fault: a parameter is missing, unknown or of another type than the method declares."""

    kind = "bad parameters"


class RemoteException(CallFailed):
    """The method's fault: it raised.

    Args:
        message: What it raised, as text.
        hint: What to do, if the exception says so.
        type: The name of the exception's class at the other end.
        traceback: Where it was raised there, as text.
    """

    kind = "exception"

    def __init__(self, message: str, *, hint: str = "", type: str = "", traceback: str = "") -> None:  # noqa: A002
        super().__init__(message, hint=hint)
        self.type = type
        self.traceback = traceback


class VersionMismatch(CallFailed):
    """The operator's fault: the two ends run versions that do not understand each other. Install one on both."""

    kind = "version"


class CallLost(CallFailed):
    """Nobody's fault: the connection ended before the answer came. The method may have run, or not."""

    kind = "lost"


_KINDS = {cls.kind: cls for cls in (UnknownMethod, BadParameters, VersionMismatch, CallLost)}


def failure_of(error: CallFailed, number: int) -> RpcFailure:
    """What is sent of a failure."""
    about = ("", "")
    if isinstance(error, RemoteException):
        about = clipped(error.type, 256), clipped(error.traceback[-_MAX_TRACEBACK:], _MAX_TRACEBACK)
    return RpcFailure(number, error.kind, clipped(error.message), clipped(error.hint), *about)


def error_of(failure: RpcFailure) -> CallFailed:
    """The failure that was sent."""
    if failure.kind == RemoteException.kind:
        return RemoteException(
            failure.text, hint=failure.hint, type=failure.exception, traceback=failure.traceback
        )
    return _KINDS.get(failure.kind, CallFailed)(failure.text, hint=failure.hint)
