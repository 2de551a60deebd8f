"""The global work socket over ZeroMQ: a PUSH on the master, and a PULL on every slave.

Work that was pushed is not in safe hands until a slave says that it has it: what lies in the buffers of a
connection is lost with it. Both ends keep their queues as short as ZeroMQ can.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

import zmq

from concurrence.transport.rejections import Rejections
from concurrence.transport.zmq_gate import Entrance
from concurrence.transport.zmq_sockets import payload, receive_parts, send_frames
from concurrence.wire.codec import Frame

QUEUE_MESSAGES = 1
"""The bound of both ends' queues: the more work waits in one slave's queue, the less can go to idle ones."""

KERNEL_BUFFER_BYTES = 64 * 1024
"""The size of the kernel's buffers below those queues; its own default would hide thousands of chunks."""

# A pausing slave takes what is on its way until none came for so long. Work that keeps coming ends that too.
_QUIET_MS = 5
_PAUSE_SECONDS = 0.1


class ZMQWorkQueue:
    """The master's end, which listens already.

    Args:
        socket: A bound PUSH whose options are set.
        address: Where it listens.
        entrance: Who may connect, and what the gate counts.
        max_frame_bytes: The largest frame that is sent.
        on_close: Called once, after the socket is closed.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        address: str,
        entrance: Entrance,
        max_frame_bytes: int,
        on_close: Callable[[ZMQWorkQueue], None],
    ) -> None:
        self._socket = socket
        self._address = address
        self._entrance = entrance
        self._revision = entrance.keys.revision
        self._max_frame_bytes = max_frame_bytes
        self._on_close = on_close

    def __repr__(self) -> str:
        return f"ZMQWorkQueue({self._address}{', closed' if self._socket.closed else ''})"

    @property
    def pollable(self) -> zmq.Socket[bytes]:
        """The PUSH; writable when a slave pulls and the queue has room."""
        return self._socket

    @property
    def address(self) -> str:
        """Where it really listens."""
        return self._address

    @property
    def rejections(self) -> Rejections:
        """How often something was turned away here."""
        return self._entrance.rejections

    def send(self, frames: Sequence[Frame]) -> bool:
        """Push without blocking; False if no slave pulls or the queue is full.

        After a key was revoked, all pullers are cut off and must show their keys again: a PUSH cannot tell
        which of its connections is whose. What was on its way to them is lost.

        Raises:
            MessageTooLarge: A frame exceeds the limit.
        """
        if self._revision != self._entrance.keys.revision:
            self._revision = self._entrance.keys.revision
            self._entrance.cut_all()
        return send_frames(self._socket, frames, self._max_frame_bytes)

    def tend(self) -> None:
        """Nothing: ZeroMQ's own thread lets slaves come and go."""

    def close(self) -> None:
        """Close, dropping what nobody pulled. Repeatable."""
        if not self._socket.closed:
            self._socket.close(linger=0)
            self._on_close(self)


class ZMQWorkSource:
    """A slave's end, which connects already.

    Args:
        socket: A PULL whose options are set; not connected yet.
        address: Where the work comes from.
        on_close: Called once, after the socket is closed.
    """

    def __init__(self, socket: zmq.Socket[bytes], address: str, on_close: Callable[[ZMQWorkSource], None]) -> None:
        self._socket = socket
        self._address = address
        self._on_close = on_close
        self._saved: deque[list[Frame]] = deque()
        self._is_paused = False
        self._socket.connect(address)

    def __repr__(self) -> str:
        state = "closed" if self._socket.closed else "paused" if self._is_paused else "pulling"
        return f"ZMQWorkSource({self._address}, {state})"

    @property
    def pollable(self) -> zmq.Socket[bytes]:
        """The PULL. Drain once after :meth:`pause`: what that saves does not make it readable."""
        return self._socket

    def receive(self) -> list[Frame] | None:
        """The next piece of work, or None if there is none now."""
        return self._saved.popleft() if self._saved else self._received()

    def pause(self) -> None:
        """Disconnect, so that no more work is queued towards this slave.

        What arrives within a moment is kept for :meth:`receive`: it would be lost otherwise, as is what
        takes longer. This may wait for some milliseconds.
        """
        if self._is_paused:
            return
        self._is_paused = True
        deadline = time.monotonic() + _PAUSE_SECONDS
        while time.monotonic() < deadline and self._socket.poll(_QUIET_MS):
            work = self._received()
            if work is not None:
                self._saved.append(work)
        self._socket.disconnect(self._address)
        # The connection ends only when the socket is used once more, and a paused one may not be for long.
        self._socket.poll(_QUIET_MS)

    def resume(self) -> None:
        """Connect again."""
        if self._is_paused:
            self._is_paused = False
            self._socket.connect(self._address)

    def close(self) -> None:
        """Close. Repeatable."""
        if not self._socket.closed:
            self._socket.close(linger=0)
            self._on_close(self)

    def _received(self) -> list[Frame] | None:
        parts = receive_parts(self._socket)
        return None if parts is None else [payload(part) for part in parts]
