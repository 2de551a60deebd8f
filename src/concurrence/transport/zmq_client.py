"""A client's, host's or slave's end of the compute channel over ZeroMQ: a DEALER that tells how it fares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import zmq
from zmq.utils.monitor import parse_monitor_message

from concurrence.transport.zmq_sockets import payload, receive_parts, send_frames
from concurrence.wire.codec import Frame

EVENTS = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

# A server with another key just hangs up during the handshake. So does one that dies at that moment, which
# does not happen again and again, and a port forwarder with nothing behind it. To a client that was connected
# before, the server's key is right: then hang-ups do not count.
_HANG_UPS_TO_GIVE_UP = 3


class ZMQClient:
    """A client that connects already.

    After ``auth_failed`` it rests until :meth:`reconnect`: the key is wrong and asking again will not help.

    Args:
        socket: A DEALER whose options are set; not connected yet.
        monitor: The PAIR that hears of :data:`EVENTS` on it.
        address: Where to connect to.
        max_frame_bytes: The largest frame that is sent.
        on_close: Called once, after the sockets are closed.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        monitor: zmq.Socket[bytes],
        address: str,
        max_frame_bytes: int,
        on_close: Callable[[ZMQClient], None],
    ) -> None:
        self._socket = socket
        self._monitor = monitor
        self._address = address
        self._max_frame_bytes = max_frame_bytes
        self._on_close = on_close
        self._unread: list[str] = []
        self._is_connected = False
        self._hang_ups = 0
        self._was_connected = False
        self._socket.connect(address)

    def __repr__(self) -> str:
        state = "closed" if self._socket.closed else "connected" if self._is_connected else "not connected"
        return f"ZMQClient({self._address}, {state})"

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame that is sent or taken."""
        return self._max_frame_bytes

    @property
    def pollable(self) -> zmq.Socket[bytes]:
        """The DEALER."""
        return self._socket

    @property
    def events_pollable(self) -> zmq.Socket[bytes]:
        """Readable when there are connection events."""
        return self._monitor

    def receive(self) -> list[Frame] | None:
        """The next message, or None if there is none now."""
        parts = receive_parts(self._socket)
        return None if parts is None else [payload(part) for part in parts]

    def send(self, frames: Sequence[Frame]) -> bool:
        """Send without blocking; False if nothing more is taken now.

        Nothing is taken without a connection, nor while the owner has not read that one was lost. So the first
        message on a new connection is one that was meant for it.

        Raises:
            MessageTooLarge: A frame exceeds the limit.
        """
        self._drain()
        if not self._is_connected or "disconnected" in self._unread:
            return False
        return send_frames(self._socket, frames, self._max_frame_bytes)

    def connection_events(self) -> list[str]:
        """What befell the connection since the last call: ``connected``, ``disconnected``, ``auth_failed``."""
        self._drain()
        events, self._unread = self._unread, []
        return events

    def reconnect(self) -> None:
        """Drop the connection and make a new one, which the server sees as a new peer."""
        self._rest()
        self._drain()  # what befell the old connection is no news any more
        self._unread.clear()
        self._is_connected = False
        self._hang_ups = 0
        self._socket.connect(self._address)

    def close(self) -> None:
        """Close; what was sent is still flushed for a moment. Repeatable."""
        if not self._socket.closed:
            self._socket.disable_monitor()
            self._monitor.close()
            self._socket.close()
            self._on_close(self)

    def _rest(self) -> None:
        with suppress(zmq.ZMQError):  # libzmq has let go of the address when it gave up by itself
            self._socket.disconnect(self._address)

    def _let_go_of_the_last_one(self) -> None:
        # A DEALER goes on queueing for a connection that is gone until it hears of that from ZeroMQ's thread. It
        # listens when it is asked for events, and when it sends only every now and then. ZeroMQ's thread told it
        # before it made this connection.
        self._socket.getsockopt(zmq.EVENTS)

    def _drain(self) -> None:
        while int(self._monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            message = parse_monitor_message(self._monitor.recv_multipart())
            self._observe(int(message["event"]))

    def _observe(self, event: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._is_connected = self._was_connected = True
            self._let_go_of_the_last_one()
            self._unread.append("connected")
        elif event == zmq.EVENT_DISCONNECTED:
            if self._is_connected:
                self._unread.append("disconnected")
            self._is_connected = False
        else:
            self._hang_ups += not self._was_connected
            refused = event == zmq.EVENT_HANDSHAKE_FAILED_AUTH
            if refused or self._hang_ups == _HANG_UPS_TO_GIVE_UP:
                self._hang_ups = 0
                self._unread.append("auth_failed")
                self._rest()
