"""The methods that the API of every node has, and how methods are described."""

from __future__ import annotations

import platform
from typing import Any

from concurrence.nodes.openrpc import json_of, openrpc
from concurrence.telemetry.api import IStats, StatSummary
from concurrence.transport.http_pages import EVERYBODY, PEOPLE
from concurrence.transport.remote import ApiMethod, ApiRequest, ApiService, jsonremote
from concurrence.version import __version__
from concurrence.wire.messages import PROTOCOL_VERSION


def register_common(service: ApiService, stats: IStats) -> None:
    """Offer what every node offers.

    Args:
        service: The API.
        stats: The node's counters.
    """

    @jsonremote(service, roles=EVERYBODY)
    def ping(request: ApiRequest) -> str:
        """Say that the node is there.

        Returns:
            The text ``pong``.
        """
        return "pong"

    @jsonremote(service, roles=EVERYBODY)
    def version(request: ApiRequest) -> dict[str, Any]:
        """Tell the versions of Concurrent, Python, the protocol between nodes, and this API.

        Returns:
            ``concurrence`` and ``python`` as text, ``protocol`` and ``api`` as numbers.
        """
        return {
            "concurrence": __version__,
            "python": platform.python_version(),
            "protocol": PROTOCOL_VERSION,
            "api": service.version,
        }

    @jsonremote(service, name="stats", roles=PEOPLE)
    def tell_stats(request: ApiRequest) -> dict[str, StatSummary]:
        """Tell the counters and averages of the node.

        Returns:
            By name; what is not known of a name, such as the mean of what is only counted, is 0.
        """
        return dict(stats.snapshot())

    @jsonremote(service, name="api.list", roles=PEOPLE)
    def api_list(request: ApiRequest) -> list[dict[str, Any]]:
        """List the methods with their parameters, what they do, and who may call them.

        Returns:
            Of each method ``name``, ``parameters``, ``doc`` and ``roles``.
        """
        return [_described(method) for method in service.methods]

    @jsonremote(service, name="rpc.discover", roles=PEOPLE)
    def discover(request: ApiRequest) -> dict[str, Any]:
        """Describe the methods as OpenRPC has it.

        Returns:
            An OpenRPC document, also at ``/api/1/openrpc.json`` of the HTTP port; ``x-roles`` of a method tells
            who may call it.
        """
        return openrpc(service)


def _described(method: ApiMethod) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = []
    for each in method.parameters:
        plain: dict[str, Any] = {"name": each.name, "type": each.type_text, "required": each.required}
        if not each.required:
            plain["default"] = json_of(each.default)
        parameters.append(plain)
    roles = sorted({"admin", *method.roles})
    return {"name": method.name, "parameters": parameters, "doc": method.doc, "roles": roles}
