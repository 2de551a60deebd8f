"""Errors that travel: what a worker tells of a task that did not finish.

A :class:`Fault` is plain data. The exception itself travels beside it, pickled and opaque; only the task's
owner tries to rebuild it, and a failure to rebuild it costs nothing: the text and the traceback are there.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from concurrence.errors import ProtocolError, TaskCancelled, TaskError
from concurrence.wire.messages import Name, Text

KIND_EXCEPTION: Final = "exception"
"""The task's own code raised."""
KIND_CODE: Final = "code"
"""The task's code could not be loaded on the slave: a module or package is missing or differs."""
KIND_RESULT: Final = "result"
"""The result cannot be pickled."""
KIND_TIMEOUT: Final = "timeout"
"""The attempt took longer than the task's time-out."""
KIND_CANCELLED: Final = "cancelled"
"""The owner or an administrator cancelled it, or the owner went away."""
KIND_WORKER: Final = "worker"
"""Its workers died while it was running."""
KIND_IMPOSSIBLE: Final = "impossible"
"""No connected slave can ever run it, and ``[masternode] impossible_tasks`` says that such tasks fail."""
KIND_LOST: Final = "lost"
"""The master was restarted and does not know the task any more."""
KIND_SYSTEM: Final = "system"
"""The task system's host died."""


class Fault(Struct, frozen=True, array_like=True, gc=False):
    """Why a task did not finish.

    Attributes:
        kind: One of the ``KIND_`` constants.
        message: One line.
        hint: What to do about it.
        traceback: The remote traceback as text.
        exception: The pickled exception, or empty.
        output: The last lines that the task wrote.
    """

    kind: Name
    message: Text
    hint: Text = ""
    traceback: Text = ""
    exception: Annotated[bytes, Meta(max_length=1_048_576)] = b""
    output: Text = ""


_decoder = msgspec.msgpack.Decoder(Fault)
_encoder = msgspec.msgpack.Encoder()


def encode_fault(fault: Fault) -> bytes:
    """The fault as the payload of a result."""
    return _encoder.encode(fault)


def decode_fault(payload: bytes) -> Fault:
    """The fault in the payload of a result.

    Raises:
        ProtocolError: The payload is no fault.
    """
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"a failed task's payload is not a fault: {error}") from error


def task_error(
    fault: Fault, *, slave: str, attempt: int, cause: BaseException | None = None, task: str = ""
) -> TaskError:
    """The error that the owner's handlers see.

    Args:
        fault: What came over the wire.
        slave: The name of the slave that ran the attempt.
        attempt: Its number.
        cause: The exception, if it could be rebuilt.
        task: The task's id, as people see it.
    """
    error_class = TaskCancelled if fault.kind == KIND_CANCELLED else TaskError
    error = error_class(
        fault.message,
        kind=fault.kind,
        remote_traceback=fault.traceback,
        slave=slave,
        attempt=attempt,
        cause=cause,
        output=fault.output,
        hint=fault.hint,
        task=task,
    )
    error.__cause__ = cause
    return error


def shorten(text: str, limit: int = 65_536) -> str:
    """The text, or its beginning and end around a note of what was left out."""
    if len(text) <= limit:
        return text
    half = (limit - 64) // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
