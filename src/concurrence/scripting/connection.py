"""How a script's swarm is reached: a private one, one at a master, or one in this thread; and its end."""

from __future__ import annotations

import logging
from typing import Any

from concurrence.env.environment import Environment
from concurrence.ids import new_system_id
from concurrence.nodes.client_options import ClientOptions
from concurrence.nodes.display import IDisplay
from concurrence.nodes.identity import Identity
from concurrence.nodes.inline import open_inline
from concurrence.nodes.local import LocalSwarm
from concurrence.nodes.master_link import LinkEvent
from concurrence.nodes.owner_channel import IOwnerChannel, OwnerChannel
from concurrence.scripting.display import watch_cells
from concurrence.tasks.api import SlaveSummary
from concurrence.tasks.bundles import BundleCollector
from concurrence.tasks.ownership import OwnedTasks
from concurrence.tasks.packing import TaskPacker
from concurrence.transport.api import ITransport
from concurrence.transport.security import Credentials
from concurrence.version import __version__
from concurrence.workers.api import ITaskManager


class ScriptClient(ClientOptions):
    """The options of a script's connection: those of every application."""


class SwarmConnection:
    """Everything that a script's swarm needs to be there, and what has to be ended with it.

    Args:
        environment: Its options; closed at the end.
        credentials: How to reach a master; None for a private swarm.
        workers: Workers of a private swarm; None for what the options say.
        inline: Everything in one thread.
        display: What shows the output of tasks, and how far they are.

    Attributes:
        is_private: Whether the swarm is started and ended here.
        tasks: The script's tasks.
        packer: What packs them.
        log: Where losses and failures go.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        credentials: Credentials | None,
        workers: int | None,
        inline: bool,
        display: IDisplay,
    ) -> None:
        client = environment.component(environment.register(ScriptClient))
        self.inline = inline
        self.is_private = credentials is None
        self.display = display
        self.log = logging.getLogger(f"{environment.log.name}.swarm")
        self.connect_timeout = client.connect_timeout
        self._client = client
        self.packer = TaskPacker(BundleCollector())
        self._identity = Identity("client", "script", __version__)
        self._system_id = new_system_id()
        self.tasks = OwnedTasks(self._system_id, self._identity.node, self.packer)
        self.tasks.max_depth = client.max_depth
        self._environment = environment
        self._transport: ITransport | None = None if inline else client.transport
        self._credentials = credentials
        self._workers = workers
        self._private: LocalSwarm | None = None
        self._is_lost = False
        self._cells = watch_cells(display, self.packer.look_again)

    def open(self) -> IOwnerChannel:
        """Start what has to be started, and begin to connect.

        Raises:
            ConcurrenceError: The private swarm does not start.
        """
        transport = self._transport
        if transport is None:
            return open_inline(self._environment, self._identity, self._system_id)
        credentials = self._credentials
        if credentials is None:
            self._private = LocalSwarm(self._environment, self._workers)
            self._private.start()
            credentials = self._private.wait()
        known = credentials
        channel = OwnerChannel(
            lambda: transport.client(known),
            lambda resumes: self._identity.hello(resumes, system=self._system_id),
            known.address,
            patience=self.connect_timeout,
        )
        channel.start()
        return channel

    @property
    def place(self) -> str:
        """Where the master is, for people."""
        if self.inline:
            return "in this thread"
        return "private, on this machine" if self._credentials is None else self._credentials.address

    @property
    def push_timeout(self) -> float:
        """Seconds that a push waits for room; the config may change it."""
        return self._client.push_timeout

    def slaves(self) -> list[SlaveSummary]:
        """The slaves as far as they are known without asking: of one's own swarm."""
        if self.inline:
            return [SlaveSummary("inline", 1)]
        if self._credentials is not None:
            return []
        return [SlaveSummary("local", self._workers or self._default_workers())]

    def link(self, event: LinkEvent) -> None:
        """Log losses.

        Raises:
            ConcurrenceError: The private master ended: it does not come back.
        """
        if event is LinkEvent.LOST:
            reason = self._private.why_lost() if self._private is not None else None
            if reason is not None:
                raise reason
            self._is_lost = True
            self.log.warning("lost the master; trying again")
        elif self._is_lost and event in (LinkEvent.READY, LinkEvent.FORGOTTEN):
            self._is_lost = False
            self.log.warning("the master is there again")

    def close(self) -> None:
        """End what was started. Repeatable."""
        if self._cells is not None:
            self._cells.close()
        if self._private is not None:
            self._private.stop()
        transport: Any = self._transport
        self._transport = None
        if transport is not None and hasattr(transport, "close"):
            transport.close()
        self._environment.close()

    def _default_workers(self) -> int:
        chosen = self._environment.config.get("slavenode", "task_manager")
        name = str(chosen.raw) if chosen is not None else "ZMQTaskManager"
        return self._environment.implementation(ITaskManager, name).workers
