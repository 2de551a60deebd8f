"""The embedded swarm: a private master that is its own slave, for the duration of one run."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from concurrence.env.environment import Environment
from concurrence.errors import ConcurrenceError, WorkerStartFailed
from concurrence.nodes.launching import ChildNode, LaunchSpec
from concurrence.transport.security import Credentials

_START_SECONDS = 30.0
_END_SECONDS = 6.0


class LocalSwarm:
    """Starts a private master with a slave of its own, on loopback, with keys made for the run.

    Args:
        environment: Whose plug-ins and options the swarm has.
        workers: Number of workers; None for what the options say.
    """

    def __init__(self, environment: Environment, workers: int | None = None) -> None:
        self._environment = environment
        self._workers = workers
        self._master: ChildNode | None = None

    def start(self) -> None:
        """Start the master's process; it comes up while the caller goes on.

        Raises:
            WorkerStartFailed: The system refuses another process.
        """
        overrides = [*self._environment.overrides, "masternode.is_standalone=true"]
        if self._workers is not None:
            overrides.append(f"taskmanager.workers={self._workers}")
        self._master = ChildNode("the private master")
        self._master.launch(
            LaunchSpec(
                "MasterNode",
                str(self._environment.path),
                tuple(str(file) for file in self._environment.config_files),
                tuple(overrides),
                private=True,
                removes=self._environment.is_temporary,
            )
        )

    def wait(self) -> Credentials:
        """How a client reaches it, once it is up.

        Raises:
            LaunchFailed: It said why it could not start.
            WorkerStartFailed: It ended, or did not answer in time.
        """
        if self._master is None:
            raise WorkerStartFailed("the private master was not started")
        access = self._master.wait_ready(_START_SECONDS).access
        if access is None:
            raise WorkerStartFailed("the private master did not say how to reach it")
        return access.credentials()

    def why_lost(self) -> ConcurrenceError | None:
        """The connection is lost: why the master ended; None if it runs."""
        return self._master.wait_end(_END_SECONDS) if self._master is not None else None

    def stop(self) -> None:
        """Stop master, slave, workers and hosts; they are gone when this returns. Repeatable."""
        if self._master is not None:
            self._master.stop()
            self._master = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
