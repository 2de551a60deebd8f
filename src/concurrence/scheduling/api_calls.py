"""Calls of the master's API that come on the compute channel: who may, and how many. Pure."""

from __future__ import annotations

from msgspec import Struct

from concurrence.errors import ProtocolError
from concurrence.scheduling.registry import Node
from concurrence.transport.security import Role
from concurrence.wire.codec import Frame, Parcel
from concurrence.wire.messages import CallApi


class Call(Struct, frozen=True):
    """A call that waits for the end of the cycle.

    Attributes:
        node: Who calls.
        number: Its number of the call.
        body: The JSON-RPC request or batch.
    """

    node: Node
    number: int
    body: Frame


def checked(waiting: list[Call], node: Node, parcel: Parcel[CallApi]) -> Call:
    """The call in a message.

    Args:
        waiting: The calls that wait already.
        node: Who sent it.
        parcel: The message.

    Raises:
        ProtocolError: The node may not call now, or at all.
    """
    if node.origin.role is not Role.ADMIN:
        raise ProtocolError(
            f"a key with the role {node.origin.role.value} may not call the API",
            hint="Use connect/admin.toml of the master's environment.",
        )
    if len(parcel.frames) != 1:
        raise ProtocolError(f"a call of the API has one body frame, not {len(parcel.frames)}")
    if any(call.node is node for call in waiting):
        raise ProtocolError("a second call of the API came before the first was answered")
    return Call(node, parcel.message.request, parcel.frames[0])
