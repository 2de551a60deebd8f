"""The processes that host task systems on the master's machine; each lives as long as its system."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from concurrence.component import Component, identity
from concurrence.env.checks import declared_options
from concurrence.env.config import ConfigValue
from concurrence.env.environment import Environment
from concurrence.env.extension_options import ExtensionOption, find_component
from concurrence.errors import WorkerStartFailed
from concurrence.nodes.launching import Access
from concurrence.nodes.reactor import Reactor
from concurrence.scheduling.outbox import HostOrder
from concurrence.transport.api import ITransport
from concurrence.wire.messages import ChildExited
from concurrence.workers.processes import Template, describe_exit

ENTRY = "concurrence.nodes.host:main"
_GRACE_SECONDS = 2.0
_log = logging.getLogger(__name__)


class Setting(Struct, frozen=True):
    """A value of the config as it travels; see :class:`~concurrence.env.config.ConfigValue`."""

    section: str
    name: str
    raw: Any
    source: str
    line: int | None
    is_text: bool
    folder: str | None

    @classmethod
    def of(cls, section: str, name: str, value: ConfigValue) -> Setting:
        """From a value."""
        folder = None if value.folder is None else str(value.folder)
        return cls(section, name, value.raw, value.source, value.line, value.is_text, folder)

    def value(self) -> ConfigValue:
        """To a value."""
        folder = None if self.folder is None else Path(self.folder)
        return ConfigValue(self.raw, self.source, self.line, self.is_text, folder)


class HostSpec(Struct, frozen=True):
    """What a host needs to know.

    Attributes:
        access: How it reaches the master.
        system: The system that it runs.
        client: Node id of the client that pushed it.
        name: What people see.
        ticket: What it shows the master.
        environment: The folder of the master's environment.
        settings: What the master's config says of the transport: its files may be wrong by now.
        transport: The transport's component, as ``module:Class``.
        parts: Components that its options choose, in the same form: a transport may be made of others.
        entry: What the template calls.
    """

    access: Access
    system: int
    client: str
    name: str
    ticket: str
    environment: str
    settings: tuple[Setting, ...]
    transport: str
    parts: tuple[str, ...] = ()
    entry: str = ENTRY


def with_chosen(environment: Environment, cls: type[Component]) -> list[type[Component]]:
    """A component's class, and those of the components that its options choose, and theirs.

    Args:
        environment: Knows the config and the components.
        cls: The class.

    Raises:
        ConfigError: An option names what is none.
    """
    found = [cls]
    for each in found:
        for option in declared_options([each]):
            if isinstance(option, ExtensionOption):
                value = environment.config.get(option.section, option.name)
                name = option.component_name(value)
                chosen = find_component(option, environment, option.interface, name, value)
                found += [chosen] if chosen not in found else []
    return found


class Hosting:
    """The hosts of one master.

    Args:
        environment: The master's.
        transport: The transport's component, as ``module:Class``.
        reactor: The master's poll loop.
        on_exited: Told a system and how its host ended.
    """

    def __init__(
        self,
        environment: Environment,
        transport: str,
        reactor: Reactor,
        on_exited: Callable[[int, str], None],
    ) -> None:
        self._environment = environment
        self._transport = transport
        self._components = with_chosen(environment, environment.find(ITransport, transport))
        self._reactor = reactor
        self._on_exited = on_exited
        self._systems: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._next = 1
        self._template = Template(
            reactor,
            # ZeroMQ too: it starts no thread before the first context, so that forking is safe.
            preload=[
                ENTRY.partition(":")[0],
                *(name for cls in self._components for name in self._importable(cls.__module__)),
            ],
            on_started=lambda number, pid: None,
            on_exited=self._exited,
            on_died=self._died,
        )

    def start(self) -> None:
        """Start the template process.

        Raises:
            WorkerStartFailed: The system refuses another process.
        """
        self._template.start()

    def start_host(self, order: HostOrder, access: Access) -> None:
        """Start the host of a system."""
        number = self._next
        self._next += 1
        self._systems[number] = order.system
        self._numbers[order.system] = number
        spec = HostSpec(
            access,
            order.system,
            order.client,
            order.name,
            order.ticket,
            str(self._environment.path),
            self._settings(),
            self._transport,
            tuple(identity(cls) for cls in self._components[1:]),
        )
        self._template.start_child(number, "host", msgspec.msgpack.encode(spec), [])

    def _importable(self, module: str) -> list[str]:
        """The module, unless it lies in ``plugins/``, where only a host looks."""
        file = getattr(sys.modules.get(module), "__file__", None)
        is_plugin = isinstance(file, str) and Path(file).is_relative_to(self._environment.path / "plugins")
        return [] if is_plugin else [module]

    def _settings(self) -> tuple[Setting, ...]:
        options = declared_options(self._components)
        keys = sorted({(option.section, option.name) for option in options})
        values = [(key, self._environment.config.get(*key)) for key in keys]
        return tuple(Setting.of(*key, value) for key, value in values if value is not None)

    def stop_host(self, system: int) -> None:
        """The system has ended: its host was told, and is killed if it does not go."""
        number = self._numbers.get(system)
        if number is not None:
            self._reactor.call_later(_GRACE_SECONDS, lambda: self._template.signal_child(number, signal.SIGKILL))

    def stop(self) -> None:
        """End all hosts and the template."""
        self._template.stop(_GRACE_SECONDS)

    def _exited(self, message: ChildExited) -> None:
        system = self._systems.pop(message.number, None)
        if system is not None:
            if self._numbers.get(system) == message.number:
                del self._numbers[system]
            self._on_exited(system, describe_exit(message.code))

    def _died(self, reason: str) -> None:
        for system in list(self._numbers):
            self._on_exited(system, f"the template process {reason}")
        self._systems.clear()
        self._numbers.clear()
        self._restart()

    def _restart(self) -> None:
        try:
            self._template.start()
        except WorkerStartFailed as error:
            _log.error("%s; it will be tried again", error)
            self._reactor.call_later(_GRACE_SECONDS, self._restart)
