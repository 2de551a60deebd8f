"""Nodes that registered by a method: who they are, until they leave or fall silent. Pure.

Concurrent's own nodes say hello on the compute channel, which registers them and binds the connection. This is for
other programs: they are told where the compute channel is, and are listed, as long as they send heartbeats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from concurrence.errors import NotFound, Refused, UsageError
from concurrence.nodes.api import NodeType
from concurrence.transport.remote import ApiRequest
from concurrence.transport.security import Role

MAX_REGISTERED = 10_000
MAX_DATA_BYTES = 64 * 1024
_LONGEST_ID = 64
_ROLES = {
    NodeType.SLAVE: (Role.SLAVE, Role.ADMIN),
    NodeType.CLIENT: (Role.CLIENT, Role.ADMIN),
    NodeType.MASTER: (Role.ADMIN,),
}


@dataclass(slots=True)
class Registered:
    """A node that registered.

    Attributes:
        node: Its id.
        kind: What it is.
        address: From where it registered, without port.
        port: Where it listens there; 0 if it does not.
        data: What it says of itself.
        key: The key with which it registered.
        since: When, on the master's clock.
        heard: When it was last heard of.
    """

    node: str
    kind: NodeType
    address: str
    port: int
    data: dict[str, Any]
    key: str
    since: float
    heard: float


class Registrations:
    """All nodes that registered.

    Args:
        lease: Seconds of silence after which one is forgotten.
    """

    def __init__(self, lease: float) -> None:
        self.lease = lease
        self._nodes: dict[str, Registered] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def register(
        self, node_id: str, request: ApiRequest, port: int, data: dict[str, Any], kind: NodeType, now: float
    ) -> bool:
        """Register a node, or what has changed of it; whether it was known.

        Raises:
            UsageError: The id, the port or the data exceed their limits.
            Refused: The key may not register such a node, the id belongs to another key, or there are too many.
        """
        self.expire(now)
        if not 0 < len(node_id) <= _LONGEST_ID or not node_id.isprintable():
            raise UsageError(f"a node id has 1 to {_LONGEST_ID} printable characters")
        if not 0 <= port <= 65_535:
            raise UsageError(f"{port} is not a port: expected 0 to 65535")
        if len(msgspec.msgpack.encode(data)) > MAX_DATA_BYTES:
            raise UsageError(f"the data of a node may have {MAX_DATA_BYTES:,} bytes")
        if request.role not in _ROLES[kind]:
            raise Refused(f"a key with the role {request.role} cannot register a {kind}")
        known = self._nodes.get(node_id)
        if known is not None and (known.key, known.kind) != (request.key, kind):
            raise Refused(f"the identity {node_id} belongs to another key, or is that of a {known.kind}")
        if known is None and len(self._nodes) >= MAX_REGISTERED:
            raise Refused(f"{MAX_REGISTERED:,} nodes are registered, and no more can be")
        since = known.since if known is not None else now
        self._nodes[node_id] = Registered(node_id, kind, request.address, port, data, request.key, since, now)
        return known is not None

    def heartbeat(self, node_id: str, request: ApiRequest, now: float) -> None:
        """A node is still there.

        Raises:
            NotFound: It is not registered, or not any more; it is to register again.
            Refused: It was registered with another key.
        """
        self._own(node_id, request, now).heard = now

    def unregister(self, node_id: str, request: ApiRequest, now: float) -> None:
        """A node leaves.

        Raises:
            NotFound: It is not registered.
            Refused: It was registered with another key.
        """
        del self._nodes[self._own(node_id, request, now).node]

    def all(self, now: float) -> list[Registered]:
        """Who is registered, in the order in which they came."""
        self.expire(now)
        return list(self._nodes.values())

    def expire(self, now: float) -> None:
        """Forget who was silent for longer than the lease."""
        for node in [each for each in self._nodes.values() if now - each.heard > self.lease]:
            del self._nodes[node.node]

    def _own(self, node_id: str, request: ApiRequest, now: float) -> Registered:
        self.expire(now)
        node = self._nodes.get(node_id)
        if node is None:
            raise NotFound("no such node is registered", hint="Register it again: it was silent for too long.")
        if node.key != request.key and request.role is not Role.ADMIN:
            raise Refused(f"the identity {node_id} belongs to another key")
        return node
