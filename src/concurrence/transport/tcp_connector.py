"""The connecting side of a TCP connection: finds the server, proves who it is, and tries again when that fails."""

from __future__ import annotations

import errno
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from concurrence.errors import ProtocolError
from concurrence.transport.addresses import split_address
from concurrence.transport.security import Credentials
from concurrence.transport.tcp_handshake import (
    ADMITTED,
    CHALLENGE_BYTES,
    Channel,
    ClientHandshake,
    certificate_name,
)
from concurrence.transport.tcp_link import ConnectionLost, Link
from concurrence.transport.tcp_listener import HANDSHAKE_SECONDS
from concurrence.transport.tcp_poll import READ, WRITE, AlarmClock, Bell, Ready, close_quietly
from concurrence.transport.tcp_tls import ClientTLS

FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 2.0


class Outcome(Enum):
    """How an attempt to connect ended that did not lead to a connection."""

    UNREACHABLE = "unreachable"
    """Nobody listens there, or nobody answered in time."""
    HUNG_UP = "hung up"
    """Somebody listens, and did not go through with the handshake."""
    REFUSED = "refused"
    """The server does not take this key, or is another one. The connector rests."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Whom to connect to, and as whom.

    Attributes:
        address: Where, as ``tcp://host:port``.
        credentials: The own keys and the server's public one.
        channel: What for.
        tls: The client's side of TLS; None to go without.
        max_waiting_bytes: For :class:`Link`.
    """

    address: str
    credentials: Credentials
    channel: Channel
    tls: ClientTLS | None
    max_waiting_bytes: int


class Connector:
    """Connects, again and again.

    Args:
        destination: Whom to connect to.
        ready: What its descriptors are polled with.
        alarm: Rings ``bell`` when :meth:`look` is to be called.
        bell: Polled with ``ready``.
        on_connected: Told of a connection whose ends have both proven who they are; its handler is to be replaced.
        on_failed: Told how an attempt ended otherwise.
    """

    def __init__(
        self,
        destination: Destination,
        ready: Ready,
        alarm: AlarmClock,
        bell: Bell,
        on_connected: Callable[[Link], None],
        on_failed: Callable[[Outcome], None],
    ) -> None:
        self._to = destination
        self._host, self._port = split_address(destination.address)
        self._ready = ready
        self._alarm = alarm
        self._bell = bell
        self._on_connected = on_connected
        self._on_failed = on_failed
        self._pause = FIRST_RETRY_SECONDS
        self._retry_at: float | None = None
        self._deadline: float | None = None
        self._places: list[tuple[int, Any]] = []  # of the name, which are yet to be tried
        self._resolution: _Resolution | None = None
        self._attempt: _Attempt | None = None

    @property
    def is_resting(self) -> bool:
        """Whether it neither tries nor will try."""
        return self._attempt is None and self._retry_at is None and self._resolution is None

    def start(self) -> None:
        """Try at once, from the beginning."""
        self.rest()
        self._pause = FIRST_RETRY_SECONDS
        self._resolve()

    def again(self) -> None:
        """Try after a while, which grows with each failure and is drawn so that not all come at once."""
        self.rest()
        # No secret, and nothing that a test repeats: how long it pauses.
        pause = self._pause * random.uniform(0.5, 1.0)
        self._pause = min(2 * self._pause, LAST_RETRY_SECONDS)
        self._retry_at = time.monotonic() + pause
        self._set_alarm()

    def rest(self) -> None:
        """Try no more until told."""
        self._retry_at = self._deadline = self._resolution = None
        self._places.clear()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            self._unwatch(attempt.link)
            attempt.link.close()
        self._set_alarm()

    def look(self) -> None:
        """See whether a name was resolved, and whether it is time to try again or to give up an attempt."""
        now = time.monotonic()
        resolution = self._resolution
        if resolution is not None and resolution.is_done:
            self._resolution = None
            self._places = resolution.places
            self._try_next(Outcome.UNREACHABLE)
        elif self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self._resolve()
        elif self._deadline is not None and now >= self._deadline:
            self._failed(Outcome.UNREACHABLE)
        self._set_alarm()

    def _set_alarm(self) -> None:
        self._alarm.set(self._bell, self._retry_at if self._retry_at is not None else self._deadline)

    def _resolve(self) -> None:
        self._resolution = resolution = _Resolution(self._host.strip("[]"), self._port, self._bell)
        resolution.start()
        self.look()

    def _try_next(self, outcome: Outcome) -> None:
        while self._places:
            family, where = self._places.pop(0)
            connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            connection.setblocking(False)
            code = connection.connect_ex(where)
            if code in (0, errno.EINPROGRESS):
                link = Link(connection, self._to.max_waiting_bytes)
                attempt = self._attempt = _Attempt(link, self._to)
                self._deadline = time.monotonic() + HANDSHAKE_SECONDS
                self._watch(attempt, WRITE)
                self._set_alarm()
                return
            close_quietly(connection)
        self.again()
        self._on_failed(outcome)

    def _watch(self, attempt: _Attempt, events: int) -> None:
        self._ready.watch(attempt.link.fileno(), lambda events: self._go_on(attempt), events)

    def _unwatch(self, link: Link) -> None:
        if link.fileno() >= 0:
            self._ready.unwatch(link.fileno())

    def _go_on(self, attempt: _Attempt) -> None:
        try:
            wait = attempt.go_on()
        except (ConnectionLost, ProtocolError):
            self._failed(Outcome.HUNG_UP if attempt.was_accepted else Outcome.UNREACHABLE)
            return
        if wait is not None:
            self._watch(attempt, wait)
        elif attempt.is_admitted:
            self._attempt = None
            self.rest()
            self._pause = FIRST_RETRY_SECONDS
            self._on_connected(attempt.link)
        else:
            self.rest()
            self._on_failed(Outcome.REFUSED)

    def _failed(self, outcome: Outcome) -> None:
        attempt, self._attempt = self._attempt, None
        self._deadline = None
        if attempt is not None:
            self._unwatch(attempt.link)
            attempt.link.close()
        self._try_next(outcome)


class _Resolution:
    """The search for the addresses of a name: in a thread, because it may take long; at once if it is none."""

    def __init__(self, host: str, port: int, bell: Bell) -> None:
        self._host = host
        self._port = port
        self._bell = bell
        self.places: list[tuple[int, Any]] = []
        self.is_done = False

    def start(self) -> None:
        try:
            self._search(socket.AI_NUMERICHOST)
        except OSError:
            threading.Thread(target=self._search_name, name="concurrence-resolver", daemon=True).start()

    def _search_name(self) -> None:
        try:
            self._search(0)
        except (OSError, UnicodeError):
            self.is_done = True
        self._bell.ring()

    def _search(self, flags: int) -> None:
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=flags)
        self.places = [(family, where) for family, _, _, _, where in found]
        self.is_done = True


class _Attempt:
    """One connection that is being made: TCP, then TLS, then the proofs."""

    def __init__(self, link: Link, destination: Destination) -> None:
        self.link = link
        self.was_accepted = False
        self.is_admitted = False
        self._to = destination
        self._is_secured = False
        self._handshake: ClientHandshake | None = None
        self._wanted = CHALLENGE_BYTES
        self._received = b""

    def go_on(self) -> int | None:
        """Go on: the event of epoll that it waits for, or None when it is done, and :attr:`is_admitted` says how.

        Raises:
            ConnectionLost: The connection ended.
            ProtocolError: The other end is no server of this kind.
        """
        if not self.was_accepted:
            self.link.check_connected()
            self.was_accepted = True
            if self._to.tls is not None:
                self.link.secure(self._to.tls.context, is_server=False)
        if not self._is_secured:
            event = self.link.shake_hands()
            if event is not None:
                return event
            self._is_secured = True
        if self._handshake is None:
            self._greet()
        self.link.flush()
        while self._wanted:
            buffer = memoryview(bytearray(self._wanted - len(self._received)))
            count = self.link.receive_into(buffer)
            if count is None:
                return READ | (WRITE if self.link.waits_to_send else 0)
            self._received += bytes(buffer[:count])
            if len(self._received) == self._wanted:
                self._take(self._received)
        return None

    def _greet(self) -> None:
        to = self._to
        name = certificate_name(self.link.peer_certificate())
        self._handshake = ClientHandshake(to.credentials.keys, to.credentials.server_key, to.channel, name)
        greeting = self._handshake.greeting()
        self.link.send([memoryview(greeting)], len(greeting))

    def _take(self, received: bytes) -> None:
        self._received = b""
        if self._wanted == len(ADMITTED):
            self.is_admitted = received == ADMITTED
            self._wanted = 0
            return
        proof = self._handshake.proof(received) if self._handshake is not None else None
        self._wanted = len(ADMITTED) if proof is not None else 0
        if proof is not None:
            self.link.send([memoryview(proof)], len(proof))
