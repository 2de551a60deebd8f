"""The gate: decides which keys may connect, and counts and logs whoever is turned away.

libzmq asks a handler inside the process about every key (ZAP), and reports what befalls connections on
monitor sockets. One thread answers and listens, because a handshake must not wait for a master's loop, and
because a work queue has no loop that could answer. It handles no payload, and sleeps between handshakes.
"""

from __future__ import annotations

import logging
import queue
import socket as sockets
import threading
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from typing import Any

import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from concurrence.transport.addresses import plain_address
from concurrence.transport.rejections import RejectionLog, Rejections
from concurrence.transport.security import KeyRing, Role

_EVENTS = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_FAILURES = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_ZAP_ADDRESS = "inproc://zeromq.zap.01"


class Entrance:
    """One listening socket, as the gate sees it.

    Args:
        domain: Its name, of which there is no other in the process.
        address: Where it listens.
        keys: Who may connect.
        roles: Which roles may.
    """

    def __init__(self, domain: str, address: str, keys: KeyRing, roles: Collection[Role]) -> None:
        self.domain = domain
        self.keys = keys
        self.roles = roles
        self.rejections = Rejections()
        self.log = RejectionLog(address)
        self.connections: dict[int, tuple[Any, ...]] = {}
        """The file descriptors of the connections, and the network address at their other end."""
        self._greeting: list[int] = []
        self._failed = False  # the next connection to end does so for a failure that libzmq reported
        self._refused = 0  # connections that will end because they were not admitted, and are counted

    def admit(self, public: str, address: str) -> bool:
        """Whether a key may come in here; counts and logs it if not."""
        role = self.keys.role_of(public)
        if role in self.roles:
            return True
        self.rejections.unauthorized += 1
        reason = f"a key with the role {role} may not connect here" if role else "its key is not authorized"
        self.log.reject(reason, address)
        return False

    def observe(self, event: int, value: int) -> None:
        """Take notice of what befell a connection.

        libzmq does not say which connection a handshake belongs to. It is taken for the youngest one that
        is still greeting; a wrong guess puts one line of the log at a wrong time.
        """
        if event == zmq.EVENT_ACCEPTED:
            self.connections[value] = _peer_name(value)
            self._greeting.append(value)
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED and self._greeting:
            self._greeting.pop()
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self._refused += 1
        elif event & _FAILURES:
            self._failed = True
        elif event == zmq.EVENT_DISCONNECTED:
            self._disconnected(value)

    def cut_all(self) -> None:
        """End all connections; those that may come back will do so by themselves."""
        for descriptor in list(self.connections):
            self.cut(descriptor)

    def cut(self, descriptor: int) -> None:
        """End one connection, by the file descriptor that libzmq has for it."""
        name = self.connections.get(descriptor)
        with suppress(OSError), _borrowed(descriptor) as connection:
            # The number may mean another file by now; then the address at the other end differs.
            if name and connection.getpeername() == name:
                connection.shutdown(sockets.SHUT_RDWR)

    def _disconnected(self, descriptor: int) -> None:
        name = self.connections.pop(descriptor, ())
        greeting = descriptor in self._greeting
        if greeting:
            self._greeting.remove(descriptor)
        if self._refused and greeting and not self._failed:
            self._refused -= 1
        elif self._failed or greeting:
            self.rejections.malformed += 1
            address = plain_address(str(name[0])) if name else "a peer that was gone at once"
            # No warning: so does everybody who leaves in the middle of it.
            self.log.reject("it did not complete the handshake with this server's key", address, logging.INFO)
        self._failed = False


class Gate:
    """The thread that guards all entrances of one context.

    Args:
        context: The context of the sockets it guards.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._context = context
        self._entrances: dict[bytes, Entrance] = {}
        self._monitors: dict[Any, Entrance] = {}
        self._arrivals: queue.SimpleQueue[tuple[zmq.Socket[bytes], Entrance]] = queue.SimpleQueue()
        self._zap: zmq.Socket[bytes] = context.socket(zmq.REP)
        self._zap.linger = 0
        self._zap.bind(_ZAP_ADDRESS)
        self._bell_here, self._bell_there = sockets.socketpair()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="concurrence-gate", daemon=True)
        self._thread.start()

    def guard(self, socket: zmq.Socket[bytes], entrance: Entrance) -> None:
        """Decide from now on who may connect to a socket that is about to listen."""
        name = f"inproc://gate.{entrance.domain}"
        socket.monitor(name, _EVENTS)
        monitor: zmq.Socket[bytes] = self._context.socket(zmq.PAIR)
        monitor.linger = 0
        monitor.rcvhwm = 0  # a full monitor would stop libzmq's own thread
        monitor.connect(name)
        self._entrances[entrance.domain.encode("ascii")] = entrance
        self._arrivals.put((monitor, entrance))
        self._bell_here.send(b"!")

    def leave(self, entrance: Entrance) -> None:
        """Forget a socket that was closed; its monitor ends by itself."""
        self._entrances.pop(entrance.domain.encode("ascii"), None)

    def close(self) -> None:
        """End the thread. All sockets it guards must be closed by now."""
        self._stopping = True
        self._bell_here.send(b"!")
        self._thread.join()
        self._bell_here.close()
        self._bell_there.close()

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._zap, zmq.POLLIN)
        poller.register(self._bell_there, zmq.POLLIN)
        bell = self._bell_there.fileno()
        try:
            while not self._stopping:
                for ready, _ in poller.poll():
                    if ready is self._zap:
                        self._answer()
                    elif ready == bell:
                        self._welcome(poller)
                    else:
                        self._listen(ready, poller)
        finally:
            self._zap.close()
            self._drain_arrivals()
            for monitor in self._monitors:
                monitor.close()

    def _drain_arrivals(self) -> None:
        while not self._arrivals.empty():
            monitor, entrance = self._arrivals.get()
            self._monitors[monitor] = entrance

    def _welcome(self, poller: zmq.Poller) -> None:
        self._bell_there.recv(4096)
        known = set(self._monitors)
        self._drain_arrivals()
        for monitor in set(self._monitors) - known:
            poller.register(monitor, zmq.POLLIN)

    def _answer(self) -> None:
        version, request, domain, address, _, mechanism, *keys = self._zap.recv_multipart()
        entrance = self._entrances.get(domain)
        public = z85.encode(keys[0]).decode("ascii") if mechanism == b"CURVE" and len(keys) == 1 else ""
        peer = plain_address(address.decode("ascii", "replace"))
        if entrance is None:
            # Its socket is closing: the key may be right, so the peer is to try again later.
            verdict = (b"300", b"not listening any more", b"")
        elif public and entrance.admit(public, peer):
            verdict = (b"200", b"OK", public.encode("ascii"))
        else:
            verdict = (b"400", b"not authorized", b"")
        self._zap.send_multipart([version, request, *verdict, b""])

    def _listen(self, monitor: Any, poller: zmq.Poller) -> None:
        message = parse_monitor_message(monitor.recv_multipart())
        event = int(message["event"])
        if event == zmq.EVENT_MONITOR_STOPPED:
            poller.unregister(monitor)
            del self._monitors[monitor]
            monitor.close()
        else:
            self._monitors[monitor].observe(event, int(message["value"]))


@contextmanager
def _borrowed(descriptor: int) -> Generator[sockets.socket, None, None]:
    connection = sockets.socket(fileno=descriptor)
    try:
        yield connection
    finally:
        connection.detach()  # libzmq owns the descriptor, and closes it


def _peer_name(descriptor: int) -> tuple[Any, ...]:
    """The network address at the other end of a connection that libzmq owns; empty if it is gone."""
    with suppress(OSError), _borrowed(descriptor) as connection:
        return tuple(connection.getpeername())
    return ()
