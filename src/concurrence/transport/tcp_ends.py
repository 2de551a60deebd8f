"""Makes the ends of the TCP transport: loaded when the first is made, because its libraries take a while."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection

from concurrence.errors import ComponentError, UsageError
from concurrence.transport.addresses import split_address
from concurrence.transport.api import Origin
from concurrence.transport.security import Credentials, KeyRing, Role
from concurrence.transport.tcp_client import TCPClient
from concurrence.transport.tcp_connector import Destination
from concurrence.transport.tcp_handshake import Channel
from concurrence.transport.tcp_link import Link
from concurrence.transport.tcp_listener import Listener, bind
from concurrence.transport.tcp_listening import Listen
from concurrence.transport.tcp_poll import AlarmClock, Bell, Ready
from concurrence.transport.tcp_server import TCPServer
from concurrence.transport.tcp_tls import ClientTLS, ServerTLS, client_tls, is_loopback, server_tls
from concurrence.transport.tcp_work_queue import TCPWorkQueue
from concurrence.transport.tcp_work_source import TCPWorkSource

_WAITING_FRAMES = 4
"""How many of the largest frames may wait in one connection. They cost no memory of their own: whoever sends
them has them anyway."""


class Ends:
    """All ends of one transport.

    Args:
        max_frame_bytes: The largest frame that is sent or taken.
        uses_tls: Whether connections are encrypted.
    """

    def __init__(self, max_frame_bytes: int, *, uses_tls: bool) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._uses_tls = uses_tls
        self._process = os.getpid()
        self._alarm = AlarmClock()
        self._server_tls: ServerTLS | None = None
        self._client_tls: ClientTLS | None = None
        self._open: dict[TCPServer | TCPClient | TCPWorkQueue | TCPWorkSource, None] = {}

    def server(self, address: str, keys: KeyRing) -> TCPServer:
        """Listen for all kinds of nodes."""
        listen = self._listening(address, keys, Channel.COMPUTE, frozenset(Role))
        made = TCPServer(listen, self._alarm, self._max_frame_bytes, self._forget)
        self._open[made] = None
        return made

    def client(self, credentials: Credentials) -> TCPClient:
        """Connect to a server."""
        destination = self._destination(credentials.address, credentials, Channel.COMPUTE)
        made = TCPClient(destination, self._alarm, self._max_frame_bytes, self._forget)
        self._open[made] = None
        return made

    def work_queue(self, address: str, keys: KeyRing) -> TCPWorkQueue:
        """Listen for slaves that pull."""
        listen = self._listening(address, keys, Channel.WORK, frozenset({Role.SLAVE}))
        made = TCPWorkQueue(listen, self._alarm, self._max_frame_bytes, self._forget)
        self._open[made] = None
        return made

    def work_source(self, address: str, credentials: Credentials) -> TCPWorkSource:
        """Connect to a work queue."""
        destination = self._destination(address, credentials, Channel.WORK)
        made = TCPWorkSource(destination, self._alarm, self._max_frame_bytes, self._forget)
        self._open[made] = None
        return made

    def close(self) -> None:
        """Close whatever is open. Repeatable."""
        for end in list(self._open):
            end.close()
        self._alarm.close()

    def _forget(self, end: TCPServer | TCPClient | TCPWorkQueue | TCPWorkSource) -> None:
        self._open.pop(end, None)

    def _listening(self, address: str, keys: KeyRing, channel: Channel, roles: Collection[Role]) -> Listen:
        self._check(address)
        if self._uses_tls and self._server_tls is None:
            self._server_tls = server_tls()

        def listen(ready: Ready, bell: Bell, admit: Callable[[Link, Origin], None]) -> Listener:
            listener, where = bind(address)
            waiting = _WAITING_FRAMES * self._max_frame_bytes
            return Listener(
                listener, where, keys, roles, channel, self._server_tls, ready, self._alarm, bell, waiting, admit
            )

        return listen

    def _destination(self, address: str, credentials: Credentials, channel: Channel) -> Destination:
        self._check(address)
        if self._uses_tls and self._client_tls is None:
            self._client_tls = client_tls()
        waiting = _WAITING_FRAMES * self._max_frame_bytes
        return Destination(address, credentials, channel, self._client_tls, waiting)

    def _check(self, address: str) -> None:
        host, _ = split_address(address)
        if self._process != os.getpid():
            raise ComponentError(
                "the transport was used before this process was forked, and cannot be used here",
                hint="Fork before the transport makes its first socket.",
            )
        if not self._uses_tls and not _stays_here(host):
            raise UsageError(
                f"[transport] tls = false is for the loopback interface alone, and {address} is not on it",
                hint="Remove tls = false, on all machines; it is for measuring what TLS costs.",
            )


def _stays_here(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return host != "*" and all(is_loopback(str(where[0])) for _, _, _, _, where in found)
