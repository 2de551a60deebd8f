"""What a master sends to its peers and gets from them: in order, large ones in pieces. Pure, given a sender."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from concurrence.scheduling.core import MasterCore
from concurrence.wire.codec import Frame, MessageDecoder, Parcel, encode, frame_size, in_batches
from concurrence.wire.messages import Hello, Message, Piece, PieceTaken, ToMaster, Welcome
from concurrence.wire.pieces import PieceReceiver, PieceSender, apart, check_whole

MAX_WAITING = 1_000
"""Messages that wait for a large one to one peer: with more it is as if the connection took no more."""

_SOON_BYTES = 16 * 1024  # are there at once, also on a thin line


class _Leaving:
    """What leaves for one peer to which a large message was sent."""

    __slots__ = ("pieces", "waiting")

    def __init__(self, pieces: PieceSender) -> None:
        self.pieces = pieces
        self.waiting: deque[list[Frame]] = deque()

    @property
    def is_busy(self) -> bool:
        return self.pieces.is_busy or bool(self.waiting)


class PeerTraffic:
    """The large messages of all peers; others pass straight through.

    Args:
        core: Hears of signs of life, and of peers that take no more.
        decoder: Of what was put together.
        max_frame_bytes: The largest frame that is sent or taken.
        send: Sends a transport message to a peer, or says False.
        make_sender: Makes what cuts messages; None for pieces of the usual size.
    """

    def __init__(
        self,
        core: MasterCore,
        decoder: MessageDecoder[ToMaster],
        max_frame_bytes: int,
        send: Callable[[bytes, Sequence[Frame]], bool],
        make_sender: Callable[[], PieceSender] | None = None,
    ) -> None:
        self._core = core
        self._decoder = decoder
        self._max_frame_bytes = max_frame_bytes
        self._send_frames = send
        self._make_sender = make_sender or (lambda: PieceSender(max_frame_bytes))
        self._measure = self._make_sender()
        self._leaving: dict[bytes, _Leaving] = {}
        self._coming: dict[bytes, PieceReceiver] = {}

    def send(self, peer: bytes, parcels: Sequence[Parcel[Message]], now: float) -> bool:
        """Send messages to a peer; False if it is gone or takes no more.

        Args:
            peer: The peer.
            parcels: The messages, in order.
            now: The time, in seconds.

        Raises:
            MessageTooLarge: One of them must not travel.
        """
        leaving = self._leaving.get(peer)
        if len(parcels) > 1 and isinstance(parcels[0].message, Welcome) and _size(parcels) > _SOON_BYTES:
            # Alone, because its receiver greets again before long, and then all that follows it is sent again.
            if not self.send(peer, parcels[:1], now):
                return False
            parcels = parcels[1:]
        batches = list(in_batches(parcels))
        if len(batches) > 1 or (leaving is not None and leaving.is_busy):
            signs, others = apart(parcels)
            if signs and not self._send_frames(peer, self._encode(signs)):
                return False
            batches = list(in_batches(others))
        return all(self._send_batch(peer, batch, now) for batch in batches)

    def _send_batch(self, peer: bytes, batch: Sequence[Parcel[Message]], now: float) -> bool:
        frames = self._encode(batch)
        is_large = self._measure.is_large(frames)
        leaving = self._leaving.get(peer)
        if is_large:
            signs, others = apart(batch)
            if signs:  # in the large message they would come as late as that
                if not self._send_frames(peer, self._encode(signs)):
                    return False
                frames = self._encode(others)
            if leaving is None:
                leaving = self._leaving[peer] = _Leaving(self._make_sender())
        if leaving is not None and leaving.is_busy:
            leaving.waiting.append(frames)
            return len(leaving.waiting) <= MAX_WAITING
        if leaving is None or not is_large:
            return self._send_frames(peer, frames)
        leaving.pieces.begin(frames)
        return leaving.pieces.go_on(lambda piece: self._send_frames(peer, piece), now)

    def take(self, peer: bytes, parcel: Parcel[Hello | Piece | PieceTaken], now: float) -> list[Parcel[ToMaster]]:
        """A message of a peer that concerns large ones came, or a greeting, with which everything begins anew.

        Returns:
            The messages that are whole now; a greeting is one.

        Raises:
            ProtocolError: It is not what comes next, or exceeds a limit.
        """
        message = parcel.message
        if isinstance(message, Hello):
            self._restart(peer)
            return [Parcel(message)]
        if not self._core.hears(peer, message, now):
            return []
        if isinstance(message, PieceTaken):
            if not self._go_on(peer, message.number, now):
                self._core.unreachable(peer, now)
            return []
        coming = self._coming.get(peer)
        if coming is None:
            coming = self._coming[peer] = PieceReceiver(self._max_frame_bytes)
        frames = coming.take(Parcel(message, parcel.frames))
        if frames is None:
            return []
        del self._coming[peer]
        whole = self._decoder.decode(frames)
        check_whole(whole)
        return whole

    def _go_on(self, peer: bytes, number: int, now: float) -> bool:
        """A peer has pieces up to this one: more may leave; False if it is gone or takes no more."""
        leaving = self._leaving.get(peer)
        if leaving is None:
            return True
        pieces = leaving.pieces
        pieces.taken(number, now)
        while True:
            if not pieces.go_on(lambda piece: self._send_frames(peer, piece), now):
                return False
            if pieces.is_busy or not leaving.waiting:
                return True
            frames = leaving.waiting.popleft()
            if self._measure.is_large(frames):
                pieces.begin(frames)
            elif not self._send_frames(peer, frames):
                return False

    def _restart(self, peer: bytes) -> None:
        """A peer greets: it is told everything anew, and sends anew."""
        self._coming.pop(peer, None)
        leaving = self._leaving.get(peer)
        if leaving is not None:
            leaving.pieces.reset()
            leaving.waiting.clear()

    def forget(self, peer: bytes) -> None:
        """A connection ended."""
        self._coming.pop(peer, None)
        self._leaving.pop(peer, None)

    def _encode(self, parcels: Sequence[Parcel[Message]]) -> list[Frame]:
        return encode(parcels)


def _size(parcels: Sequence[Parcel[Message]]) -> int:
    return sum(frame_size(frame) for parcel in parcels for frame in parcel.frames)
