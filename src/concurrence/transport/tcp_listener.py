"""Where connections arrive: accepts them, and lets in whose key has the role. Whoever dawdles makes room."""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from concurrence.errors import AddressInUse, ConcurrenceError, ProtocolError, UsageError
from concurrence.transport.addresses import split_address
from concurrence.transport.api import Origin
from concurrence.transport.descriptors import OWN_FILES, connections_within, open_files
from concurrence.transport.rejections import RejectionLog, Rejections
from concurrence.transport.security import KeyRing, Role
from concurrence.transport.tcp_handshake import (
    ADMITTED,
    GREETING_BYTES,
    NO_CERTIFICATE,
    PROOF_BYTES,
    REFUSED,
    Channel,
    ServerHandshake,
    check_beginning,
)
from concurrence.transport.tcp_link import ConnectionLost, Link, peer_address
from concurrence.transport.tcp_poll import READ, WRITE, AlarmClock, Bell, Ready, close_quietly
from concurrence.transport.tcp_tls import ServerTLS

HANDSHAKE_SECONDS = 10.0
"""How long a connection may take to prove who it is."""

MAX_HALF_OPEN = 512
"""Connections that may be proving it at a time; beyond it the oldest from the busiest address is cut."""

_BACKLOG = 1024  # a whole swarm reconnects at once when its master comes back
_ACCEPTED_AT_ONCE = 32  # so that those that came before can go on in between
_PAUSE_SECONDS = 1.0  # when the process has no descriptor left for another connection
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(slots=True, eq=False)
class _Greeting:
    """A connection that has not proven yet who it is."""

    link: Link
    deadline: float
    handshake: ServerHandshake
    is_secured: bool
    received: bytes = b""
    awaits_proof: bool = False


def bind(address: str) -> tuple[socket.socket, str]:
    """Listen, and tell where.

    Raises:
        AddressInUse: Another process listens there.
        UsageError: The address is malformed or not this machine's.
    """
    host, port = split_address(address)
    name = None if host == "*" else host.strip("[]")
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # Of a name that means both, IPv4, as ZeroMQ takes it; a wildcard is both.
        family, _, _, _, where = min(found, key=lambda each: (each[0] is not socket.AF_INET) == (host != "*"))
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(where)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise _binding_failed(address, error) from error
    return listener, f"tcp://{host}:{listener.getsockname()[1]}"


class Listener:
    """Accepts connections and finds out who they are.

    Args:
        listener: A socket that listens.
        address: Where, for the log.
        keys: Who may connect.
        roles: In which roles.
        channel: What for.
        tls: The server's side of TLS; None to go without.
        ready: What its descriptors are polled with.
        alarm: Rings ``bell`` when :meth:`look` is to be called.
        bell: Polled with ``ready``.
        max_waiting_bytes: For :class:`Link`.
        admit: Told of each connection that is who it says it is; its handler is to be replaced.
    """

    def __init__(
        self,
        listener: socket.socket,
        address: str,
        keys: KeyRing,
        roles: Collection[Role],
        channel: Channel,
        tls: ServerTLS | None,
        ready: Ready,
        alarm: AlarmClock,
        bell: Bell,
        max_waiting_bytes: int,
        admit: Callable[[Link, Origin], None],
    ) -> None:
        self.address = address
        self.keys = keys
        self.rejections = Rejections()
        self.log = RejectionLog(address)
        self._listener = listener
        self._roles = roles
        self._channel = channel
        self._tls = tls
        self._ready = ready
        self._alarm = alarm
        self._bell = bell
        self._max_waiting_bytes = max_waiting_bytes
        self._admit = admit
        self._greetings: dict[Link, _Greeting] = {}  # in the order in which they came
        self._resume_at: float | None = None
        ready.watch(listener.fileno(), self._on_arrival)

    @property
    def half_open(self) -> int:
        """How many connections have not proven yet who they are."""
        return len(self._greetings)

    def look(self) -> None:
        """Cut those whose time is over, and set the alarm for the next."""
        now = time.monotonic()
        if self._resume_at is not None and now >= self._resume_at:
            self._resume_at = None
            self._ready.watch(self._listener.fileno(), self._on_arrival)
        for greeting in list(self._greetings.values()):
            if greeting.deadline > now:
                break
            self._reject(greeting, f"it did not prove its identity within {HANDSHAKE_SECONDS:g} s")
        self._set_alarm()

    def close(self) -> None:
        """Listen no more, and let go of those that are not in yet. Repeatable."""
        if self._listener.fileno() >= 0:
            self._ready.unwatch(self._listener.fileno())
        close_quietly(self._listener)
        for link in list(self._greetings):
            self._drop(link)

    def _set_alarm(self) -> None:
        times = [greeting.deadline for greeting in self._greetings.values()][:1]
        if self._resume_at is not None:
            times.append(self._resume_at)
        self._alarm.set(self._bell, min(times, default=None))

    def _on_arrival(self, events: int) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR:
                    self._make_way(error)
                    break
                continue  # that one connection was gone before it was accepted
            self._welcome(connection)
        self._set_alarm()

    def _make_way(self, error: OSError) -> None:
        self.rejections.malformed += 1
        self.log.reject(f"no connection can be accepted: {error.strerror}", "all newcomers", logging.ERROR)
        self._ready.unwatch(self._listener.fileno())  # it stays readable, and the loop would spin
        self._resume_at = time.monotonic() + _PAUSE_SECONDS
        if self._greetings:
            self._reject(self._one_too_many(), "descriptors have run out, and it had not proven its identity yet")

    def _welcome(self, connection: socket.socket) -> None:
        allowed = connections_within(open_files())
        if connection.fileno() >= allowed + OWN_FILES:  # the numbers of descriptors are given out from below
            self.rejections.crowded += 1
            reason = f"there are {allowed} connections, as many as the limit of open files allows (ulimit -n)"
            self.log.reject(reason, peer_address(connection))
            close_quietly(connection)
            return
        try:
            link = Link(connection, self._max_waiting_bytes)
            if self._tls is not None:
                link.secure(self._tls.context, is_server=True)
        except (OSError, ValueError):
            close_quietly(connection)
            return
        if len(self._greetings) >= MAX_HALF_OPEN:
            self._reject(self._one_too_many(), "too many connections had not proven their identity yet")
        name = self._tls.name if self._tls is not None else NO_CERTIFICATE
        handshake = ServerHandshake(self.keys.keys, self._channel, name)
        deadline = time.monotonic() + HANDSHAKE_SECONDS
        greeting = _Greeting(link, deadline, handshake, is_secured=self._tls is None)
        self._greetings[link] = greeting
        self._ready.watch(link.fileno(), lambda events: self._go_on(greeting))

    def _one_too_many(self) -> _Greeting:
        busiest, _ = Counter(link.address for link in self._greetings).most_common(1)[0]
        return next(each for link, each in self._greetings.items() if link.address == busiest)

    def _go_on(self, greeting: _Greeting) -> None:
        link = greeting.link
        try:
            if not greeting.is_secured:
                event = link.shake_hands()
                if event is not None:
                    self._ready.watch(link.fileno(), lambda events: self._go_on(greeting), event)
                    return
                greeting.is_secured = True
            self._read(greeting)
        except (ConnectionLost, ProtocolError) as error:
            self._reject(greeting, error.message if isinstance(error, ProtocolError) else str(error))

    def _read(self, greeting: _Greeting) -> None:
        link = greeting.link
        link.flush()
        while link in self._greetings:
            wanted = PROOF_BYTES if greeting.awaits_proof else GREETING_BYTES
            buffer = memoryview(bytearray(wanted - len(greeting.received)))
            count = link.receive_into(buffer)
            if count is None:
                break
            greeting.received += bytes(buffer[:count])
            if not greeting.awaits_proof:
                check_beginning(greeting.received)
            if len(greeting.received) == wanted:
                self._answer(greeting)
        if link in self._greetings:
            events = READ | (WRITE if link.waits_to_send else 0)
            self._ready.watch(link.fileno(), lambda events: self._go_on(greeting), events)

    def _answer(self, greeting: _Greeting) -> None:
        received, greeting.received = greeting.received, b""
        if not greeting.awaits_proof:
            challenge = greeting.handshake.challenge(received)
            greeting.awaits_proof = True
            greeting.link.send([memoryview(challenge)], len(challenge))
            return
        if not greeting.handshake.is_proven(received):
            raise ProtocolError("it does not hold the secret half of the key that it named")
        public = greeting.handshake.public
        role = self.keys.role_of(public)
        if role is None or role not in self._roles:
            self.rejections.unauthorized += 1
            reason = f"a key with the role {role} may not connect here" if role else "its key is not authorized"
            self.log.reject(reason, greeting.link.address)
            greeting.link.send([memoryview(REFUSED)], len(REFUSED))
            self._drop(greeting.link)
            return
        link = greeting.link
        del self._greetings[link]
        link.send([memoryview(ADMITTED)], len(ADMITTED))
        self._admit(link, Origin(role, public, link.address))

    def _reject(self, greeting: _Greeting, reason: str) -> None:
        self.rejections.malformed += 1
        # No warning: so does everybody who leaves in the middle of it.
        address = greeting.link.address or "a peer that was gone at once"
        self.log.reject(
            f"it did not complete the handshake with this server's key: {reason}", address, logging.INFO
        )
        self._drop(greeting.link)

    def _drop(self, link: Link) -> None:
        self._greetings.pop(link, None)
        if link.fileno() >= 0:
            self._ready.unwatch(link.fileno())
        link.close()


def _binding_failed(address: str, error: OSError) -> ConcurrenceError:
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(
            f"cannot listen on {address}: the address is in use",
            hint="Choose another port with --port, or stop the process that listens there.",
        )
    reason = error.strerror or str(error)
    if error.errno == errno.EACCES:
        return UsageError(f"cannot listen on {address}: {reason}", hint="Choose a port above 1023 with --port.")
    return UsageError(
        f"cannot listen on {address}: {reason}", hint="Choose an address of this machine, such as 127.0.0.1."
    )
