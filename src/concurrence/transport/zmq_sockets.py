"""What all ZeroMQ ends share: options, binding, and sending and receiving of frames."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Sequence

import zmq

from concurrence.errors import AddressInUse, ConcurrenceError, UsageError
from concurrence.transport.addresses import split_address
from concurrence.transport.api import LARGE_FRAME_BYTES
from concurrence.transport.security import KeyPair
from concurrence.wire.buffers import too_large
from concurrence.wire.codec import Frame

LINGER_MS = 1000
"""How long a closed end goes on flushing; long enough for a goodbye, too short to hold up an exit."""

SEALING_BYTES = 64
"""An upper bound of what CURVE adds to a frame."""

# A bound in messages for one peer. Nothing is dropped when it is reached: sending says False, and reading
# stops until TCP slows the sender down. Memory is bounded in bytes by the credit of the layers above.
_QUEUE_MESSAGES = 1000

# Below this a copy is cheaper than telling pyzmq's own thread when the memory is free again.
_COPIED_BYTES = 128 * 1024

_LATER = zmq.NOBLOCK | zmq.SNDMORE


def set_common_options(socket: zmq.Socket[bytes], max_frame_bytes: int) -> None:
    """Set the options that every end of the compute channel has; before it binds or connects.

    ZeroMQ's own heartbeats stay off: an answer queues behind a large frame, so that a slow link would count
    as dead. Nodes ping each other in small messages of their own; TCP keep-alive finds idle dead links.
    """
    socket.linger = LINGER_MS
    socket.sndhwm = _QUEUE_MESSAGES
    socket.rcvhwm = _QUEUE_MESSAGES
    socket.maxmsgsize = max_frame_bytes + SEALING_BYTES
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = 10
    socket.tcp_keepalive_intvl = 5
    socket.tcp_keepalive_cnt = 3
    socket.handshake_ivl = 10_000


def secure_server(socket: zmq.Socket[bytes], keys: KeyPair, domain: str) -> None:
    """Let a socket accept CURVE only, and ask the gate about every key, in the name of ``domain``."""
    socket.curve_server = True
    socket.curve_secretkey = keys.secret.encode("ascii")
    socket.curve_publickey = keys.public.encode("ascii")
    socket.zap_domain = domain.encode("ascii")
    # Without this, libzmq lets everybody in when the gate is not there to be asked.
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def secure_client(socket: zmq.Socket[bytes], keys: KeyPair, server_key: str) -> None:
    """Let a socket speak CURVE only, and only to the server that has ``server_key``."""
    socket.curve_serverkey = server_key.encode("ascii")
    socket.curve_publickey = keys.public.encode("ascii")
    socket.curve_secretkey = keys.secret.encode("ascii")


def reconnect_intervals(chance: Callable[[], float]) -> tuple[int, int]:
    """The shortest and the longest time between two attempts to connect, in milliseconds.

    Each socket has its own. Those that lost a master together, or wait for one together, then come to it over some
    time: libzmq alone varies an interval by no more than the shortest one.

    Args:
        chance: Numbers from 0 to below 1.
    """
    return 50 + int(300 * chance()), 1_500 + int(1_500 * chance())


def set_reconnecting(socket: zmq.Socket[bytes]) -> None:
    """How the connecting side tries again: soon, then less and less often."""
    socket.reconnect_ivl, socket.reconnect_ivl_max = reconnect_intervals(random.random)
    socket.ipv6 = True  # which still connects to IPv4 addresses


def bind(socket: zmq.Socket[bytes], address: str) -> str:
    """Listen, and tell where.

    Raises:
        AddressInUse: Another process listens there.
        UsageError: The address is malformed or not this machine's.
    """
    host, port = split_address(address)
    socket.ipv6 = ":" in host or host == "*"
    socket.backlog = 1024  # a whole swarm reconnects at once when its master comes back
    try:
        socket.bind(f"tcp://{host}:{port or '*'}")
    except zmq.ZMQError as error:
        raise _binding_failed(address, error) from error
    endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
    return f"tcp://{host}:{endpoint.rpartition(':')[2]}"


def send_frames(socket: zmq.Socket[bytes], frames: Sequence[Frame], max_frame_bytes: int) -> bool:
    """Send one message without blocking; False if it is not taken now.

    Large frames are not copied: they must not change until they are gone.

    Raises:
        MessageTooLarge: A frame exceeds the limit. The other end would cut the connection, for ever again.
    """
    # Everything is checked before the first frame goes, because half a message cannot be taken back.
    parts = [_sendable(frame, max_frame_bytes) for frame in frames]
    try:
        for frame, copy in parts[:-1]:
            socket.send(frame, _LATER, copy=copy)
        socket.send(parts[-1][0], zmq.NOBLOCK, copy=parts[-1][1])
    except zmq.Again:
        return False
    except zmq.ZMQError as error:
        if error.errno != zmq.EHOSTUNREACH:
            raise
        return False
    return True


def receive_parts(socket: zmq.Socket[bytes]) -> list[zmq.Frame] | None:
    """The next message without blocking, or None if there is none."""
    try:
        part = socket.recv(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return None
    parts = [part]
    while part.more:
        part = socket.recv(copy=False)  # never waits: messages arrive whole
        parts.append(part)
    return parts


def payload(part: zmq.Frame) -> Frame:
    """What a received frame holds; large ones are views into ZeroMQ's own memory."""
    return part.bytes if len(part) < LARGE_FRAME_BYTES else part.buffer


def _sendable(frame: Frame, max_frame_bytes: int) -> tuple[Frame, bool]:
    if isinstance(frame, bytes):
        size = len(frame)
    else:
        size = frame.nbytes
        frame = frame if frame.c_contiguous else frame.tobytes()
    if size > max_frame_bytes:
        raise too_large(size, max_frame_bytes)
    return frame, size < _COPIED_BYTES


def _binding_failed(address: str, error: zmq.ZMQError) -> ConcurrenceError:
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(
            f"cannot listen on {address}: the address is in use",
            hint="Choose another port with --port, or stop the process that listens there.",
        )
    reason = str(error.strerror or error)
    if error.errno == errno.EACCES:
        return UsageError(f"cannot listen on {address}: {reason}", hint="Choose a port above 1023 with --port.")
    return UsageError(
        f"cannot listen on {address}: {reason}", hint="Choose an address of this machine, such as 127.0.0.1."
    )
