"""What master and slave have in common: a poll loop, signals, and a parent that may have started them."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

from concurrence.component import Component, ComponentManager
from concurrence.env.environment import Environment
from concurrence.env.extension_options import ExtensionOption
from concurrence.env.options import StrOption
from concurrence.errors import ComponentError
from concurrence.nodes.api import IApp
from concurrence.nodes.launching import Launch
from concurrence.nodes.reactor import Reactor
from concurrence.transport.api import ITransport


class Node(Component, IApp, abstract=True):
    """A process of the system that runs a poll loop until it is told to stop.

    Attributes:
        launch: What the process that started this one asked for; None if a person did.
    """

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
        self._signalled = False

    def stop(self, reason: str) -> None:
        """End the poll loop; on the loop's own thread."""
        self.log.info("stopping: %s", reason)
        self.reactor.stop()

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

    def catch_signals(self) -> Callable[[], None]:
        """Stop on SIGINT and SIGTERM; returns what puts the previous handlers back."""
        if threading.current_thread() is not threading.main_thread():
            return lambda: None

        def on_signal(number: int, frame: FrameType | None) -> None:
            name = signal.Signals(number).name
            if self._signalled:
                raise KeyboardInterrupt
            self._signalled = True
            self.reactor.post(lambda: self.stop(name))

        previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}

        def restore() -> None:
            for number, handler in previous.items():
                signal.signal(number, handler)

        return restore
