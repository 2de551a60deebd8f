"""The connections of the HTTP port: how many there may be, and how long each may take for what it does.

uvicorn reads and writes HTTP; but it waits for ever for the rest of a request, and for a peer that does not read.
So each connection has a deadline here: for the head of a request, then for its body and the answer, and again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from concurrence.transport.addresses import plain_address
from concurrence.transport.http_limits import Refusals

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

HEAD_SECONDS = 10.0
"""How long a request's head may take, from when the connection is there or its last answer has left."""
REQUEST_SECONDS = 30.0
"""How long a request's body and its answer may take together."""
_SWEEP_SECONDS = 1.0

Asgi: TypeAlias = "Callable[[Any, Any, Any], Awaitable[None]]"


class Connections:
    """All connections of a port.

    Args:
        most: How many there may be.
        refusals: Told of those that were cut.
        loop: The event loop.
        head_seconds: See :data:`HEAD_SECONDS`.
        request_seconds: See :data:`REQUEST_SECONDS`.
    """

    def __init__(
        self,
        most: int,
        refusals: Refusals,
        loop: asyncio.AbstractEventLoop,
        head_seconds: float = HEAD_SECONDS,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._most = most
        self._head_seconds = head_seconds
        self._request_seconds = request_seconds
        self.refusals = refusals
        self._loop = loop
        self._waiting: OrderedDict[Connection, float] = OrderedDict()  # for the head of a request, oldest first
        self._busy: dict[Connection, float] = {}
        self._sweeps = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._busy)

    def admit(self, connection: Connection) -> bool:
        """Whether one more may stay; of too many, the one that has asked nothing for longest goes."""
        if len(self) >= self._most:
            if not self._waiting:
                self.refusals.add("connections", connection.address, f"there are {self._most} connections already")
                return False
            oldest = next(iter(self._waiting))
            text = f"{self._most} connections, and this one asked nothing for longest"
            self.cut(oldest, "connections", text)
        self.idle(connection)
        return True

    def idle(self, connection: Connection) -> None:
        """It may send the head of a request."""
        self._busy.pop(connection, None)
        self._waiting[connection] = self._loop.time() + self._head_seconds
        self._waiting.move_to_end(connection)
        self._watch()

    def busy(self, connection: Connection) -> None:
        """It has sent one, or was sent a part of an answer; what comes next has so long."""
        self._waiting.pop(connection, None)
        self._busy[connection] = self._loop.time() + self._request_seconds

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        self._waiting.pop(connection, None)
        self._busy.pop(connection, None)

    def cut(self, connection: Connection, kind: str, text: str) -> None:
        """End it now, whatever is under way."""
        self.forget(connection)
        self.refusals.add(kind, connection.address, text)
        connection.transport.abort()

    def close(self) -> None:
        """End all."""
        for connection in [*self._waiting, *self._busy]:
            connection.transport.abort()

    def _watch(self) -> None:
        if not self._sweeps:
            self._sweeps = True
            self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in [each for each, deadline in self._waiting.items() if deadline <= now]:
            if connection.transport.get_write_buffer_size():
                self.cut(connection, "slow", f"it did not read its answer within {self._head_seconds:g} s")
            elif connection.is_silent:
                self.forget(connection)  # it kept the connection for later, or was only knocking: nothing wrong
                connection.transport.abort()
            else:
                self.cut(connection, "slow", f"no whole request within {self._head_seconds:g} s")
        for connection in [each for each, deadline in self._busy.items() if deadline <= now]:
            self.cut(connection, "slow", f"a request was not over within {self._request_seconds:g} s")
        self._sweeps = False
        if len(self):
            self._watch()


class Connection(H11Protocol):
    """One connection.

    Args:
        config: uvicorn's.
        state: uvicorn's, of the port.
        loop: The event loop.
        connections: All of them.
    """

    def __init__(
        self, config: Config, state: ServerState, loop: asyncio.AbstractEventLoop, connections: Connections
    ) -> None:
        super().__init__(config, state, {}, loop)
        self._all = connections
        self._app: Asgi = self.app
        self.app = self._run
        self.address = ""
        self.is_silent = True
        """Whether nothing of its next request came."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """It is there."""
        super().connection_made(transport)
        self.address = plain_address(self.client[0]) if self.client else ""
        if not self._all.admit(self):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._all.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self.is_silent = False
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._all.refusals.add("bytes", self.address, "what it sent is no HTTP/1.1, or its head is too large")
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:  # within an answer: there is no way to say it
            self.transport.abort()

    async def _run(self, scope: Any, receive: Any, send: Any) -> None:
        self._all.busy(self)
        scope["connection"] = self
        try:
            await self._app(scope, receive, send)
        finally:
            if not self.transport.is_closing():
                self.is_silent = True
                self._all.idle(self)

    def goes_on(self) -> None:
        """A part of a long answer has left: the next one has its own time."""
        self._all.busy(self)
