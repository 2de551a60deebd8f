"""The services that plug-ins add to a node: who takes part, what they get of the node, how they begin and end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from concurrence.component import identity
from concurrence.env.environment import Environment
from concurrence.env.lifecycle import Lifecycle
from concurrence.errors import ComponentError, ConcurrenceError
from concurrence.nodes.api import INodeService, ITimer, NodeType
from concurrence.nodes.stop_signals import StopSignals
from concurrence.telemetry.api import IStats

STOP_SECONDS = 2.0
"""How long the services of a node have to stop, all together: less than a node's parent waits for the node."""


class ILoop(Protocol):
    """What makes calls on a node's own thread: the poll loop, or an application's main loop."""

    def post(self, callback: Callable[[], None]) -> None:
        """From any thread."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> ITimer:
        """Once."""
        ...

    def call_every(self, period: float, callback: Callable[[], None]) -> None:
        """For ever."""
        ...


class NodeHandle:
    """What one service gets of its node.

    Args:
        service: The service's name, for the log.
        kind: What the node is.
        name: Its name.
        env: Its environment.
        stats: Its counters.
        loop: Its loop.
    """

    def __init__(
        self, service: str, kind: NodeType, name: str, env: Environment, stats: IStats, loop: ILoop
    ) -> None:
        self.kind = kind
        self.name = name
        self.env = env
        self.log = env.log.getChild(service)
        self.stats = stats
        self._service = service
        self._loop = loop
        self._is_open = True

    def post(self, callback: Callable[[], None]) -> None:
        """From any thread: call on the node's own thread soon."""
        self._loop.post(lambda: self._call(callback))

    def call_later(self, seconds: float, callback: Callable[[], None]) -> ITimer:
        """Call once."""
        return self._loop.call_later(seconds, lambda: self._call(callback))

    def call_every(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call again and again."""
        self._loop.call_every(seconds, lambda: self._call(callback))

    def close(self) -> None:
        """Make no call of the service any more."""
        self._is_open = False

    def _call(self, callback: Callable[[], None]) -> None:
        if not self._is_open:
            return
        try:
            callback()
        except Exception:  # a plug-in's mistake must not take the node down
            self.log.exception("a call of the service %s failed in the %s", self._service, self.kind)


class NodeServices:
    """The services of one node, from their begin to their end.

    Args:
        services: All that the plug-ins offer; each says itself whether it takes part.
        make_handle: Makes the handle of a service, told its name.
        log: Told of what fails.
    """

    def __init__(
        self,
        services: Sequence[INodeService],
        make_handle: Callable[[str], NodeHandle],
        log: logging.Logger,
    ) -> None:
        self._handles: list[NodeHandle] = []
        chosen = [service for service in services if self._attach(service, make_handle)]
        self._lifecycle = Lifecycle(chosen, log, time.monotonic)
        self._log = log
        self._names = [type(service).__name__ for service in chosen]

    def start(self) -> None:
        """Set up and start those that take part.

        Raises:
            ComponentError: One refuses; nothing is left of them.
        """
        self._lifecycle.start()
        if self._names:
            self._log.info("services: %s", ", ".join(self._names))

    def stop(self) -> None:
        """Stop them in reverse order; what does not stop in time is killed."""
        try:
            self._lifecycle.stop(STOP_SECONDS)
        finally:
            self._close()

    def kill(self) -> None:
        """End them now."""
        self._lifecycle.kill()
        self._close()

    def end(self, signals: StopSignals) -> None:
        """Stop them, or kill them if somebody has lost patience; signals interrupt them."""
        signals.is_breakable = True
        try:
            (self.kill if signals.is_interrupted else self.stop)()
        except KeyboardInterrupt:
            self.kill()
            raise
        finally:
            signals.is_breakable = False

    def _attach(self, service: INodeService, make_handle: Callable[[str], NodeHandle]) -> bool:
        handle = make_handle(type(service).__name__)
        try:
            takes_part = service.attach(handle)
        except Exception as error:
            reason = error.message if isinstance(error, ConcurrenceError) else f"{type(error).__name__}: {error}"
            raise ComponentError(
                f"component {identity(type(service))} could not be attached to the {handle.kind}: {reason}",
                hint="Repair it, or disable it in [components].",
            ) from error
        if takes_part:
            self._handles.append(handle)
        return takes_part

    def _close(self) -> None:
        for handle in self._handles:
            handle.close()
