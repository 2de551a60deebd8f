"""The master's end of the compute channel over ZeroMQ: one ROUTER that knows who every peer is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import zmq

from concurrence.transport.addresses import plain_address
from concurrence.transport.api import Origin, PeerId
from concurrence.transport.origins import Origins
from concurrence.transport.rejections import Rejections
from concurrence.transport.zmq_gate import Entrance, PeerName, peer_name
from concurrence.transport.zmq_sockets import payload, receive_parts, send_frames
from concurrence.wire.codec import Frame

_ASSIGNED_ID_LENGTH = 5
_MAX_DROPS_A_CALL = 64  # so that a peer that floods cannot keep the owner's loop in receive()


class ZMQServer:
    """A server that listens already.

    Args:
        socket: A bound ROUTER whose options are set.
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
        on_close: Callable[[ZMQServer], None],
    ) -> None:
        self._socket = socket
        self._address = address
        self._entrance = entrance
        self._max_frame_bytes = max_frame_bytes
        self._on_close = on_close
        self._origins = Origins()
        self._names: dict[PeerId, PeerName] = {}
        self._at: dict[PeerName, PeerId] = {}

    def __repr__(self) -> str:
        state = "closed" if self._socket.closed else f"{len(self._origins)} peers"
        return f"ZMQServer({self._address}, {state})"

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame that is sent or taken."""
        return self._max_frame_bytes

    @property
    def pollable(self) -> zmq.Socket[bytes]:
        """The ROUTER."""
        return self._socket

    @property
    def address(self) -> str:
        """Where it really listens, as ``tcp://host:port``."""
        return self._address

    @property
    def rejections(self) -> Rejections:
        """How often something was turned away here."""
        return self._entrance.rejections

    def receive(self) -> tuple[PeerId, list[Frame]] | None:
        """The next message of a peer that may send one, or None if there is none now."""
        for _ in range(_MAX_DROPS_A_CALL):
            parts = receive_parts(self._socket)
            if parts is None:
                return None
            peer = parts[0].bytes
            if self._accepts(peer, parts) and self._is_bounded(parts):
                return peer, [payload(part) for part in parts[1:]]
        return None

    def send(self, peer: PeerId, frames: Sequence[Frame]) -> bool:
        """Send without blocking; False if the peer is gone, takes no more, or lost its role.

        Raises:
            MessageTooLarge: A frame exceeds the limit.
        """
        origin = self._origins.get(peer)
        if origin is not None and self._entrance.keys.role_of(origin.key) is not origin.role:
            return False
        return send_frames(self._socket, (peer, *frames), self._max_frame_bytes)

    def hung_up(self) -> list[PeerId]:
        """The peers whose connections have ended since this was asked last."""
        ended = self._entrance.ended
        found: list[PeerId] = []
        while ended:
            peer = self._at.get(ended.popleft())
            if peer is not None:
                found.append(peer)
        return found

    def origin(self, peer: PeerId) -> Origin:
        """Who the peer is; see :meth:`IServer.origin`."""
        return self._origins.of(peer)

    def admit(self, peer: PeerId) -> None:
        """The peer has introduced itself: its connection is kept."""
        name = self._names.get(peer)
        if name:
            self._entrance.acquaint(name)

    def forget(self, peer: PeerId) -> None:
        """Drop what is kept about a connection; it is cut unless the peer introduces itself again."""
        self._origins.pop(peer, None)
        name = self._names.pop(peer, None)
        if name:
            if self._at.get(name) == peer:
                del self._at[name]
            self._entrance.estrange(name)

    def close(self) -> None:
        """Stop listening; what was sent to live peers is still flushed for a moment. Repeatable."""
        if not self._socket.closed:
            self._socket.close()
            self._on_close(self)

    def _accepts(self, peer: PeerId, parts: list[zmq.Frame]) -> bool:
        part = parts[1]
        key = str(part.get("User-Id"))
        origin = self._origins.get(peer)
        # The key is compared for every message: it is what makes an identity useless to anybody else.
        if origin is not None and origin.key == key and self._entrance.keys.role_of(key) is origin.role:
            return True
        role = self._entrance.keys.role_of(key)
        if len(peer) != _ASSIGNED_ID_LENGTH or peer[0] != 0:
            reason = "it chose its own identity"
        elif origin is not None and origin.key != key:
            reason = "it took another peer's identity"
        elif origin is not None or role is None:
            reason = "its key was revoked"
        else:
            name = self._names[peer] = peer_name(int(part.get("__fd")))
            self._at[name] = peer
            self._origins[peer] = Origin(role, key, plain_address(str(part.get("Peer-Address"))))
            return True
        self._drop(part, reason)
        return False

    def _is_bounded(self, parts: list[zmq.Frame]) -> bool:
        """ZeroMQ's own limit leaves room for encryption; what came in must also fit out again."""
        if all(len(part) <= self._max_frame_bytes for part in parts):
            return True
        self._drop(parts[1], "a frame exceeds the limit")
        return False

    def _drop(self, part: zmq.Frame, reason: str) -> None:
        self._entrance.rejections.dropped += 1
        self._entrance.log.reject(reason, plain_address(str(part.get("Peer-Address"))))
        self._entrance.cut(int(part.get("__fd")))
