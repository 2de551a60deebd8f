"""Every error of Concurrent: one root, and each class says whose fault it is and what to do.

An error carries two texts: what went wrong (with the place and the reason), and a *hint*, the next thing
to try. The command line prints both on one screen and exits with :attr:`ConcurrenceError.exit_code`.
"""

from __future__ import annotations

from collections.abc import Iterable


class ConcurrenceError(Exception):
    """The root of all errors that Concurrent raises.

    Args:
        message: What went wrong, where, and why.
        hint: What to do about it; empty if there is nothing to add.
    """

    exit_code: int = 1
    """Exit code of a command that ends with this error: 1 for a failure, 2 for wrong usage."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class UsageError(ConcurrenceError):
    """The caller's fault: a command, argument or call that cannot mean anything. Correct the call."""

    exit_code = 2


class ConfigError(UsageError):
    """The fault of whoever wrote the configuration: the text names file, line, key and the nearest right name.

    Args:
        message: What is wrong.
        source: Where the value comes from: a file's path, an environment variable, ``--set``.
        line: The 1-based line in that file, if it is a file.
        hint: What to write instead.
    """

    def __init__(self, message: str, *, source: str = "", line: int | None = None, hint: str = "") -> None:
        place = f"{source}:{line}: " if source and line is not None else f"{source}: " if source else ""
        super().__init__(place + message, hint=hint)
        self.source = source
        self.line = line


class ComponentError(ConcurrenceError):
    """The fault of a component's author: incomplete, in a cycle, or failing to start."""


class PluginError(ConcurrenceError):
    """The fault of a plug-in's author or installer: it does not import. The others go on without it."""


class EnvironmentInvalid(UsageError):
    """The user's fault: the folder is not an environment, or not one that this version can open."""


class NotFound(ConcurrenceError):
    """The caller's fault: what it names is not there, or not any more. The text tells what is."""


class AddressInUse(ConcurrenceError):
    """The machine's state: another process listens on the address. Stop it, or choose another port."""


class ConnectionFailed(ConcurrenceError):
    """The network's or the operator's fault: the master did not answer. Check that it runs and is reachable."""


class AuthenticationFailed(ConcurrenceError):
    """The operator's fault: the key is wrong, revoked, or lacks the role. Fetch a fresh connect file."""


class Refused(ConcurrenceError):
    """The master turned this node away at the greeting; the text says why: version, identity, role."""


class ProtocolError(ConcurrenceError):
    """The peer's fault: it sent bytes that are not a message, or a message that it may not send."""


class MessageTooLarge(ConcurrenceError):
    """The sender's fault: a task or result exceeds the limit for one message. Split it, or raise the limit."""


class PackingError(ConcurrenceError):
    """The task author's fault: a task or its result cannot be pickled. The text names the offending part."""


class WorkerStartFailed(ConcurrenceError):
    """The machine's fault: a worker or host process could not be started, or died while starting."""


class Backpressure(ConcurrenceError):
    """The application's fault: it pushes from a handler faster than the swarm takes. Push a generator."""


class WouldBlock(UsageError):
    """The application's fault: it waits inside a handler, a task or a task system. Use the notification."""


class TaskError(ConcurrenceError):
    """Why a task failed; handed to ``task_finished`` and ``finished``, raised by ``result()``.

    Args:
        message: One line: the exception's type and text, or what befell the worker.
        kind: One of the ``KIND_`` constants in :mod:`concurrence.wire.faults`: whose fault it is.
        remote_traceback: The traceback on the worker as text, the author's frames first; empty if there is none.
        slave: The name of the slave that ran the last attempt; empty if none did.
        attempt: The number of the last attempt, from 1; 0 if it never started.
        cause: The exception itself, if it could be rebuilt here; otherwise None.
        output: The last lines that the task printed or logged.
        hint: What to do about it.
        task: The task's id, as ``concurrence explain`` takes it; empty if it is not known.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "exception",
        remote_traceback: str = "",
        slave: str = "",
        attempt: int = 0,
        cause: BaseException | None = None,
        output: str = "",
        hint: str = "",
        task: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.task = task
        self.kind = kind
        self.remote_traceback = remote_traceback
        self.slave = slave
        self.attempt = attempt
        self.cause = cause
        self.output = output

    def __str__(self) -> str:
        about = [f"task {self.task}"] if self.task else []
        about += [f"slave {self.slave}", f"attempt {self.attempt}"] if self.slave else []
        parts = [f"{self.message} ({', '.join(about)})" if about else self.message]
        if self.hint:
            parts.append(f"  {self.hint}")
        if "\n  File " in self.remote_traceback:  # without a frame it would only say the message again
            parts.append(self.remote_traceback.rstrip())
        return "\n".join(parts)


class TaskCancelled(TaskError):
    """Nobody's fault: the task was cancelled by its owner or an administrator, or its owner went away."""


class TaskInterrupted(BaseException):
    """Raised within a running task that was cancelled or exceeds its time-out: its chance to clean up.

    Not an error of the task's own, and no :class:`ConcurrenceError`: as with KeyboardInterrupt, ``except
    Exception`` must not swallow it. ``finally`` blocks, context managers and ``clean_up()`` run. What the task
    does not finish within ``[taskmanager] kill_grace`` ends with its worker.

    Args:
        reason: ``cancelled`` or ``timeout``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """The known word that was probably meant, for a hint; empty if none is near.

    Args:
        word: What was written.
        known: What could have been meant.
        likeness: How near it must be, from 0 to 1.
    """
    import difflib  # noqa: PLC0415  needed where something went wrong, and nowhere else

    return next(iter(difflib.get_close_matches(word, sorted(known), n=1, cutoff=likeness)), "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the known word that was probably meant; empty if none is near."""
    near = nearest(word, known)
    return f"Did you mean {near}?" if near else ""
