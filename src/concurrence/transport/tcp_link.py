"""One TCP connection: bytes out of bounded buffers, bytes in, over TLS or without; nothing here ever waits."""

from __future__ import annotations

import itertools
import os
import select
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Sequence

from concurrence.transport.addresses import plain_address
from concurrence.transport.tcp_poll import close_quietly

MAX_MESSAGES_OUT = 1000
"""Messages that wait in one connection for their turn, as in ZeroMQ's queues."""

LINGER_SECONDS = 1.0
"""How long a closed connection goes on flushing; long enough for a goodbye, too short to hold up an exit."""

_GATHERED = 256  # parts in one call to the kernel
_JOINED_BYTES = 16 * 1024  # what TLS seals at once: smaller parts are joined up to it
_ONE_READ_BYTES = 512 * 1024  # so that the others have their turn


class ConnectionLost(Exception):
    """The connection ended; its text says how."""


class Link:
    """A connection whose socket does not block.

    Args:
        connection: The socket, which is connected or connecting.
        max_waiting_bytes: How many bytes may wait to be sent before no more are taken.
    """

    def __init__(self, connection: socket.socket, max_waiting_bytes: int) -> None:
        connection.setblocking(False)
        set_options(connection)
        self._socket = connection
        self._tls: ssl.SSLSocket | None = None
        self._max_waiting_bytes = max_waiting_bytes
        self._parts: deque[memoryview] = deque()
        self._ends: deque[int] = deque()  # of the messages that wait, counted in bytes since the connection began
        self._taken = 0
        self._gone = 0
        self.address = peer_address(connection)

    def fileno(self) -> int:
        """What to poll; -1 when it is closed."""
        return self._socket.fileno()

    @property
    def waits_to_send(self) -> bool:
        """Whether something is to be sent when the kernel takes more."""
        return bool(self._parts)

    @property
    def takes_more(self) -> bool:
        """Whether the bounds leave room for another message."""
        return self._taken - self._gone < self._max_waiting_bytes and len(self._ends) < MAX_MESSAGES_OUT

    def secure(self, context: ssl.SSLContext, *, is_server: bool) -> None:
        """Speak TLS from now on; :meth:`shake_hands` comes first."""
        self._tls = context.wrap_socket(self._socket, server_side=is_server, do_handshake_on_connect=False)
        self._socket = self._tls

    def check_connected(self) -> None:
        """Find out how connecting went, when the socket is writable.

        Raises:
            ConnectionLost: It failed.
        """
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise ConnectionLost(os.strerror(code))
        self.address = peer_address(self._socket)

    def shake_hands(self) -> int | None:
        """Go on with TLS's handshake: None when it is done, else the event of epoll that it waits for.

        Raises:
            ConnectionLost: It failed.
        """
        if self._tls is None:
            return None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return select.EPOLLIN
        except ssl.SSLWantWriteError:
            return select.EPOLLOUT
        except (OSError, ValueError) as error:
            raise ConnectionLost(f"TLS failed: {_reason(error)}") from error
        return None

    def peer_certificate(self) -> bytes | None:
        """What the other end showed, in DER; None without TLS."""
        return self._tls.getpeercert(binary_form=True) if self._tls is not None else None

    def send(self, parts: Sequence[memoryview], size: int) -> bool:
        """Take a message and send what the kernel takes of it now; False if the bounds leave no room.

        Raises:
            ConnectionLost: The connection ended.
        """
        if not self.takes_more:
            self.flush()
        if not self.takes_more:
            return False
        idle = not self._parts
        self._taken += size
        self._ends.append(self._taken)
        self._parts.extend(parts if self._tls is None else joined(parts))
        if idle:
            self.flush()
        return True

    def flush(self) -> bool:
        """Send what waits, as far as the kernel takes it; whether nothing is left.

        Raises:
            ConnectionLost: The connection ended.
        """
        parts = self._parts
        while parts:
            try:
                if self._tls is not None:
                    self._sent(self._tls.send(parts[0]))
                else:
                    gathered = list(itertools.islice(parts, _GATHERED))
                    self._sent(socket.socket.sendmsg(self._socket, gathered))
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return False
            except (OSError, ValueError) as error:
                raise ConnectionLost(_reason(error)) from error
        return True

    def receive_into(self, buffer: memoryview) -> int | None:
        """Read what is there, within bounds; how many bytes came, or None if there are none now.

        Raises:
            ConnectionLost: The connection ended.
        """
        limit = min(len(buffer), _ONE_READ_BYTES)
        count = 0
        while count < limit:
            try:
                more = self._socket.recv_into(buffer[count:limit])
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except (OSError, ValueError) as error:
                raise ConnectionLost(_reason(error)) from error
            if not more:
                if count:
                    break  # what came before the end counts; the next call finds the end again
                raise ConnectionLost("the other end closed it")
            count += more
            if self._tls is None:
                break  # TLS gives a record at a time
        return count or None

    def may_hold_more(self, count: int, asked: int) -> bool:
        """Whether there may be more to read of which poll does not tell.

        Args:
            count: What :meth:`receive_into` gave.
            asked: The size of its buffer.
        """
        return self._tls is not None or count == min(asked, _ONE_READ_BYTES)

    def close(self, flush_until: float | None = None) -> None:
        """Close. Repeatable.

        Args:
            flush_until: Until when, on the monotonic clock, it may wait for what is to be sent; None: it does not.
        """
        if self.fileno() < 0:
            return
        try:
            if flush_until is not None:
                self._flush_until(flush_until)
            self._drain()
        except ConnectionLost:
            pass  # then there is nothing to flush and nobody to offend
        self._parts.clear()
        self._ends.clear()
        close_quietly(self._socket)

    def _flush_until(self, deadline: float) -> None:
        poller = select.poll()
        poller.register(self.fileno(), select.POLLOUT)
        while not self.flush() and (left := deadline - time.monotonic()) > 0:
            poller.poll(left * 1000)

    def _drain(self) -> None:
        # A socket that is closed with something unread resets the connection, and what was flushed is lost.
        waste = memoryview(bytearray(_JOINED_BYTES))
        for _ in range(64):
            if self.receive_into(waste) is None:
                return

    def _sent(self, count: int) -> None:
        parts = self._parts
        self._gone += count
        while count:
            first = parts[0]
            if count < first.nbytes:
                parts[0] = first[count:]
                break
            count -= first.nbytes
            parts.popleft()
        while self._ends and self._ends[0] <= self._gone:
            self._ends.popleft()


def joined(parts: Sequence[memoryview]) -> list[memoryview]:
    """The same bytes, where small parts that follow each other are one: TLS has no scatter and gather."""
    result: list[memoryview] = []
    small: list[memoryview] = []
    size = 0
    for part in parts:
        if small and size + part.nbytes > _JOINED_BYTES:
            result.append(memoryview(b"".join(small)))
            small, size = [], 0
        if part.nbytes > _JOINED_BYTES:
            result.append(part)
        else:
            small.append(part)
            size += part.nbytes
    if small:
        result.append(memoryview(b"".join(small)))
    return result


def set_options(connection: socket.socket) -> None:
    """Small messages leave at once, and a dead link is noticed although it is idle."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def peer_address(connection: socket.socket) -> str:
    """The network address at the other end, without port; empty if there is none yet."""
    try:
        return plain_address(str(connection.getpeername()[0]))
    except OSError:
        return ""


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
