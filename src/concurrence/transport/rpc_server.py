"""A server of remote methods: over any transport, or as a part of a node's compute channel."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from concurrence.errors import MessageTooLarge, ProtocolError
from concurrence.transport.api import IReactor, IServer, ITransport, Origin, PeerId
from concurrence.transport.remote import ApiRequest
from concurrence.transport.rpc_calls import Calls, RpcProxy
from concurrence.transport.rpc_errors import CallLost
from concurrence.transport.rpc_loop import Turning
from concurrence.transport.rpc_methods import RemoteMethods
from concurrence.transport.security import KeyRing
from concurrence.wire.codec import MessageDecoder, Parcel, encode
from concurrence.wire.rpc_messages import RpcCall, RpcHello, RpcMessage

MAX_PEERS = 10_000
"""Connections that are remembered; beyond it the one that was silent for longest is forgotten."""

_AT_ONCE = 512  # messages in one turn, so that a server that shares its loop lets the others have theirs
_log = logging.getLogger("concurrence.rpc")


class RpcPeer:
    """A connection to somebody who called: what a remote method gets as its ``handler``.

    Args:
        server: The server.
        identity: The transport's name of the connection.
        origin: Who it is.

    Attributes:
        origin: Role, key and address, as authenticated.
        proxy: Calls methods that the client offers.
        handler: Gets the notifications about such calls; by default the server's handler.
    """

    def __init__(self, server: RpcServer, identity: PeerId, origin: Origin) -> None:
        self.id = identity
        self.origin = origin
        self.handler: object = None
        self._server = server
        self.calls = Calls(partial(server.send_call, self), lambda: self.handler or server.handler, _log)
        self.proxy = RpcProxy(self.calls)

    def __repr__(self) -> str:
        return f"RpcPeer({self.origin.role} at {self.origin.address})"

    @property
    def request(self) -> ApiRequest:
        """Who it is, as methods are told."""
        return ApiRequest(self.origin.address, self.origin.role, self.origin.key)


class RpcServer(Turning):
    """Offers methods to whoever may connect.

    Register them with :func:`tcpremote`; then call :meth:`run`, or :meth:`attach` it to a poll loop.

    Args:
        server: A transport's server. A node that receives for itself gives what came to :meth:`take`.
        handler: Gets the notifications about calls that the server makes of its clients.
        forget: Called when a peer is forgotten, by default the transport's own ``forget``.

    Attributes:
        methods: What it offers.
        handler: As given.
    """

    def __init__(
        self, server: IServer, handler: object = None, forget: Callable[[PeerId], None] | None = None
    ) -> None:
        super().__init__()
        self.methods = RemoteMethods(_log)
        self.handler = handler
        self._server = server
        self._forget = forget or server.forget
        self._peers: dict[PeerId, RpcPeer] = {}  # who spoke last comes last
        self._dropped: dict[PeerId, None] = {}  # who could not be answered; not heard again until it connects anew
        self._decoder: MessageDecoder[RpcMessage] = MessageDecoder(list[RpcMessage])

    def __repr__(self) -> str:
        return f"RpcServer({self._server.address}, {len(self._peers)} peers)"

    @classmethod
    def listen(cls, transport: ITransport, address: str, keys: KeyRing, handler: object = None) -> RpcServer:
        """A server that listens at ``address``, as ``tcp://host:port``; port 0 picks a free one.

        Raises:
            AddressInUse: Another process listens there.
            UsageError: The address is malformed or not this machine's.
        """
        return cls(transport.server(address, keys), handler)

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._server.address

    @property
    def peers(self) -> list[RpcPeer]:
        """Who called and is not known to have gone."""
        return list(self._peers.values())

    def take(self, peer: PeerId, parcel: Parcel[RpcMessage]) -> None:
        """A message came: run what it calls, or tell of an answer.

        Args:
            peer: Who sent it.
            parcel: The message.
        """
        if peer in self._dropped:
            return
        caller = self._peers.pop(peer, None)
        if caller is None:
            caller = RpcPeer(self, peer, self._server.origin(peer))
            self._server.admit(peer)
        self._peers[peer] = caller
        if len(self._peers) > MAX_PEERS:
            oldest = self._peers[next(iter(self._peers))]
            self.lose(oldest, "it was silent for longest, and there are too many")
            self._forget(oldest.id)
        message = parcel.message
        if isinstance(message, RpcCall):
            if len(parcel.frames) != 1:
                raise ProtocolError("a remote call has other than one frame of arguments")
            answer = self.methods.answer(message, parcel.frames[0], caller, caller.request)
            if not self._send(caller, answer):
                self._drop(caller)
        elif not isinstance(message, RpcHello):
            caller.calls.take(message, parcel.frames[0] if parcel.frames else b"")

    def send_call(self, peer: RpcPeer, parcel: Parcel[RpcCall]) -> None:
        """Send a call to a client; if it has gone or takes no more, the call fails and the client is forgotten."""
        if self._peers.get(peer.id) is not peer or not self._send(peer, parcel):
            text = f"{peer.origin.role} at {peer.origin.address} has gone, or takes no more"
            peer.calls.lose(parcel.message.number, CallLost(text))
            self.lose(peer, text)

    def lose(self, peer: RpcPeer, reason: str) -> None:
        """A client has gone: forget it, and fail the calls that it has not answered."""
        if self._peers.pop(peer.id, None) is not None:
            peer.calls.lose_all(set(), reason)

    def attach(self, reactor: IReactor) -> None:
        """Serve on this poll loop from now on."""
        reactor.register(self._server.pollable, self.work)

    def work(self) -> None:
        """Serve whatever waits, without blocking."""
        for _ in range(_AT_ONCE):
            received = self._server.receive()
            if received is None:
                return
            peer, frames = received
            try:
                for parcel in self._decoder.decode(frames):
                    self.take(peer, parcel)
            except ProtocolError as error:
                _log.warning("bad message from %s: %s", self._server.origin(peer).address, error.message)

    def close(self) -> None:
        """Stop serving. Repeatable."""
        self.stop()
        self._server.close()

    def pollables(self) -> list[tuple[Any, bool]]:
        """What wakes :meth:`turn`."""
        return [(self._server.pollable, False)]

    def _drop(self, peer: RpcPeer) -> None:
        """An answer cannot be sent. Without its connection, the caller hears that it will get none."""
        self.lose(peer, "it takes no answers")
        self._dropped[peer.id] = None
        if len(self._dropped) > MAX_PEERS:
            del self._dropped[next(iter(self._dropped))]
        self._forget(peer.id)

    def _send(self, peer: RpcPeer, parcel: Parcel[RpcMessage]) -> bool:
        try:
            return self._server.send(peer.id, encode([parcel]))
        except (
            MessageTooLarge
        ) as error:  # the bound of a call is far below the transport's, unless that was lowered
            _log.error("an answer or call cannot be sent: %s", error.message)
            return False
