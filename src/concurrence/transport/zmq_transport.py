"""The transport over ZeroMQ with CURVE: what every node uses unless its config says otherwise."""

from __future__ import annotations

import itertools
import os
import threading
from typing import TypeAlias, TypeVar

import zmq

from concurrence.component import Component, ComponentManager
from concurrence.errors import ComponentError
from concurrence.transport.addresses import split_address
from concurrence.transport.api import ITransport
from concurrence.transport.descriptors import connections_within, open_files
from concurrence.transport.limits import max_frame_option
from concurrence.transport.security import Credentials, KeyRing, Role
from concurrence.transport.zmq_client import EVENTS, ZMQClient
from concurrence.transport.zmq_gate import Entrance, Gate
from concurrence.transport.zmq_server import ZMQServer
from concurrence.transport.zmq_sockets import (
    bind,
    secure_client,
    secure_server,
    set_common_options,
    set_reconnecting,
)
from concurrence.transport.zmq_work import KERNEL_BUFFER_BYTES, QUEUE_MESSAGES, ZMQWorkQueue, ZMQWorkSource

_Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"
_End: TypeAlias = ZMQServer | ZMQClient | ZMQWorkQueue | ZMQWorkSource
_EndT = TypeVar("_EndT", ZMQServer, ZMQClient, ZMQWorkQueue, ZMQWorkSource)


class ZMQTransport(Component, ITransport):
    """Encrypted and authenticated by CURVE; one ZeroMQ context, made when it is first needed."""

    max_frame_bytes = max_frame_option()

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self._lock = threading.Lock()
        self._context: _Context | None = None
        self._process = 0
        self._gate: Gate | None = None
        self._open: dict[_End, Entrance | None] = {}
        self._numbers = itertools.count(1)

    def server(self, address: str, keys: KeyRing) -> ZMQServer:
        """Listen with a ROUTER; see :meth:`ITransport.server`."""
        split_address(address)
        socket = self._socket(zmq.ROUTER)
        socket.router_mandatory = True
        entrance, where = self._listen(socket, address, keys, "compute", frozenset(Role))
        return self._kept(ZMQServer(socket, where, entrance, self.max_frame_bytes, self._forget), entrance)

    def client(self, credentials: Credentials) -> ZMQClient:
        """Connect with a DEALER; see :meth:`ITransport.client`.

        Raises:
            UsageError: The address is malformed.
        """
        split_address(credentials.address)
        socket = self._connecting(zmq.DEALER, credentials)
        # Nothing is queued without a connection, so that a message never arrives on the next one.
        socket.immediate = True
        name = f"inproc://client.{next(self._numbers)}"
        socket.monitor(name, EVENTS)
        monitor = self._opened_context().socket(zmq.PAIR)
        monitor.linger = 0
        monitor.rcvhwm = 0  # a full monitor would stop libzmq's own thread
        monitor.connect(name)
        return self._kept(ZMQClient(socket, monitor, credentials.address, self.max_frame_bytes, self._forget))

    def work_queue(self, address: str, keys: KeyRing) -> ZMQWorkQueue:
        """Listen with a PUSH; see :meth:`ITransport.work_queue`."""
        split_address(address)
        socket = self._socket(zmq.PUSH)
        socket.sndhwm = QUEUE_MESSAGES
        socket.sndbuf = KERNEL_BUFFER_BYTES
        entrance, where = self._listen(socket, address, keys, "work", frozenset({Role.SLAVE}))
        return self._kept(ZMQWorkQueue(socket, where, entrance, self.max_frame_bytes, self._forget), entrance)

    def work_source(self, address: str, credentials: Credentials) -> ZMQWorkSource:
        """Connect with a PULL; see :meth:`ITransport.work_source`.

        Raises:
            UsageError: The address is malformed.
        """
        split_address(address)
        socket = self._connecting(zmq.PULL, credentials)
        socket.rcvhwm = QUEUE_MESSAGES
        socket.rcvbuf = KERNEL_BUFFER_BYTES
        return self._kept(ZMQWorkSource(socket, address, self._forget))

    def close(self) -> None:
        """Close whatever is open, flush it for a moment, and end the context. Repeatable."""
        for end in list(self._open):
            end.close()
        with self._lock:
            gate, self._gate = self._gate, None
            context, self._context = self._context, None
        if gate is not None:
            gate.close()
        if context is not None:
            context.term()

    def _listen(
        self, socket: zmq.Socket[bytes], address: str, keys: KeyRing, channel: str, roles: frozenset[Role]
    ) -> tuple[Entrance, str]:
        domain = f"{channel}.{next(self._numbers)}"
        entrance = Entrance(domain, address, keys, roles, expects_hello=channel == "compute")
        gate = self._opened_gate()
        try:
            secure_server(socket, keys.keys, entrance.domain)
            gate.guard(socket, entrance)
            where = entrance.log.address = bind(socket, address)
        except BaseException:
            socket.close(linger=0)
            gate.leave(entrance)
            raise
        return entrance, where

    def _connecting(self, kind: zmq.SocketType, credentials: Credentials) -> zmq.Socket[bytes]:
        socket = self._socket(kind)
        secure_client(socket, credentials.keys, credentials.server_key)
        set_reconnecting(socket)
        return socket

    def _socket(self, kind: zmq.SocketType) -> zmq.Socket[bytes]:
        socket = self._opened_context().socket(kind)
        set_common_options(socket, self.max_frame_bytes)
        return socket

    def _opened_context(self) -> _Context:
        with self._lock:
            if self._context is None:
                self._context, self._process = zmq.Context(), os.getpid()
            elif self._process != os.getpid():
                raise ComponentError(
                    "the transport was used before this process was forked, and cannot be used here",
                    hint="Fork before the transport makes its first socket.",
                )
            return self._context

    def _opened_gate(self) -> Gate:
        context = self._opened_context()
        with self._lock:
            if self._gate is None:
                self._gate = Gate(context, connections_within(open_files()))
            return self._gate

    def _kept(self, end: _EndT, entrance: Entrance | None = None) -> _EndT:
        self._open[end] = entrance
        return end

    def _forget(self, end: _End) -> None:
        entrance = self._open.pop(end, None)
        if entrance is not None and self._gate is not None:
            self._gate.leave(entrance)
