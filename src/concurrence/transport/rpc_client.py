"""A client of remote methods: calls them by a proxy, offers its own, and connects again when it must."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

from concurrence.errors import AuthenticationFailed, MessageTooLarge, ProtocolError
from concurrence.transport.addresses import split_address
from concurrence.transport.api import IClient, IReactor, ITransport
from concurrence.transport.remote import ApiRequest
from concurrence.transport.rpc_calls import Calls, RpcProxy, notify
from concurrence.transport.rpc_errors import CallFailed, CallLost
from concurrence.transport.rpc_loop import Turning
from concurrence.transport.rpc_methods import RemoteMethods
from concurrence.transport.security import Credentials, Role
from concurrence.wire.codec import MessageDecoder, Parcel, encode
from concurrence.wire.rpc_messages import RPC_VERSION, RpcCall, RpcHello, RpcMessage

_MAX_WAITING = 2000  # calls, of which no more are unanswered than MAX_UNANSWERED, and answers
_log = logging.getLogger("concurrence.rpc")


class RpcClient(Turning):
    """Calls the methods of a server, and offers methods to it.

    Calls made without a connection wait for one. When a connection is lost, those that were sent on it fail with
    :class:`~concurrence.transport.rpc_errors.CallLost`; it is made anew with growing pauses. So each call ends
    with an answer or a failure. After :meth:`close`, or when the server refused the key, calls raise
    :class:`~concurrence.transport.rpc_errors.CallFailed`.

    Args:
        client: A transport's client.
        handler: Gets the notifications: ``NAME_response(result)`` and ``NAME_failed(error)`` for each call, and
            ``connected()``, ``disconnected()`` and ``refused(error)``, as far as it has them.

    Attributes:
        methods: What it offers; see :func:`tcpremote`.
        proxy: Calls the server's methods.
        handler: As given; may be set later.
        request: What the methods that it offers are told of their caller, the server: its address, and the key
            that it has proven to hold. It may do anything: its role is ``admin``.
    """

    def __init__(self, client: IClient, handler: object = None) -> None:
        super().__init__()
        self.request = ApiRequest("", Role.ADMIN, "")
        self.methods = RemoteMethods(_log)
        self.handler = handler
        self._client = client
        self._calls = Calls(self._send_call, lambda: self.handler, _log)
        self.proxy = RpcProxy(self._calls)
        self._waiting: deque[Parcel[RpcMessage]] = deque()
        self._reactor: IReactor | None = None
        self._decoder: MessageDecoder[RpcMessage] = MessageDecoder(list[RpcMessage])

    @classmethod
    def connect(cls, transport: ITransport, credentials: Credentials, handler: object = None) -> RpcClient:
        """A client of the server at ``credentials.address``; returns at once, whether or not that is there."""
        made = cls(transport.client(credentials), handler)
        host, _ = split_address(credentials.address)
        made.request = ApiRequest(host.strip("[]"), Role.ADMIN, credentials.server_key)
        return made

    def __repr__(self) -> str:
        return f"RpcClient({self._client!r}, {self._calls.unanswered} unanswered)"

    def attach(self, reactor: IReactor) -> None:
        """Work on this poll loop from now on."""
        self._reactor = reactor
        reactor.register(self._client.pollable, self.work)
        reactor.register(self._client.events_pollable, self.work)

    def work(self) -> None:
        """Take whatever came and send whatever waits, without blocking."""
        self._take_events()
        while (frames := self._client.receive()) is not None:
            try:
                for parcel in self._decoder.decode(frames):
                    self._take(parcel)
            except ProtocolError as error:
                _log.warning("bad message from the server: %s", error.message)
                self._lose("the server sent what cannot be read: this answer, or that to another call")
        self._take_events()
        self._flush()

    def close(self) -> None:
        """Close; what was sent is still flushed for a moment, and calls without an answer fail. Repeatable."""
        self.stop()
        self._waiting.clear()
        self._client.close()
        self._calls.end(CallLost("the client was closed before the answer came"))

    def pollables(self) -> list[tuple[Any, bool]]:
        """What wakes :meth:`turn`."""
        return [(self._client.pollable, bool(self._waiting)), (self._client.events_pollable, False)]

    def _take_events(self) -> None:
        for event in self._client.connection_events():
            if event == "connected":
                self._waiting.appendleft(Parcel(RpcHello(RPC_VERSION)))
                notify(self.handler, "connected", _log)
            elif event == "disconnected":
                self._lost("the connection was lost before the answer came")
            else:
                self._refused()

    def _lost(self, reason: str) -> None:
        self._waiting = deque(each for each in self._waiting if isinstance(each.message, RpcCall))
        self._lose(reason)
        notify(self.handler, "disconnected", _log)

    def _lose(self, reason: str) -> None:
        unsent = {each.message.number for each in self._waiting if isinstance(each.message, RpcCall)}
        self._calls.lose_all(unsent, reason)

    def _refused(self) -> None:
        error = AuthenticationFailed(
            "the server does not accept this key, or is another one", hint="Fetch a fresh connect file."
        )
        self._waiting.clear()
        self._calls.end(CallFailed(error.message, hint=error.hint))
        if not notify(self.handler, "refused", _log, error):
            _log.error("%s", error)

    def _take(self, parcel: Parcel[RpcMessage]) -> None:
        message = parcel.message
        if isinstance(message, RpcHello):
            return
        if not isinstance(message, RpcCall):
            self._calls.take(message, parcel.frames[0] if parcel.frames else b"")
        elif len(parcel.frames) != 1:
            raise ProtocolError("a remote call has other than one frame of arguments")
        else:
            self._post(self.methods.answer(message, parcel.frames[0], self, self.request))

    def _send_call(self, parcel: Parcel[RpcCall]) -> None:
        self._post(parcel)

    def _post(self, parcel: Parcel[RpcMessage]) -> None:
        self._waiting.append(parcel)
        self._flush()
        if len(self._waiting) > _MAX_WAITING:  # only answers can be so many: the calls are bounded
            self._client.reconnect()
            self._lost("the server took no answers, so that the connection was made anew")

    def _flush(self) -> None:
        while self._waiting:
            message = self._waiting[0].message
            try:
                if not self._client.send(encode([self._waiting[0]])):
                    break
                self._waiting.popleft()
            except MessageTooLarge as error:
                _log.error("a call or answer cannot be sent: %s", error.message)
                self._waiting.popleft()
                if isinstance(message, RpcCall):
                    self._calls.lose(message.number, CallFailed(error.message, hint=error.hint))
        if self._reactor is not None:
            self._reactor.watch_writable(self._client.pollable, self.work if self._waiting else None)
