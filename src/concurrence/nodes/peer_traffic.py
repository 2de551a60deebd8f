"""What a master sends to its peers and gets from them: in order, large ones in pieces. Pure, given a sender."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from concurrence.scheduling.core import MasterCore
from concurrence.wire.codec import Frame, MessageDecoder, Parcel, encode, frame_size, in_batches
from concurrence.wire.messages import (
    Assign,
    Hello,
    Message,
    Output,
    Piece,
    PieceTaken,
    Progress,
    PushAccepted,
    Results,
    SlaveList,
    SystemResult,
    ToMaster,
    Welcome,
)
from concurrence.wire.pieces import PieceReceiver, PieceSender, apart, check_whole

MAX_WAITING = 10_000
"""Messages that wait for a large one to one peer: with more it is as if the connection took no more. Those are not
counted that windows and credit bound. Of progress and of lists of slaves the newest alone waits."""

MAX_WAITING_OUTPUT = 1_000
"""If so many of them wait, what tasks print is dropped."""

_BOUNDED = Assign | PushAccepted | Results | SystemResult

_SOON_BYTES = 16 * 1024  # are there at once, also on a thin line


class _Leaving:
    """What leaves for one peer: how much of it is not answered, and what waits for that.

    Args:
        pieces: Cuts what is large.
    """

    __slots__ = ("_counted", "_newest", "_ready", "_serial", "_waiting", "pieces")

    def __init__(self, pieces: PieceSender) -> None:
        self.pieces = pieces
        self._ready: deque[Sequence[Parcel[Message]]] = deque()
        self._waiting: dict[int, Parcel[Message]] = {}
        self._newest: dict[int, int] = {}  # of what supersedes what waits: the place, by system; 0 for slaves
        self._serial = self._counted = 0

    @property
    def is_busy(self) -> bool:
        return self.pieces.is_busy or bool(self._waiting) or bool(self._ready)

    def wait(self, batch: Sequence[Parcel[Message]]) -> bool:
        """Have a batch wait for what is under way; False if too much waits.

        Raises:
            MessageTooLarge: One of it must not travel.
        """
        self.pieces.check([frame for parcel in batch for frame in parcel.frames])
        for parcel in batch:
            message = parcel.message
            if isinstance(message, Output) and self._counted >= MAX_WAITING_OUTPUT:
                continue
            self._serial += 1
            if isinstance(message, Progress | SlaveList):
                what = message.system if isinstance(message, Progress) else 0
                self._waiting.pop(self._newest.get(what, 0), None)
                self._newest[what] = self._serial
            self._counted += _is_counted(parcel)
            self._waiting[self._serial] = parcel
        return self._counted <= MAX_WAITING

    def next_batch(self) -> Sequence[Parcel[Message]]:
        """What is to leave next of what waits; nothing if nothing does."""
        if not self._ready:
            self._ready.extend(in_batches(list(self._waiting.values())))
            self._waiting.clear()
            self._newest.clear()
        if not self._ready:
            return ()
        batch = self._ready.popleft()
        self._counted -= sum(map(_is_counted, batch))
        return batch

    def reset(self) -> None:
        """Drop everything."""
        self.pieces.reset()
        self._ready.clear()
        self._waiting.clear()
        self._newest.clear()
        self._counted = 0


def _is_counted(parcel: Parcel[Message]) -> bool:
    return not isinstance(parcel.message, _BOUNDED | Progress | SlaveList)


class PeerTraffic:
    """What all peers are sent: small messages at once, large ones in pieces, and what follows these behind them.

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
        self._leaving: dict[bytes, _Leaving] = {}
        self._coming: dict[bytes, PieceReceiver] = {}

    def __repr__(self) -> str:
        return f"PeerTraffic({len(self._leaving)} peers, {len(self._coming)} large messages come)"

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
        leaving = self._leaving.get(peer)
        if leaving is None:
            if self._core.swarm.registry.at(peer) is None:  # it is told why it is none of them, and no more
                return self._send_frames(peer, self._encode(batch))
            leaving = self._leaving[peer] = _Leaving(self._make_sender())
        if leaving.is_busy:
            return leaving.wait(batch)
        return self._hand_over(peer, leaving.pieces, batch, now)

    def _hand_over(self, peer: bytes, pieces: PieceSender, batch: Sequence[Parcel[Message]], now: float) -> bool:
        frames = self._encode(batch)
        if not pieces.is_large(frames):
            pieces.went_whole(frames)
            return self._send_frames(peer, frames)
        signs, others = apart(batch)
        if signs:  # in the large message they would come as late as that
            if not self._send_frames(peer, self._encode(signs)):
                return False
            if not others:
                return True
            frames = self._encode(others)
        pieces.begin(frames)
        return pieces.go_on(lambda piece: self._send_frames(peer, piece), now)

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
        leaving, coming = self._leaving.get(peer), self._coming.get(peer)
        if isinstance(message, PieceTaken):
            is_much = leaving is not None and leaving.pieces.is_much
        else:
            is_much = coming is not None and coming.is_much
        if not self._core.hears(peer, message, now, is_much=is_much):
            return []
        if isinstance(message, PieceTaken):
            if not self._go_on(peer, message.number, now):
                self._core.unreachable(peer, now)
            return []
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
            if pieces.is_busy:
                return True
            batch = leaving.next_batch()
            if not batch:
                return True
            if not self._hand_over(peer, pieces, batch, now):
                return False

    def _restart(self, peer: bytes) -> None:
        """A peer greets: it is told everything anew, and sends anew."""
        self._coming.pop(peer, None)
        leaving = self._leaving.get(peer)
        if leaving is not None:
            leaving.reset()

    def forget(self, peer: bytes) -> None:
        """A connection ended."""
        self._coming.pop(peer, None)
        self._leaving.pop(peer, None)

    def _encode(self, parcels: Sequence[Parcel[Message]]) -> list[Frame]:
        return encode(parcels)


def _size(parcels: Sequence[Parcel[Message]]) -> int:
    return sum(frame_size(frame) for parcel in parcels for frame in parcel.frames)
