"""One question to a master on the compute channel, and its answer: connect, ask, leave."""

from __future__ import annotations

from typing import Generic, TypeVar

from concurrence.errors import ConnectionFailed, MessageTooLarge, ProtocolError
from concurrence.ids import new_system_id
from concurrence.nodes.exchange import Exchange
from concurrence.nodes.identity import Identity
from concurrence.nodes.master_link import MasterLink
from concurrence.nodes.reactor import Reactor
from concurrence.transport.api import IClient, ITransport
from concurrence.transport.security import Credentials
from concurrence.version import __version__
from concurrence.wire.codec import Parcel, decoder_to_owner, encode
from concurrence.wire.messages import Bye, Hello, Message, ToOwner

_TICK_SECONDS = 0.1
_CONNECT_SECONDS = 5.0

A = TypeVar("A", bound=Message)


class Question(Generic[A]):
    """A question and its answer.

    Args:
        parcel: The question.
        answer: The type of its answer.
        kind: What this node introduces itself as: ``admin`` or ``client``.
        name: The name that the master shows.
        timeout: Seconds until it gives up.
        repeat: Whether to ask again when the connection broke before the answer came.
    """

    def __init__(
        self, parcel: Parcel[Message], answer: type[A], *, kind: str, name: str, timeout: float, repeat: bool
    ) -> None:
        self._parcel = parcel
        self._wanted = answer
        self._timeout = timeout
        self._repeat = repeat
        self._identity = Identity(kind, name, __version__)
        self._system = new_system_id() if kind == "client" else 0
        self._asked = False
        self._answer: Parcel[A] | None = None

    @property
    def node(self) -> str:
        """The id of the node that asks."""
        return self._identity.node

    @property
    def system(self) -> int:
        """The number of its plain tasks, which a client always has, though there are none."""
        return self._system

    def ask(self, transport: ITransport, credentials: Credentials) -> Parcel[A]:
        """Connect to a master, ask it, and leave.

        Args:
            transport: Makes the client.
            credentials: How to reach the master.

        Raises:
            ConnectionFailed: The master does not answer in time, or the connection broke meanwhile.
            AuthenticationFailed: It does not accept the key, or is not the master of these credentials.
            Refused: It turned this node away.
        """
        client = transport.client(credentials)
        reactor = Reactor()
        try:
            return self._turn(client, reactor, credentials.address)
        finally:
            client.close()
            reactor.close()

    def _turn(self, client: IClient, reactor: Reactor, address: str) -> Parcel[A]:
        """Turn the loop until there is an answer."""
        patience = min(_CONNECT_SECONDS, self._timeout)
        link = MasterLink(self._hello, address, reactor.now(), patience=patience)
        exchange = Exchange(client, link, decoder_to_owner(), _refuse)
        deadline = reactor.now() + self._timeout
        reactor.register(client.pollable, lambda: self._drain(client, link, exchange, reactor.now()))
        reactor.register(client.events_pollable, lambda: self._drain(client, link, exchange, reactor.now()))
        reactor.on_cycle_end(lambda: self._conclude(client, link, exchange, reactor.now()))
        while self._answer is None:
            reactor.cycle(_TICK_SECONDS)
            link.tick(reactor.now())
            if self._answer is None and link.error is not None:
                raise link.error
            if self._answer is None and reactor.now() > deadline:
                raise ConnectionFailed(
                    f"the master at {address} did not answer within {self._timeout:.0f} s",
                    hint="It is there, but busy. Try again."
                    if self._repeat or not self._asked
                    else "It may still do what it was asked for. See its log.",
                )
        client.send(encode([Parcel(Bye("the question was answered"))]))
        return self._answer

    def _hello(self, resumes: bool) -> Hello:
        return self._identity.hello(resumes, system=self._system)

    def _drain(self, client: IClient, link: MasterLink, exchange: Exchange[ToOwner], now: float) -> None:
        self._take_connection_events(client, link, exchange, now)
        while (frames := client.receive()) is not None:
            try:
                parcels = exchange.received(frames, now)
            except ProtocolError as error:
                raise ConnectionFailed(f"the master sent what is no message: {error.message}") from error
            for parcel in parcels:
                if not link.message(parcel.message, now) and isinstance(parcel.message, self._wanted):
                    self._answer = Parcel(parcel.message, parcel.frames)

    def _take_connection_events(
        self, client: IClient, link: MasterLink, exchange: Exchange[ToOwner], now: float
    ) -> None:
        for event in client.connection_events():
            if self._asked and event != "connected":
                if not self._repeat:
                    raise ConnectionFailed(
                        "the connection to the master broke before it answered",
                        hint="Whether it did what it was asked for is not known. See its log.",
                    )
                self._asked = False
            link.connection(event, now)
            exchange.lost()

    def _conclude(self, client: IClient, link: MasterLink, exchange: Exchange[ToOwner], now: float) -> None:
        if link.wants_reconnect:
            link.wants_reconnect = False
            exchange.lost()
            client.reconnect()
        self._take_connection_events(client, link, exchange, now)
        exchange.send(self._take, now)

    def _take(self) -> list[Parcel[Message]]:
        """The question, unless it was asked."""
        if self._asked:
            return []
        self._asked = True
        return [self._parcel]


def _refuse(parcel: Parcel[Message], error: MessageTooLarge) -> list[Parcel[Message]]:
    raise error
