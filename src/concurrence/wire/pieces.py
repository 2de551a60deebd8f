"""Large messages in pieces, so that a long transfer looks like what it is: a peer that lives and is busy. Pure.

A message that takes longer than a lease, sent whole, is silence: over ZeroMQ nothing is seen of it before its last
byte, and what is sent after it, a ping as well, comes after it. In pieces each that arrives is a sign of life, and
each that is answered is one for the sender. No more than a few are under way, so that signs of life which pass by
need not wait for long, and so that neither end holds a second copy of what it sends or gets.

Many messages that leave one after the other keep a line busy as a large one does. So what leaves whole is counted,
and the message with which it would be too much goes in pieces as well, a small one in a single piece: its answer
says that all that left before it has come, too. Else small messages are not answered, and cost nothing.

Messages keep their order: none but signs of life pass by one that is under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, TypeAlias, TypeVar

from concurrence.errors import MessageTooLarge, ProtocolError
from concurrence.wire.buffers import flat, room_for, too_large
from concurrence.wire.codec import BATCH_BYTES, Frame, Parcel, encode, frame_size
from concurrence.wire.messages import MAX_FRAMES, Claimed, Message, Piece, PieceTaken, Ping, Pong

PIECE_BYTES = 256 * 1024
"""So much at once: also a line of 30 KB/s brings it within a lease of 10 s."""

WHOLE_BYTES = PIECE_BYTES * 3 // 4
"""So much leaves in messages that travel whole, together, before one must go in pieces.

The first piece then is smaller by that: so an answer never stands for more than a piece may have.
"""

MUCH_BYTES = BATCH_BYTES + 64 * 1024
"""What is larger keeps a line busy for a while; a message that consists of several seldom is."""

FIRST_WINDOW = 4
LEAST_WINDOW = 2
MOST_WINDOW = 32
"""Pieces that are under way before the first of them must have been answered. What is sent behind them waits for
them: so their number follows from how long that is."""

SHORT_WAIT = 0.1
LONG_WAIT = 0.3
"""Seconds that a piece waits for those before it, as its answer tells, with which more or fewer are under way."""

SLOW_ANSWER = 1.0
"""Seconds; with an answer that takes longer there are never more: the quickest may have had to wait as well."""

MAX_MESSAGE_FRAMES = 16
"""A message is no larger than so many of the largest frames."""

_MAX_BODIES = 1_024  # of a piece: many small frames
_LARGE_FRAME_BYTES = 32 * 1024  # smaller ones are handed out as bytes, as transports do

Send: TypeAlias = Callable[[Sequence[Frame]], bool]
"""Hands a transport message over without waiting; False if it is not taken now."""

_P = TypeVar("_P", bound=Message)


def is_sign(message: Message) -> bool:
    """Whether a message is a sign of life, which may pass by others.

    A claim is one of them: its chunk's results say the same, and who waits for it gives the work to others.
    """
    return isinstance(message, Ping | Pong | PieceTaken | Claimed)


def apart(parcels: Sequence[Parcel[_P]]) -> tuple[list[Parcel[_P]], list[Parcel[_P]]]:
    """The signs of life, and the others."""
    signs = [parcel for parcel in parcels if is_sign(parcel.message)]
    return signs, [parcel for parcel in parcels if not is_sign(parcel.message)]


def check_whole(parcels: Sequence[Parcel[Any]]) -> None:
    """Check what was put together from pieces.

    Raises:
        ProtocolError: It consists of pieces itself.
    """
    if any(isinstance(parcel.message, Piece | PieceTaken) for parcel in parcels):
        raise ProtocolError("a message that came in pieces consists of pieces")


class PieceSender:
    """What leaves in pieces on one connection, one message at a time.

    Args:
        max_frame_bytes: The largest frame that the other end takes.
        whole: Bytes of a message that may travel whole; infinite to have all do.
        piece: Bytes of a piece.
    """

    def __init__(self, max_frame_bytes: int, *, whole: float = WHOLE_BYTES, piece: int = PIECE_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._whole = whole
        self._piece = piece
        self._frames: list[memoryview] = []
        self._sizes: list[int] = []  # until they were sent
        self._index = self._offset = 0
        self._number = self._taken = 0
        self._unasked = 0  # bytes that left whole behind the last piece: no answer will tell that they have come
        self._ready: list[Frame] | None = None
        self._window = FIRST_WINDOW
        self._sent: deque[tuple[int, float]] = deque()  # pieces that were not answered, and when they left
        self._adapted = 0  # the newest piece that had left when the window was changed last
        self._quickest = inf  # seconds from a piece to its answer, at best

    def __repr__(self) -> str:
        state = f"frame {self._index} of {len(self._frames)}" if self.is_busy else "idle"
        return f"PieceSender({state}, {self._number - self._taken} under way)"

    @property
    def is_busy(self) -> bool:
        """Whether some of a message was not handed over yet."""
        return bool(self._frames) or self._ready is not None

    @property
    def is_settled(self) -> bool:
        """Whether everything was handed over, and has come."""
        return not self.is_busy and self._taken == self._number and not self._unasked

    @property
    def is_unasked(self) -> bool:
        """Whether something has left of which no answer will tell that it has come, unless a piece follows."""
        return self._unasked > 0

    @property
    def is_much(self) -> bool:
        """Whether so much is under way that it keeps the line busy."""
        return self.is_busy or (self._number - self._taken) * self._piece > MUCH_BYTES

    def is_large(self, frames: Sequence[Frame]) -> bool:
        """Whether a message is to travel in pieces, because of its size or because of what left before it.

        Raises:
            MessageTooLarge: It is beyond what the other end takes, and must not travel at all.
        """
        if self._whole == inf:
            return False
        size = sum(map(frame_size, frames))
        if size + self._unasked <= self._whole:
            return False
        self.check(frames)
        return True

    def check(self, frames: Sequence[Frame]) -> None:
        """Check that a message may travel.

        Raises:
            MessageTooLarge: It is beyond what the other end takes.
        """
        size = sum(map(frame_size, frames))
        largest = max(map(frame_size, frames), default=0)
        if largest > self._max_frame_bytes:
            raise too_large(largest, self._max_frame_bytes)
        if len(frames) > MAX_FRAMES or size > self._max_frame_bytes * MAX_MESSAGE_FRAMES:
            raise MessageTooLarge(
                f"a message of {len(frames):,} frames and {size:,} bytes exceeds the limit",
                hint="Split the task or its result, or raise [transport] max_frame on every machine.",
            )

    def went_whole(self, frames: Sequence[Frame]) -> None:
        """A message left that is not large."""
        if self._whole != inf:
            self._unasked += sum(map(frame_size, frames))

    def begin(self, frames: Sequence[Frame]) -> None:
        """Take a message, of which :meth:`go_on` hands over what may leave; not while another one is under way."""
        self._frames = [flat(frame) for frame in frames]
        self._sizes = [frame.nbytes for frame in self._frames]
        self._index = self._offset = 0

    def go_on(self, send: Send, now: float) -> bool:
        """Hand over as much as may be under way.

        Args:
            send: Hands over to the connection.
            now: The time, in seconds.

        Returns:
            False if the connection takes no more now.
        """
        while self.is_busy:
            if self._ready is None:
                if self._number - self._taken >= self._window:
                    return True
                self._ready = self._next()
            if not send(self._ready):
                return False
            self._ready = None
            self._sent.append((self._number, now))
        return True

    def taken(self, number: int, now: float) -> None:
        """The other end has everything up to this piece.

        Args:
            number: The piece.
            now: The time, in seconds.
        """
        if not self._taken < number <= self._number:
            return
        self._taken = number
        left = now
        while self._sent and self._sent[0][0] <= number:
            _, left = self._sent.popleft()
        self._quickest = min(self._quickest, now - left)
        self._adapt(number, now - left - self._quickest, now - left)

    def _adapt(self, number: int, wait: float, whole: float) -> None:
        """Have more or fewer under way; once it was too many, not again before the last change has shown."""
        if wait > LONG_WAIT and number > self._adapted:
            self._window = max(LEAST_WINDOW, self._window * 3 // 4)
            self._adapted = self._number
        elif wait < SHORT_WAIT and whole < SLOW_ANSWER and (not self._adapted or number > self._adapted):
            self._window = min(MOST_WINDOW, self._window + 1)
            self._adapted = self._adapted and self._number

    def reset(self) -> None:
        """The connection is lost, or begins anew: what is under way is dropped."""
        self._frames.clear()
        self._sizes.clear()
        self._ready = None
        self._sent.clear()
        self._taken = self._number
        self._unasked = 0

    def _next(self) -> list[Frame]:
        bodies: list[Frame] = []
        room = self._piece - self._unasked
        self._unasked = 0
        while self._index < len(self._frames) and room > 0 and len(bodies) < _MAX_BODIES:
            frame = self._frames[self._index]
            body = frame[self._offset : self._offset + room]
            bodies.append(body)
            room -= body.nbytes
            self._offset += body.nbytes
            if self._offset == frame.nbytes:
                self._index += 1
                self._offset = 0
        if self._index == len(self._frames):
            self._frames.clear()
        self._number += 1
        sizes, self._sizes = self._sizes, []
        return encode([Parcel(Piece(len(bodies), self._number, sizes), bodies)])


class PieceReceiver:
    """Puts together what comes in pieces on one connection; it holds at most one message that is not whole.

    Room for a frame is made when its first byte comes, and its length was checked.

    Args:
        max_frame_bytes: The largest frame that is taken.
    """

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._frames: list[Frame] = []
        self._sizes: Sequence[int] = ()
        self._total = 0
        self._partial: memoryview | None = None
        self._filled = 0
        self._number = 0

    def __repr__(self) -> str:
        return f"PieceReceiver({len(self._frames)} of {len(self._sizes)} frames)"

    @property
    def is_much(self) -> bool:
        """Whether what is coming keeps the line busy."""
        return bool(self._sizes) and self._total > MUCH_BYTES

    def take(self, parcel: Parcel[Piece]) -> list[Frame] | None:
        """A piece came.

        Returns:
            The frames of the message, if it is whole now.

        Raises:
            ProtocolError: It is not what comes next, or exceeds a limit.
        """
        message = parcel.message
        if message.sizes:
            self.reset()  # whoever begins anew has given up what it had begun before
            self._check(message.sizes)
            self._sizes = message.sizes
            self._total = sum(message.sizes)
        elif not self._sizes or message.number != self._number + 1:
            raise ProtocolError("a piece of a message came that is not the next one")
        self._number = message.number
        for body in parcel.frames:
            self._add(body)
        if len(self._frames) < len(self._sizes):
            return None
        frames = self._frames
        self.reset()
        return frames

    def reset(self) -> None:
        """Drop what is not whole: the connection is lost."""
        self._frames = []
        self._sizes = ()
        self._partial = None

    def _check(self, sizes: Sequence[int]) -> None:
        limit = self._max_frame_bytes
        if max(sizes) > limit or sum(sizes) > limit * MAX_MESSAGE_FRAMES:
            raise ProtocolError(
                f"a message of {sum(sizes):,} bytes with a frame of {max(sizes):,} exceeds the limit of {limit:,}"
            )

    def _add(self, body: Frame) -> None:
        size = frame_size(body)
        if self._partial is None:
            if len(self._frames) == len(self._sizes):
                raise ProtocolError("a message brings more frames than it announced")
            whole = self._sizes[len(self._frames)]
            if size == whole:
                self._frames.append(body)
                return
            if size > whole:
                raise ProtocolError("a frame is longer than was announced")
            self._partial, self._filled = room_for(whole), 0
        end = self._filled + size
        if not size or end > self._partial.nbytes:
            raise ProtocolError("a frame has other bytes than were announced")
        self._partial[self._filled : end] = body
        self._filled = end
        if end == self._partial.nbytes:
            large = self._partial
            self._frames.append(large if end >= _LARGE_FRAME_BYTES else bytes(large))
            self._partial = None
