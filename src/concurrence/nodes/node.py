"""What master and slave have in common: a poll loop, signals, services, a config that may change, a parent."""

from __future__ import annotations

import socket
from typing import ClassVar

from concurrence.component import Component, ComponentManager, ExtensionPoint
from concurrence.env.config import ConfigChanges
from concurrence.env.environment import Environment
from concurrence.env.extension_options import ExtensionOption
from concurrence.env.options import StrOption
from concurrence.env.watching import LOOK_SECONDS, ConfigWatch
from concurrence.errors import ComponentError
from concurrence.nodes.api import IApp, INodeService, NodeType
from concurrence.nodes.identity import host_name
from concurrence.nodes.launching import Launch
from concurrence.nodes.reactor import Reactor
from concurrence.nodes.services import NodeHandle, NodeServices
from concurrence.nodes.stop_signals import NodeSignals
from concurrence.telemetry.stats import Stats
from concurrence.transport.api import ITransport

_BEAT_SECONDS = 1.0
_BEATS_PER_MARK = 5


class Node(Component, IApp, abstract=True):
    """A process of the system that runs a poll loop until it is told to stop.

    Attributes:
        launch: What the process that started this one asked for; None if a person did.
        signals: What ends it, or has its config read again.
        stats: Its counters and averages.
    """

    node_type: ClassVar[NodeType]
    services = ExtensionPoint(INodeService)
    transport = ExtensionOption(
        "node", "transport", ITransport, "ZMQTransport", "What carries messages between nodes."
    )
    node_name = StrOption("node", "name", "", "The name that people see; the machine's name by default.")

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        if not isinstance(manager, Environment):
            raise ComponentError(f"{type(self).__name__} needs an Environment as its manager")
        self.env = manager
        self.log = manager.log.getChild(type(self).__name__)
        self.launch: Launch | None = None
        self.reactor = Reactor()
        self.stats = Stats()
        self._beat_due = self._beats = 0.0
        self.signals = NodeSignals(
            lambda name: self.reactor.post(lambda: self.signalled(name)),
            lambda: self.reactor.post(self._reload),
        )
        self._config_watch: ConfigWatch | None = None
        self._running_services: NodeServices | None = None

    @property
    def name(self) -> str:
        """The name that people see."""
        return self.node_name or (self.launch.spec.name if self.launch else "") or host_name()

    def stop(self, reason: str) -> None:
        """End the poll loop; on the loop's own thread. Signals are no news from now on."""
        self.signals.is_ending = True
        self.log.info("stopping: %s", reason)
        self.reactor.stop()

    def signalled(self, name: str) -> None:
        """A signal asks the node to stop; on the loop's own thread."""
        self.stop(name)

    def config_changed(self, changes: ConfigChanges) -> None:
        """Live options changed: adopt what is not read afresh each time; on the loop's own thread."""

    def watch_config(self) -> None:
        """Look at the config files from now on."""
        is_child = self.launch is not None
        self._config_watch = watch = ConfigWatch(self.env, self.config_changed, is_child=is_child)
        self.reactor.call_every(LOOK_SECONDS, watch.look)

    def start_services(self) -> None:
        """Start the services of plug-ins; the node is up, but its loop does not run yet.

        Raises:
            ComponentError: One of them refuses.
        """
        self._running_services = services = NodeServices(
            self.services,
            lambda service: NodeHandle(service, self.node_type, self.name, self.env, self.stats, self.reactor),
            self.log,
        )
        services.start()

    def end_services(self) -> None:
        """Stop the services, or kill them if somebody has lost patience: a signal interrupts them."""
        services, self._running_services = self._running_services, None
        if services is not None:
            services.end(self.signals)

    def measure_loop(self) -> None:
        """From now on measure how late the loop is, and give what is counted its time."""

        def beat() -> None:
            now = self.reactor.now()
            if self._beat_due:
                self.stats.add_avg("loop.lag", max(0.0, now - self._beat_due))
            self._beat_due = now + _BEAT_SECONDS
            self._beats += 1
            if self._beats % _BEATS_PER_MARK == 0:
                self.stats.mark()

        self.reactor.call_every(_BEAT_SECONDS, beat)

    def watch_parent(self) -> None:
        """Stop when the process that started this one is gone: its end of the control socket closes."""
        if self.launch is None:
            return
        control = self.launch.control

        def on_readable() -> None:
            try:
                gone = not control.recv(1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionError:
                gone = True
            if gone:
                self.reactor.unregister(control)
                self.stop("the process that started this node has closed its end")

        self.reactor.register(control, on_readable)

    def _reload(self) -> None:
        self.log.info("reading the config again: SIGHUP")
        if self._config_watch is not None:
            self._config_watch.reload()
