"""The methods that every master's API has."""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable
from typing import Any

import msgspec

from concurrence.env.config import ConfigChanges
from concurrence.env.config_report import json_value, known_options, unknown_option
from concurrence.env.environment import Environment
from concurrence.errors import UsageError
from concurrence.nodes.job_methods import JobMethods
from concurrence.nodes.status import Status, status_by_names, without
from concurrence.nodes.steering_methods import SteeringMethods
from concurrence.scheduling.core import MasterCore
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.telemetry.api import IStats, StatSummary
from concurrence.transport.remote import ApiMethod, ApiRequest, ApiService, jsonremote
from concurrence.version import __version__
from concurrence.wire.messages import PROTOCOL_VERSION

_OPENRPC = "1.3.2"
_SCHEMAS = "#/components/schemas/{name}"


class BuiltInMethods:
    """What people and tools ask every master.

    Args:
        core: What it knows of the swarm.
        env: Its environment.
        stats: Its counters.
        now: Tells its time.
        adopt: Adopts live options that changed.
    """

    def __init__(
        self,
        core: MasterCore,
        env: Environment,
        stats: IStats,
        now: Callable[[], float],
        adopt: Callable[[ConfigChanges], None],
    ) -> None:
        self._core = core
        self._env = env
        self._stats = stats
        self._now = now
        self._adopt = adopt

    def register(self, service: ApiService) -> None:
        """Offer all of them."""
        self._register_swarm(service)
        self._register_config(service)
        SteeringMethods(self._core).register(service)
        JobMethods(self._core, self._now).register(service)

        @jsonremote(service)
        def ping(request: ApiRequest) -> str:
            """Say that the master is there."""
            return "pong"

        @jsonremote(service)
        def version(request: ApiRequest) -> dict[str, Any]:
            """Tell the versions of Concurrent, Python, the protocol between nodes, and this API."""
            return {
                "concurrence": __version__,
                "python": platform.python_version(),
                "protocol": PROTOCOL_VERSION,
                "api": service.version,
            }

        @jsonremote(service, name="api.list")
        def api_list(request: ApiRequest) -> list[dict[str, Any]]:
            """List the methods with their parameters and what they do."""
            return [_described(method) for method in service.methods]

        @jsonremote(service, name="rpc.discover")
        def discover(request: ApiRequest) -> dict[str, Any]:
            """Describe the methods as OpenRPC has it."""
            return openrpc(service)

    def _register_swarm(self, service: ApiService) -> None:
        @jsonremote(service)
        def status(request: ApiRequest) -> dict[str, Any]:
            """Tell what ``concurrence status --json`` tells."""
            return status_by_names(self._status(request))

        @jsonremote(service)
        def nodes(request: ApiRequest) -> list[dict[str, Any]]:
            """List the connected nodes; for slaves with a description of their machines."""
            found = status_by_names(self._status(request))["nodes"]
            return [{**node, "machine": self._machine(node["node"])} for node in found]

        @jsonremote(service)
        def systems(request: ApiRequest) -> list[dict[str, Any]]:
            """List the task systems, and the plain tasks of each client, with how far they are."""
            return status_by_names(self._status(request))["systems"]

        @jsonremote(service)
        def stats(request: ApiRequest) -> dict[str, StatSummary]:
            """Tell the counters and averages of the master."""
            return dict(self._stats.snapshot())

    def _register_config(self, service: ApiService) -> None:
        @jsonremote(service, name="config.get")
        def config_get(request: ApiRequest, key: str) -> dict[str, Any]:
            """Tell the value of an option, as in ``masternode.lease``, and where it comes from."""
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
            """Read the config again; tells the options that are adopted, and those that wait for a restart."""
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


def _described(method: ApiMethod) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = []
    for each in method.parameters:
        plain: dict[str, Any] = {"name": each.name, "type": each.type_text, "required": each.required}
        if not each.required:
            plain["default"] = _plain(each.default)
        parameters.append(plain)
    return {"name": method.name, "parameters": parameters, "doc": method.doc}


def _plain(value: Any) -> Any:
    """A default as JSON has it; what JSON lacks as text."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def openrpc(service: ApiService) -> dict[str, Any]:
    """The description of an API as OpenRPC has it: methods, parameters, and the schemas of their types."""
    kinds = [parameter.type for method in service.methods for parameter in method.parameters]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_SCHEMAS)
    remaining = iter(schemas)
    methods: list[dict[str, Any]] = [
        {
            "name": method.name,
            "summary": method.doc.partition("\n")[0],
            "description": method.doc,
            "params": [
                {
                    "name": each.name,
                    "required": each.required,
                    "schema": _with_default(next(remaining), each.default),
                }
                for each in method.parameters
            ],
            "result": {"name": "result", "schema": {}},
        }
        for method in service.methods
    ]
    return {
        "openrpc": _OPENRPC,
        "info": {"title": "Concurrent", "version": str(service.version)},
        "methods": methods,
        "components": {"schemas": components},
    }


def _with_default(schema: dict[str, Any], default: Any) -> dict[str, Any]:
    return schema if default is inspect.Parameter.empty else {**schema, "default": _plain(default)}
