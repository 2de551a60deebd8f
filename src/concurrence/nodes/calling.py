"""Calling methods of a master's API on the compute channel, as ``concurrence call`` does."""

from __future__ import annotations

from concurrence.errors import UsageError
from concurrence.nodes.question import Question
from concurrence.transport.api import ITransport
from concurrence.transport.security import Credentials, Role
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import ApiAnswer, CallApi


def call_api(transport: ITransport, credentials: Credentials, body: bytes, timeout: float) -> bytes | None:
    """Send a JSON-RPC 2.0 request or batch to a master.

    Args:
        transport: Makes the client.
        credentials: How to reach the master; an administrator's.
        body: The request, as JSON.
        timeout: Seconds until it gives up.

    Returns:
        The answer, as JSON; None if all that was sent are notifications.

    Raises:
        UsageError: The key is not an administrator's.
        ConnectionFailed: The master does not answer in time, or the connection broke meanwhile.
        AuthenticationFailed: It does not accept the key, or is not the master of these credentials.
        Refused: It turned this node away.
    """
    if credentials.role is not Role.ADMIN:
        raise UsageError(
            f"a key with the role {credentials.role.value} may not call the API",
            hint="Use admin.toml from connect/ in the folder of the master's environment.",
        )
    question = Question(
        Parcel(CallApi(1, 1), [body]), ApiAnswer, kind="admin", name="call", timeout=timeout, repeat=False
    )
    answer = question.ask(transport, credentials)
    return bytes(answer.frames[0]) if answer.frames else None
