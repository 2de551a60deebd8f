"""Messages as bytes on a TCP connection: how many frames, how long each is, and then the frames. Pure.

A message is its number of frames in 4 bytes, the length of each in 8, all big-endian, and the frames themselves.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from concurrence.errors import MessageTooLarge, ProtocolError
from concurrence.transport.api import LARGE_FRAME_BYTES
from concurrence.wire.buffers import flat, room_for, too_large
from concurrence.wire.codec import Frame
from concurrence.wire.messages import MAX_FRAMES

_COUNT_BYTES = 4
_SIZE_BYTES = 8


def message_parts(frames: Sequence[Frame], max_frame_bytes: int) -> tuple[list[memoryview], int]:
    """What goes over the wire for a message, without joining it, and how many bytes that are.

    Args:
        frames: The message. Large frames are not copied: they must not change until they are gone.
        max_frame_bytes: The largest frame that the other end takes.

    Raises:
        MessageTooLarge: A frame exceeds the limit. The other end would cut the connection, for ever again.
    """
    views = [flat(frame) for frame in frames]
    sizes = [view.nbytes for view in views]
    largest = max(sizes)
    if largest > max_frame_bytes:
        raise too_large(largest, max_frame_bytes)
    if len(sizes) > MAX_FRAMES:
        raise MessageTooLarge(f"a message of {len(sizes):,} frames exceeds the limit of {MAX_FRAMES:,}")
    head = struct.pack(f"!I{len(sizes)}Q", len(sizes), *sizes)
    return [memoryview(head), *(view for view in views if view.nbytes)], len(head) + sum(sizes)


class FrameReader:
    """Turns the bytes of one connection into messages, however they are cut.

    It holds at most one message that is not whole yet, and makes room for a frame only when its turn comes and
    its length was checked.

    Args:
        max_frame_bytes: The largest frame that is taken.
    """

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._part = bytearray()  # of a count, of the lengths, or of a small frame
        self._need = _COUNT_BYTES
        self._large: memoryview | None = None
        self._filled = 0
        self._sizes: Sequence[int] = ()
        self._awaits_sizes = False
        self._frames: list[Frame] = []

    @property
    def is_between_messages(self) -> bool:
        """Whether nothing of a message has come that is not whole."""
        return not (self._part or self._frames or self._sizes or self._awaits_sizes)

    def room(self) -> memoryview | None:
        """Where the bytes of a large frame that is coming belong, so that they need not be copied; or None."""
        return None if self._large is None else self._large[self._filled :]

    def filled(self, count: int) -> list[list[Frame]]:
        """So many bytes were put into :meth:`room`; the message that is whole now, if there is one."""
        self._filled += count
        messages: list[list[Frame]] = []
        if self._large is not None and self._filled == self._need:
            self._take_large(self._large, messages)
        return messages

    def feed(self, data: memoryview) -> list[list[Frame]]:
        """The next bytes; returns the messages that are whole now. ``data`` may be used again afterwards.

        Raises:
            ProtocolError: A number of frames or a length exceeds its limit.
        """
        messages: list[list[Frame]] = []
        at, end = 0, len(data)
        while True:
            if self._large is not None:
                count = min(end - at, self._need - self._filled)
                self._large[self._filled : self._filled + count] = data[at : at + count]
                at += count
                self._filled += count
                if self._filled < self._need:
                    return messages
                self._take_large(self._large, messages)
                continue
            missing = self._need - len(self._part)
            if end - at < missing:
                self._part += data[at:end]
                return messages
            item = bytes(data[at : at + missing])
            if self._part:
                item = bytes(self._part) + item
                self._part.clear()
            at += missing
            self._take(item, messages)

    def _take(self, item: bytes, messages: list[list[Frame]]) -> None:
        if self._sizes:
            self._frames.append(item)
            self._next(messages)
        elif self._awaits_sizes:
            self._awaits_sizes = False
            self._sizes = struct.unpack(f"!{len(item) // _SIZE_BYTES}Q", item)
            largest = max(self._sizes)
            if largest > self._max_frame_bytes:
                raise ProtocolError(f"a frame of {largest:,} bytes exceeds the limit of {self._max_frame_bytes:,}")
            self._next(messages)
        else:
            count = int.from_bytes(item, "big")
            if not 0 < count <= MAX_FRAMES:
                raise ProtocolError(f"a message of {count:,} frames is empty or exceeds the limit")
            self._need = count * _SIZE_BYTES
            self._awaits_sizes = True

    def _take_large(self, large: memoryview, messages: list[list[Frame]]) -> None:
        self._large = None
        self._frames.append(large)
        self._next(messages)

    def _next(self, messages: list[list[Frame]]) -> None:
        position = len(self._frames)
        if position == len(self._sizes):
            messages.append(self._frames)
            self._frames, self._sizes, self._need = [], (), _COUNT_BYTES
            return
        self._need = self._sizes[position]
        if self._need >= LARGE_FRAME_BYTES:
            self._large, self._filled = room_for(self._need), 0
