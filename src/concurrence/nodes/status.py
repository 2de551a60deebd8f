"""Asking a master for its status, as ``concurrence status`` does: one question on the compute channel."""

from __future__ import annotations

from msgspec.structs import replace

from concurrence.errors import ConnectionFailed, ProtocolError, UsageError
from concurrence.ids import new_system_id
from concurrence.nodes.identity import Identity
from concurrence.nodes.master_link import MasterLink
from concurrence.nodes.reactor import Reactor
from concurrence.transport.api import IClient, ITransport
from concurrence.transport.security import Credentials, Role
from concurrence.version import __version__
from concurrence.wire.codec import Parcel, decoder_to_owner, encode
from concurrence.wire.messages import Bye, Hello, Message, Status, StatusRequest

__all__ = ["Status", "ask_status"]

_TICK_SECONDS = 0.1
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
    client = transport.client(credentials)
    reactor = Reactor()
    try:
        return _Question(client, reactor, credentials.address, kind, timeout).ask()
    finally:
        client.close()
        reactor.close()


class _Question:
    """One question and its answer.

    Args:
        client: The connection.
        reactor: The loop.
        address: Where the master is, for the texts of errors.
        kind: What this node introduces itself as.
        timeout: Seconds.
    """

    def __init__(self, client: IClient, reactor: Reactor, address: str, kind: str, timeout: float) -> None:
        self._client = client
        self._reactor = reactor
        self._address = address
        self._timeout = timeout
        self._identity = Identity(kind, "status", __version__)
        self._system = new_system_id() if kind == "client" else 0
        self._link = MasterLink(self._hello, address, reactor.now(), patience=timeout)
        self._decoder = decoder_to_owner()
        self._asked = False
        self._answer: Status | None = None

    def ask(self) -> Status:
        """Turn the loop until there is an answer."""
        reactor, link = self._reactor, self._link
        deadline = reactor.now() + self._timeout
        reactor.register(self._client.pollable, self._drain)
        reactor.register(self._client.events_pollable, self._drain)
        reactor.on_cycle_end(self._conclude)
        while self._answer is None:
            reactor.cycle(_TICK_SECONDS)
            link.tick(reactor.now())
            if link.error is not None:
                raise link.error
            if reactor.now() > deadline:
                raise ConnectionFailed(
                    f"the master at {self._address} did not answer within {self._timeout:.0f} s",
                    hint="It is there, but busy. Try again.",
                )
        self._client.send(encode([Parcel(Bye("the question was answered"))]))
        return self._answer

    def _hello(self, resumes: bool) -> Hello:
        return self._identity.hello(resumes, system=self._system)

    def _drain(self) -> None:
        now = self._reactor.now()
        self._take_connection_events()
        while (frames := self._client.receive()) is not None:
            try:
                parcels = self._decoder.decode(frames)
            except ProtocolError as error:
                raise ConnectionFailed(f"the master sent what is no message: {error.message}") from error
            for parcel in parcels:
                if not self._link.message(parcel.message, now) and isinstance(parcel.message, Status):
                    self._answer = self._without_us(parcel.message)

    def _without_us(self, status: Status) -> Status:
        return replace(
            status,
            nodes=[node for node in status.nodes if node.node != self._identity.node],
            systems=[system for system in status.systems if system.system != self._system],
        )

    def _take_connection_events(self) -> None:
        for event in self._client.connection_events():
            self._asked = self._asked and event == "connected"
            self._link.connection(event, self._reactor.now())

    def _conclude(self) -> None:
        link = self._link
        if link.wants_reconnect:
            link.wants_reconnect = False
            self._client.reconnect()
        self._take_connection_events()
        messages: list[Message] = list(link.outgoing)
        if link.ready and not self._asked:
            messages.append(StatusRequest(1))
        if messages and self._client.send(encode([Parcel(message) for message in messages])):
            link.outgoing.clear()
            self._asked = self._asked or link.ready
            link.sent(self._reactor.now())
