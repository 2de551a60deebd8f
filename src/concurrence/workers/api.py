"""What a slave node asks of its task manager."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from concurrence.component import Interface
from concurrence.transport.api import IReactor, IWorkSource
from concurrence.wire.codec import Frame, Parcel
from concurrence.wire.messages import Assign, FromSlave, FromWorker, ToSlave

Upstream = Callable[[Parcel[FromSlave]], None]
"""Takes a message for the master; it leaves at the end of the loop's cycle."""


class ITaskManager(Interface):
    """Runs tasks on a slave; lives on the slave's poll loop and never blocks it."""

    @abstractmethod
    def start(self, reactor: IReactor, slave: str, upstream: Upstream) -> None:
        """Start the workers.

        Args:
            reactor: The slave's poll loop.
            slave: The slave's name.
            upstream: Where messages for the master go.

        Raises:
            WorkerStartFailed: The template process could not be started.
        """

    @property
    @abstractmethod
    def workers(self) -> int:
        """The number of worker processes."""

    @property
    @abstractmethod
    def credit(self) -> int:
        """How many chunks it takes at once, running and waiting."""

    @property
    @abstractmethod
    def chunks(self) -> list[int]:
        """The numbers of the chunks that are here."""

    def left(self, chunk: int) -> Sequence[int] | None:
        """The tasks of a chunk that are here and were not answered yet; None, the default, if that is not kept.

        After the connection to the master broke it tells which results may be lost; otherwise all of a chunk runs
        again of which some were sent.
        """
        return None

    @abstractmethod
    def handle(self, parcel: Parcel[ToSlave]) -> None:
        """A message from the master: definitions, chunks, take-backs.

        After ``Drain`` no chunk is taken any more: what has not started of those that are here, and whatever comes
        nevertheless, is given back, until ``Drain`` with ``is_on`` False.
        """

    @abstractmethod
    def attach(self, source: IWorkSource | None) -> None:
        """The work queue to pull from, after each greeting of the master; None when there is none any more.

        Raises:
            ConfigError: The manager does not pull; the slave ends with this error.
        """

    @abstractmethod
    def abandon(self) -> None:
        """The master does not know this slave any more: drop and kill what runs for it."""

    @abstractmethod
    def stop(self) -> None:
        """End all workers and leave nothing behind. Returns when they are gone, within five seconds."""


class ICell(Protocol):
    """A worker's view of its shared-memory cell: what the slave can read while user code holds the thread."""

    def begin_chunk(self, chunk: int) -> None:
        """A chunk starts: no task runs yet, nothing is recorded."""
        ...

    def begin(self, index: int) -> bool:
        """The task at ``index`` of the chunk is about to start; False if it was taken back and must not."""
        ...

    def record(self, counter: int, status: int, payload: bytes) -> bool:
        """Note a finished task's result where the slave can drain it; False if there is no room."""
        ...

    def clear(self) -> None:
        """What was recorded has been sent; also no task runs."""
        ...


class IInterrupts(Protocol):
    """Tells the executor whether the slave ended a task early."""

    def status(self) -> int | None:
        """With which status the task that runs is to end; None if it was not interrupted."""
        ...

    def end_children(self) -> None:
        """Kill what the running task started and left behind."""
        ...


class IExecutor(Protocol):
    """Executes chunks in a worker process."""

    def define_bundle(self, digest: bytes, blob: Frame) -> None:
        """Keep an application's module sources."""
        ...

    def define_function(self, parcel: Parcel[ToSlave]) -> None:
        """Keep a function; it is loaded when a chunk first needs it."""
        ...

    def forget_function(self, number: int) -> None:
        """Drop a function."""
        ...

    def run(self, parcel: Parcel[Assign], send: Callable[[Parcel[FromWorker]], None]) -> None:
        """Execute every task of the chunk; results and output leave through ``send``."""
        ...
