"""Asking a master for its status, as ``concurrence status`` does: one question on the compute channel."""

from __future__ import annotations

from typing import Any

from msgspec.structs import asdict, replace

from concurrence.errors import UsageError
from concurrence.nodes.question import Question
from concurrence.transport.api import ITransport
from concurrence.transport.security import Credentials, Role
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Status, StatusRequest

__all__ = ["Status", "ask_status", "status_by_names", "without"]

_KINDS = {Role.ADMIN: "admin", Role.CLIENT: "client"}


def ask_status(transport: ITransport, credentials: Credentials, timeout: float) -> Status:
    """Connect to a master, ask it how the swarm is, and leave.

    Args:
        transport: Makes the client.
        credentials: How to reach the master; an administrator's or a client's.
        timeout: Seconds until it gives up.

    Returns:
        The status, in which the asking node itself is left out.

    Raises:
        UsageError: The key is neither an administrator's nor a client's.
        ConnectionFailed: The master does not answer in time.
        AuthenticationFailed: It does not accept the key, or is not the master of these credentials.
        Refused: It turned this node away.
    """
    kind = _KINDS.get(credentials.role)
    if kind is None:
        raise UsageError(
            f"a key with the role {credentials.role.value} may not ask for the status",
            hint="Use admin.toml or client.toml from connect/ in the folder of the master's environment.",
        )
    question = Question(Parcel(StatusRequest(1)), Status, kind=kind, name="status", timeout=timeout, repeat=True)
    answer = question.ask(transport, credentials).message
    return without(answer, question.node, question.system)


def without(status: Status, node: str, system: int = 0) -> Status:
    """A status in which a node that only asks is left out, and its plain tasks, of which there are none."""
    return replace(
        status,
        nodes=[each for each in status.nodes if each.node != node],
        systems=[each for each in status.systems if each.system != system],
    )


def status_by_names(status: Status) -> dict[str, Any]:
    """A status as JSON has it: on the wire its fields have no names."""
    plain = asdict(status)
    del plain["request"]
    plain["nodes"] = [asdict(node) for node in status.nodes]
    # As text: these are 63-bit numbers, and JSON's are exact only up to 53.
    plain["systems"] = [asdict(system) | {"system": f"{system.system:016x}"} for system in status.systems]
    return plain
