"""The methods that the API of every node has, and how methods are described."""

from __future__ import annotations

import inspect
import platform
from typing import Any

import msgspec

from concurrence.telemetry.api import IStats, StatSummary
from concurrence.transport.http_pages import EVERYBODY, PEOPLE
from concurrence.transport.remote import ApiMethod, ApiRequest, ApiService, jsonremote
from concurrence.version import __version__
from concurrence.wire.messages import PROTOCOL_VERSION

_OPENRPC = "1.3.2"
_SCHEMAS = "#/components/schemas/{name}"


def register_common(service: ApiService, stats: IStats) -> None:
    """Offer what every node offers.

    Args:
        service: The API.
        stats: The node's counters.
    """

    @jsonremote(service, roles=EVERYBODY)
    def ping(request: ApiRequest) -> str:
        """Say that the node is there."""
        return "pong"

    @jsonremote(service, roles=EVERYBODY)
    def version(request: ApiRequest) -> dict[str, Any]:
        """Tell the versions of Concurrent, Python, the protocol between nodes, and this API."""
        return {
            "concurrence": __version__,
            "python": platform.python_version(),
            "protocol": PROTOCOL_VERSION,
            "api": service.version,
        }

    @jsonremote(service, name="stats", roles=PEOPLE)
    def tell_stats(request: ApiRequest) -> dict[str, StatSummary]:
        """Tell the counters and averages of the node."""
        return dict(stats.snapshot())

    @jsonremote(service, name="api.list", roles=PEOPLE)
    def api_list(request: ApiRequest) -> list[dict[str, Any]]:
        """List the methods with their parameters, what they do, and who may call them."""
        return [_described(method) for method in service.methods]

    @jsonremote(service, name="rpc.discover", roles=PEOPLE)
    def discover(request: ApiRequest) -> dict[str, Any]:
        """Describe the methods as OpenRPC has it."""
        return openrpc(service)


def _described(method: ApiMethod) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = []
    for each in method.parameters:
        plain: dict[str, Any] = {"name": each.name, "type": each.type_text, "required": each.required}
        if not each.required:
            plain["default"] = _plain(each.default)
        parameters.append(plain)
    roles = sorted({"admin", *method.roles})
    return {"name": method.name, "parameters": parameters, "doc": method.doc, "roles": roles}


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
