"""Messages of one connection: what comes is put together, large frames where they will stay."""

from __future__ import annotations

from concurrence.transport.tcp_frames import FrameReader
from concurrence.transport.tcp_link import Link
from concurrence.wire.codec import Frame

READ_BYTES = 64 * 1024
"""What is read at once, but of a large frame."""


def read_buffer() -> memoryview:
    """A buffer for :meth:`Stream.read`; many streams may share it."""
    return memoryview(bytearray(READ_BYTES))


class Stream:
    """What comes on a connection.

    Args:
        link: The connection.
        max_frame_bytes: The largest frame that is taken.
    """

    def __init__(self, link: Link, max_frame_bytes: int) -> None:
        self.link = link
        self._reader = FrameReader(max_frame_bytes)

    def read(self, buffer: memoryview) -> tuple[list[list[Frame]], bool]:
        """Read once: the messages that are whole now, and whether there may be more of which poll does not tell.

        Raises:
            ConnectionLost: The connection ended.
            ProtocolError: What came is no message, or a frame exceeds the limit.
        """
        room = self._reader.room()
        if room is not None and len(room) >= READ_BYTES:
            count = self.link.receive_into(room)
            if count is None:
                return [], False
            return self._reader.filled(count), self.link.may_hold_more(count, len(room))
        count = self.link.receive_into(buffer)
        if count is None:
            return [], False
        return self._reader.feed(buffer[:count]), self.link.may_hold_more(count, len(buffer))
