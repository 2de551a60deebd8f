"""The methods that every master's API has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from concurrence.env.config import ConfigChanges
from concurrence.env.config_report import json_value, known_options, unknown_option
from concurrence.env.environment import Environment
from concurrence.errors import UsageError
from concurrence.nodes.common_methods import register_common
from concurrence.nodes.job_methods import JobMethods
from concurrence.nodes.status import Status, status_by_names, without
from concurrence.nodes.steering_methods import SteeringMethods
from concurrence.scheduling.core import MasterCore
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.telemetry.api import IStats
from concurrence.transport.http_pages import PEOPLE
from concurrence.transport.remote import ApiRequest, ApiService, jsonremote
from concurrence.transport.tokens import Sessions


class BuiltInMethods:
    """What people and tools ask every master.

    Args:
        core: What it knows of the swarm.
        env: Its environment.
        stats: Its counters.
        now: Tells its time.
        adopt: Adopts live options that changed.
        sessions: The browsers that may look at the status page.
        api_address: Tells where the HTTP port is; empty if there is none.
    """

    def __init__(
        self,
        core: MasterCore,
        env: Environment,
        stats: IStats,
        now: Callable[[], float],
        adopt: Callable[[ConfigChanges], None],
        sessions: Sessions,
        api_address: Callable[[], str],
    ) -> None:
        self._core = core
        self._env = env
        self._stats = stats
        self._now = now
        self._adopt = adopt
        self._sessions = sessions
        self._api_address = api_address

    def register(self, service: ApiService) -> None:
        """Offer all of them."""
        register_common(service, self._stats)
        self._register_swarm(service)
        self._register_config(service)
        SteeringMethods(self._core).register(service)
        JobMethods(self._core, self._now).register(service)

        @jsonremote(service, name="page.open")
        def page_open(request: ApiRequest) -> dict[str, Any]:
            """Make an address, good once and for a minute, that lets a browser see the status page.

            Returns:
                ``url``, and for how many ``seconds`` it is good.

            Raises:
                UsageError: The master has no HTTP port.
            """
            if not self._api_address():
                raise UsageError("this master has no HTTP port", hint="Give it one: --set api.enabled=yes")
            code = self._sessions.new_code(request.role, request.key)
            return {"url": f"{self._api_address()}/login?code={code}", "seconds": self._sessions.CODE_SECONDS}

    def _register_swarm(self, service: ApiService) -> None:
        @jsonremote(service, roles=PEOPLE)
        def status(request: ApiRequest) -> dict[str, Any]:
            """Tell what ``concurrence status --json`` tells.

            Returns:
                ``package``, ``scheduler``, ``uptime`` in seconds, ``nodes`` and ``systems``, and some counts.
            """
            return status_by_names(self._status(request))

        @jsonremote(service, roles=PEOPLE)
        def nodes(request: ApiRequest) -> list[dict[str, Any]]:
            """List the connected nodes; for slaves with a description of their machines.

            Returns:
                The ``nodes`` of ``status``, each with ``machine``: null, or what the slave registered with.
            """
            found = status_by_names(self._status(request))["nodes"]
            return [{**node, "machine": self._machine(node["node"])} for node in found]

        @jsonremote(service, roles=PEOPLE)
        def systems(request: ApiRequest) -> list[dict[str, Any]]:
            """List the task systems, and the plain tasks of each client, with how far they are.

            Returns:
                The ``systems`` of ``status``.
            """
            return status_by_names(self._status(request))["systems"]

    def _register_config(self, service: ApiService) -> None:
        @jsonremote(service, name="config.get")
        def config_get(request: ApiRequest, key: str) -> dict[str, Any]:
            """Tell the value of an option, and where it comes from.

            Args:
                key: Section and name, as in ``masternode.lease``.

            Returns:
                ``value``, and ``origin``: a file with the line, a variable, an argument, or ``default``.

            Raises:
                UsageError: There is no such option.
            """
            section, _, name = key.rpartition(".")
            options = known_options(self._env)
            option = next((each for each in options if each.key == key), None)
            if option is None:
                raise unknown_option(options, section, name)
            value = self._env.config.get(section, name)
            if value is None:
                return {"value": json_value(option.default), "origin": "default"}
            return {"value": value.raw, "origin": value.origin}

        @jsonremote(service, name="config.reload")
        def config_reload(request: ApiRequest) -> dict[str, list[str]]:
            """Read the config again, as SIGHUP does.

            Returns:
                The options that were ``applied``, and those that are ``pending`` until a restart.

            Raises:
                ConfigError: Something is wrong with the config; nothing of it is adopted.
                UsageError: The master runs in a temporary environment.
            """
            if self._env.is_temporary:
                raise UsageError("this master runs in a temporary environment, which has no config to read again")
            changes = self._env.reload()
            if changes.applied:
                self._adopt(changes)
            return {
                "applied": [".".join(key) for key in changes.applied],
                "pending": [".".join(key) for key in changes.pending],
            }

    def _status(self, request: ApiRequest) -> Status:
        return without(self._core.status(0, self._now()), request.node)

    def _machine(self, node: str) -> dict[str, Any] | None:
        found = self._core.swarm.registry.get(node)
        return msgspec.structs.asdict(found.description) if isinstance(found, SlaveNodeRecord) else None
