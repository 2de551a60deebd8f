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
import time
from collections import deque
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

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
HELLO_SECONDS = 10.0
"""A peer that has not introduced itself so long after it connected, or after it was forgotten, is cut off."""

PeerName: TypeAlias = tuple[Any, ...]
"""The network address at the other end of a connection, as the system gives it: no two live ones have the same."""

_EVENTS_AT_ONCE = 64
_MAX_ENDED = 65_536
_LOOK_SECONDS = 1.0  # how often the gate looks for such peers, while there may be some
_ZAP_ADDRESS = "inproc://zeromq.zap.01"


class Entrance:
    """One listening socket, as the gate sees it.

    Args:
        domain: Its name, of which there is no other in the process.
        address: Where it listens.
        keys: Who may connect.
        roles: Which roles may.
        expects_hello: Whether peers must introduce themselves, and are cut off if they do not.
    """

    def __init__(
        self,
        domain: str,
        address: str,
        keys: KeyRing,
        roles: Collection[Role],
        *,
        expects_hello: bool = False,
    ) -> None:
        self.domain = domain
        self.keys = keys
        self.roles = roles
        self.rejections = Rejections()
        self.log = RejectionLog(address)
        self.connections: dict[int, PeerName] = {}
        """The file descriptors of the connections, and the network address at their other end."""
        self.strangers: dict[PeerName, float] = {}
        """Whose peer has not introduced itself, and until when it may."""
        self._descriptors: dict[PeerName, int] = {}
        self._early: set[PeerName] = set()  # introduced themselves before this thread heard that they connected
        self.ended: deque[PeerName] = deque(maxlen=_MAX_ENDED)
        """Connections of introduced peers that have ended, for whoever asks."""
        self.wake: Callable[[], None] = _nothing
        self._expects_hello = expects_hello
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
            self._accepted(value, peer_name(value))
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED and self._greeting:
            self._greeting.pop()
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self._refused += 1
        elif event & _FAILURES:
            self._failed = True
        elif event == zmq.EVENT_DISCONNECTED:
            self._disconnected(value)

    def acquaint(self, name: PeerName) -> None:
        """The peer at this address introduced itself; from any thread."""
        if name not in self._descriptors:
            self._early.add(name)
        self.strangers.pop(name, None)

    def estrange(self, name: PeerName) -> None:
        """The peer at this address must introduce itself again, if it is still there; from any thread."""
        self._early.discard(name)
        if self._expects_hello and name in self._descriptors:
            self.strangers[name] = time.monotonic() + HELLO_SECONDS
            self.wake()

    def cut_strangers(self) -> None:
        """Cut off those who had time enough to introduce themselves."""
        now = time.monotonic()
        for name, deadline in list(self.strangers.items()):
            if now >= deadline:
                self.strangers.pop(name, None)
                descriptor = self._descriptors.get(name)
                if descriptor is not None:
                    self.rejections.silent += 1
                    self.log.reject("it did not introduce itself in time", self._address_of(descriptor))
                    self.cut(descriptor)

    def turn_away(self, descriptor: int, allowed: int) -> None:
        """Cut off a connection that is one too many."""
        self.rejections.crowded += 1
        reason = f"there are {allowed} connections, as many as the limit of open files allows (ulimit -n)"
        self.log.reject(reason, self._address_of(descriptor))
        self.cut(descriptor)

    def _accepted(self, descriptor: int, name: PeerName) -> None:
        self.connections[descriptor] = name
        self._greeting.append(descriptor)
        if not name:
            return  # it is gone again
        self._descriptors[name] = descriptor
        if name in self._early:
            self._early.discard(name)
        elif self._expects_hello:
            self.strangers[name] = time.monotonic() + HELLO_SECONDS

    def _address_of(self, descriptor: int) -> str:
        name = self.connections.get(descriptor, ())
        return plain_address(str(name[0])) if name else "a peer that was gone at once"

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
        address = self._address_of(descriptor)
        name = self.connections.pop(descriptor, ())
        if self._descriptors.get(name) == descriptor:
            del self._descriptors[name]
            if self._expects_hello and name not in self.strangers:
                self.ended.append(name)
            self.strangers.pop(name, None)
        self._early.discard(name)
        greeting = descriptor in self._greeting
        if greeting:
            self._greeting.remove(descriptor)
        if self._refused and greeting and not self._failed:
            self._refused -= 1
        elif self._failed or greeting:
            self.rejections.malformed += 1
            # No warning: so does everybody who leaves in the middle of it.
            self.log.reject("it did not complete the handshake with this server's key", address, logging.INFO)
        self._failed = False


class Gate:
    """The thread that guards all entrances of one context.

    Args:
        context: The context of the sockets it guards.
        connections: How many there may be at all entrances together.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], connections: int) -> None:
        self._allowed = connections
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
        entrance.wake = self._ring
        self._arrivals.put((monitor, entrance))
        self._ring()

    def leave(self, entrance: Entrance) -> None:
        """Forget a socket that was closed; its monitor ends by itself."""
        self._entrances.pop(entrance.domain.encode("ascii"), None)

    def close(self) -> None:
        """End the thread. All sockets it guards must be closed by now."""
        self._stopping = True
        self._ring()
        self._thread.join()
        self._bell_here.close()
        self._bell_there.close()

    def _ring(self) -> None:
        with suppress(OSError):  # it is full, and wakes the thread all the same; or the thread has ended
            self._bell_here.send(b"!")

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._zap, zmq.POLLIN)
        poller.register(self._bell_there, zmq.POLLIN)
        bell = self._bell_there.fileno()
        try:
            while not self._stopping:
                for ready, _ in poller.poll(self._timeout()):
                    if ready is self._zap:
                        self._answer()
                    elif ready == bell:
                        self._welcome(poller)
                    else:
                        self._listen(ready, poller)
                for entrance in self._monitors.values():
                    entrance.cut_strangers()
        finally:
            self._zap.close()
            self._drain_arrivals()
            for monitor in self._monitors:
                monitor.close()

    def _timeout(self) -> int | None:
        """Milliseconds until somebody may have to be cut off; None while all are known."""
        if any(entrance.strangers for entrance in self._monitors.values()):
            return int(_LOOK_SECONDS * 1000)
        return None

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
        for _ in range(_EVENTS_AT_ONCE):
            if not int(monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN or not self._hear(monitor, poller):
                return

    def _hear(self, monitor: Any, poller: zmq.Poller) -> bool:
        """Take notice of one event; False if it is the monitor's last."""
        message = parse_monitor_message(monitor.recv_multipart())
        event = int(message["event"])
        if event == zmq.EVENT_MONITOR_STOPPED:
            poller.unregister(monitor)
            del self._monitors[monitor]
            monitor.close()
            return False
        entrance, value = self._monitors[monitor], int(message["value"])
        entrance.observe(event, value)
        if event == zmq.EVENT_ACCEPTED:
            count = sum(len(each.connections) for each in self._monitors.values())
            if count > self._allowed:
                entrance.turn_away(value, self._allowed)
        return True


def _nothing() -> None:
    """There is no gate yet."""


@contextmanager
def _borrowed(descriptor: int) -> Generator[sockets.socket, None, None]:
    connection = sockets.socket(fileno=descriptor)
    try:
        yield connection
    finally:
        connection.detach()  # libzmq owns the descriptor, and closes it


def peer_name(descriptor: int) -> PeerName:
    """The network address at the other end of a connection that libzmq owns; empty if it is gone."""
    with suppress(OSError), _borrowed(descriptor) as connection:
        return tuple(connection.getpeername())
    return ()
