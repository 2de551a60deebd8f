"""Messages between a node and the processes that it starts: workers, and the template that forks them."""

from __future__ import annotations

from concurrence.wire.fields import Message, Name, Number, Seconds


class WorkerReady(Message, frozen=True, array_like=True, gc=False, tag=60):
    """A worker is up."""

    pid: Number


class WorkerGrown(Message, frozen=True, array_like=True, gc=False, tag=86):
    """A worker holds much more memory between two chunks than when it started.

    Attributes:
        resident: Its bytes of memory in use.
    """

    resident: Number


class StartChild(Message, frozen=True, array_like=True, gc=False, tag=61):
    """Fork a child; its end of the link and the memory of its cell come along as file descriptors.

    Attributes:
        number: The owner's number for it.
        kind: ``worker`` or ``host``.
        spec: What the child needs to know, encoded by and for its own module.
    """

    number: Number
    kind: Name
    spec: bytes


class StopChild(Message, frozen=True, array_like=True, gc=False, tag=62):
    """Send a signal to the child's process group."""

    number: Number
    signal: Number


class SignalChild(Message, frozen=True, array_like=True, gc=False, tag=85):
    """Send a signal to the child alone, and not to what it started."""

    number: Number
    signal: Number


class ChildStarted(Message, frozen=True, array_like=True, gc=False, tag=63):
    """The child runs."""

    number: Number
    pid: Number


class ChildExited(Message, frozen=True, array_like=True, gc=False, tag=64):
    """The child ended.

    Attributes:
        number: The owner's number for it.
        pid: Its process id.
        code: Exit code, or minus the signal's number.
        peak_memory: Largest resident size, in bytes.
        seconds: CPU seconds.
    """

    number: Number
    pid: Number
    code: int
    peak_memory: Number
    seconds: Seconds
