"""A node's messages to and from its master: in order, in as few as can be, large ones in pieces.

Pure but for the connection that it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from concurrence.errors import ProtocolError
from concurrence.nodes.master_link import MasterLink
from concurrence.nodes.sending import Substitute, send_all
from concurrence.wire.codec import Frame, MessageDecoder, Parcel, encode
from concurrence.wire.messages import Message, Piece, PieceTaken, Ping
from concurrence.wire.pieces import PieceReceiver, PieceSender, apart, check_whole, is_sign

M = TypeVar("M", bound=Message)


class IConnection(Protocol):
    """What it sends on: a transport's client."""

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame that may be sent, and that comes."""
        ...

    def send(self, frames: Sequence[Frame]) -> bool:
        """Send without blocking; False if nothing more is taken now."""
        ...


class Exchange(Generic[M]):
    """What passes between a node and its master.

    Args:
        connection: What it sends on.
        link: The state of the link: it hears of everything that comes, and its own messages pass by large ones.
        decoder: Of what the master sends.
        substitute: What is sent in the place of what is too large.
        pieces: Cuts large messages; None for pieces of the usual size.

    Attributes:
        is_stuck: Whether the connection takes no more now: go on when it is writable.
    """

    def __init__(
        self,
        connection: IConnection,
        link: MasterLink,
        decoder: MessageDecoder[M],
        substitute: Substitute,
        pieces: PieceSender | None = None,
    ) -> None:
        self.is_stuck = False
        self._connection = connection
        self._link = link
        self._decoder = decoder
        self._substitute = substitute
        self._leaving = pieces or PieceSender(connection.max_frame_bytes)
        self._coming = PieceReceiver(connection.max_frame_bytes)
        self._blocked: list[Parcel[Message]] = []

    @property
    def is_blocked(self) -> bool:
        """Whether something that was collected has not left."""
        return bool(self._blocked) or self._leaving.is_busy

    @property
    def is_settled(self) -> bool:
        """Whether everything has left, and is known to have come there."""
        return not self._blocked and self._leaving.is_settled

    def settle(self, now: float) -> bool:
        """Whether everything has left, and is known to have come there; if nothing would tell, ask.

        Args:
            now: The time.
        """
        if not self.is_blocked and self._leaving.is_unasked:
            self._leaving.begin(self._encode([Parcel(Ping())]))  # a piece is answered, whatever is in it
            self.is_stuck = not self._leaving.go_on(self._connection.send, now)
        return self.is_settled

    def lost(self) -> None:
        """The connection is another one, or none: what was under way is gone."""
        self._blocked = []
        self._leaving.reset()
        self._coming.reset()

    # --- receiving ---

    def received(self, frames: list[Frame], now: float) -> list[Parcel[M]]:
        """A transport message came: the messages that are whole now.

        Args:
            frames: What came.
            now: The time.

        Raises:
            ProtocolError: It is none that this link may carry.
        """
        parcels = self._decode(frames)
        if len(parcels) == 1 and isinstance(parcels[0].message, Piece):
            return self._take_piece(parcels[0].message, parcels[0].frames, now)
        for parcel in parcels:
            if isinstance(parcel.message, Piece):
                raise ProtocolError("a piece of a message must come alone")
            if isinstance(parcel.message, PieceTaken):
                self._link.message(parcel.message, now)
                self._leaving.taken(parcel.message.number, now)
        return [parcel for parcel in parcels if not isinstance(parcel.message, PieceTaken)]

    def _take_piece(self, piece: Piece, bodies: Sequence[Frame], now: float) -> list[Parcel[M]]:
        self._link.message(piece, now)
        whole = self._coming.take(Parcel(piece, bodies))
        outgoing = self._link.outgoing
        if outgoing and isinstance(outgoing[-1], PieceTaken):
            outgoing.pop()
        outgoing.append(PieceTaken(piece.number))
        if whole is None:
            return []
        parcels = self._decode(whole)
        check_whole(parcels)
        return parcels

    # --- sending ---

    def send(
        self, collect: Callable[[], list[Parcel[Any]]], now: float, urgent: Callable[[], Sequence[Message]] = tuple
    ) -> None:
        """Send what may leave now.

        Args:
            collect: Gives what is to be told besides the link's own messages; asked only if it can leave.
            now: The time.
            urgent: Gives what of that may pass by a large message.
        """
        self.is_stuck = False
        link = self._link
        if not link.ready:
            # Whatever was under way is void: it begins anew with a greeting.
            self._blocked = []
            self._leaving.reset()
        if self._leaving.is_busy:
            self.is_stuck = not self._leaving.go_on(self._connection.send, now)
        if self._leaving.is_busy or not link.ready:
            if link.ready:
                link.outgoing += urgent()
            self._send_signs(now)
            return
        parcels: list[Parcel[Message]] = [Parcel(message) for message in link.outgoing]
        link.outgoing.clear()
        parcels += self._blocked or collect()
        if len(parcels) > 1:
            signs, others = apart(parcels)  # behind a large message they would come as late as that
            parcels = signs + others
        if parcels:
            self._blocked = send_all(lambda batch: self._send(batch, now), parcels, self._substitute)
            if not self._blocked:
                link.sent(now)

    def _send_signs(self, now: float) -> None:
        """Greetings, and signs of life that need not wait for the end of a large message."""
        outgoing = self._link.outgoing
        if not outgoing:
            return
        if self._connection.send(self._encode([Parcel(message) for message in outgoing])):
            outgoing.clear()
            self._link.sent(now)
        else:
            self.is_stuck = True

    def _send(self, parcels: Sequence[Parcel[Message]], now: float) -> bool:
        if self._leaving.is_busy:
            return False
        frames = self._encode(parcels)
        if self._leaving.is_large(frames):
            signs, others = apart(parcels)
            if signs:  # in the large message they would come as late as that
                if not self._connection.send(self._encode(signs)):
                    self.is_stuck = True
                    return False
                if not others:
                    return True
                frames = self._encode(others)
            self._leaving.begin(frames)
            self.is_stuck = not self._leaving.go_on(self._connection.send, now)
            return True
        self.is_stuck = not self._connection.send(frames)
        if not self.is_stuck and not all(is_sign(parcel.message) for parcel in parcels):
            self._leaving.went_whole(frames)
        return not self.is_stuck

    def _encode(self, parcels: Sequence[Parcel[Message]]) -> list[Frame]:
        return encode(parcels)

    def _decode(self, frames: list[Frame]) -> list[Parcel[M]]:
        return self._decoder.decode(frames)
