"""Messages of several frames over a stream socket pair: the blocking end of a worker, the other of its slave.

On the wire a message is the number of its frames (32 bits), the length of each (64 bits), and then their
bytes. The frames of a message that fits the reader's buffer arrive as ``bytes``; those of a larger one as
views of memory of their own, which the kernel filled.
"""

from __future__ import annotations

import enum
import socket
import struct
import threading
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from concurrence.errors import MessageTooLarge, ProtocolError
from concurrence.wire.codec import Frame
from concurrence.wire.messages import MAX_FRAMES

MAX_MESSAGE_BYTES: Final = 2 * 1024 * 1024 * 1024
"""A worker sends no more than this in one message, and its slave makes no room for more."""

_TRUSTED_BYTES = 1 << 40  # what comes from the slave was checked when it came from the master

_COUNT = struct.Struct("<I")
_BUFFER_BYTES = 256 * 1024  # about what the kernel holds for a socket pair: one call empties it
_MAX_PARTS = 1024  # what the kernel takes in one call
_JOINED_BYTES = 64 * 1024  # below this one copy is cheaper than one more part
_MAX_READS = 64  # per call of receive(), so that one worker cannot keep the slave's loop

Parts = list[bytes | memoryview]


class _MessageReader:
    """Cuts a stream of bytes into messages.

    Ask :meth:`next_message`; when it returns None, call :meth:`read`.

    Args:
        limit: The largest message, in bytes, for which room is made.
    """

    def __init__(self, limit: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = limit
        self._view = memoryview(bytearray(_BUFFER_BYTES))
        self._start = self._end = 0
        self._frames: list[Frame] = []  # of a message that is too large for the buffer
        self._unfilled: deque[memoryview] = deque()  # the memory of its frames that is still to be filled

    def read(self, connection: socket.socket) -> tuple[int, bool]:
        """Receive once; the number of bytes, 0 at the end of the stream, and whether the kernel may have more.

        Raises:
            OSError: As the socket says.
        """
        if self._unfilled:
            spaces = list(islice(self._unfilled, _MAX_PARTS))
            count = connection.recvmsg_into(spaces)[0]
            self._filled(count)
            return count, True
        self._make_room()
        space = self._view[self._end :]
        count = connection.recv_into(space)
        self._end += count
        return count, count == len(space)

    def next_message(self) -> list[Frame] | None:
        """The next whole message, or None if more bytes are needed.

        Raises:
            ProtocolError: The bytes are no message, or one beyond the limits; the stream is of no more use.
        """
        if self._frames:
            return self._take_large()
        available = self._end - self._start
        if available < _COUNT.size:
            return None
        count: int = _COUNT.unpack_from(self._view, self._start)[0]
        if not 0 < count <= MAX_FRAMES:
            raise ProtocolError(f"a message announces {count} frames; from 1 to {MAX_FRAMES} are possible")
        head = _COUNT.size + 8 * count
        if available < head:
            return None
        lengths: tuple[int, ...] = struct.unpack_from(f"<{count}Q", self._view, self._start + _COUNT.size)
        total = sum(lengths)
        if total > self._limit:
            raise ProtocolError(f"a message announces {total} bytes; the limit is {self._limit}")
        if available >= head + total:
            return self._take_whole(lengths, head)
        if head + total > len(self._view) - self._start:
            self._start += head
            self._begin_large(lengths)
            return self._take_large()
        return None

    def _take_whole(self, lengths: Sequence[int], head: int) -> list[Frame]:
        position = self._start + head
        frames: list[Frame] = []
        for length in lengths:
            frames.append(bytes(self._view[position : position + length]))
            position += length
        self._start = position
        return frames

    def _take_large(self) -> list[Frame] | None:
        if self._unfilled:
            return None
        frames, self._frames = self._frames, []
        return frames

    def _begin_large(self, lengths: Sequence[int]) -> None:
        """Give every frame memory of its own, and move there what has already come."""
        for length in lengths:
            frame = memoryview(bytearray(length))
            taken = min(length, self._end - self._start)
            frame[:taken] = self._view[self._start : self._start + taken]
            self._start += taken
            self._frames.append(frame)
            if taken < length:
                self._unfilled.append(frame[taken:])

    def _filled(self, count: int) -> None:
        while count:
            first = self._unfilled[0]
            if count < len(first):
                self._unfilled[0] = first[count:]
                return
            count -= len(first)
            self._unfilled.popleft()

    def _make_room(self) -> None:
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == len(self._view):
            rest = bytes(self._view[self._start : self._end])
            if not self._start:  # only the head of a message of very many frames fills the whole buffer
                self._view = memoryview(bytearray(4 * len(self._view)))
            self._view[: len(rest)] = rest
            self._start, self._end = 0, len(rest)


def _parts(frames: Sequence[Frame], limit: int) -> Parts:
    """What goes over the wire for a message.

    Raises:
        MessageTooLarge: It is beyond the limit; nothing was sent.
    """
    lengths = [frame.nbytes if isinstance(frame, memoryview) else len(frame) for frame in frames]
    total = sum(lengths)
    if total > limit or not 0 < len(lengths) <= MAX_FRAMES:
        raise MessageTooLarge(
            f"a message of {len(lengths)} frames and {total} bytes cannot be sent: "
            f"at most {MAX_FRAMES} frames and {limit} bytes can",
            hint="Return or pass less at once: split the task, or leave large data in files that it names.",
        )
    head = struct.pack(f"<I{len(lengths)}Q", len(lengths), *lengths)
    if total <= _JOINED_BYTES:
        return [b"".join((head, *frames))]
    return [head, *frames]


def _unsent(parts: Sequence[bytes | memoryview], sent: int) -> Parts:
    """What is left of the parts after so many of their bytes."""
    for position, part in enumerate(parts):
        size = part.nbytes if isinstance(part, memoryview) else len(part)
        if sent < size:
            first = memoryview(part).cast("B")[sent:] if sent else part
            return [first, *parts[position + 1 :]]
        sent -= size
    return []


class BlockingLink:
    """A worker's end: sends and receives whole messages, and waits as long as it takes.

    Args:
        connection: One end of a stream socket pair, in blocking mode; the link owns it.
        limit: The largest message to send, in bytes.
    """

    def __init__(self, connection: socket.socket, limit: int = MAX_MESSAGE_BYTES) -> None:
        self._connection = connection
        self._limit = limit
        self._reader = _MessageReader(_TRUSTED_BYTES)
        self._sending = threading.Lock()  # what a task prints may come from a thread that it started

    def send(self, frames: Sequence[Frame]) -> None:
        """Send a message; from any thread.

        Raises:
            MessageTooLarge: It is beyond the limit; nothing was sent.
            OSError: The slave is gone.
        """
        parts = _parts(frames, self._limit)
        with self._sending:
            if len(parts) == 1:
                self._connection.sendall(parts[0])
                return
            while parts:
                parts = _unsent(parts, self._connection.sendmsg(parts[:_MAX_PARTS]))

    def receive(self) -> list[Frame] | None:
        """The next message; None when the slave has closed its end.

        Raises:
            ProtocolError: What came is no message.
        """
        while (message := self._reader.next_message()) is None:
            try:
                count, _ = self._reader.read(self._connection)
            except ConnectionError:
                return None
            if not count:
                return None
        return message

    def close(self) -> None:
        """Close this end."""
        self._connection.close()


class LinkState(enum.Enum):
    """What can still be done with a :class:`NonBlockingLink`."""

    OPEN = "open"
    ENDED = "ended"
    """The other end is closed: nothing more comes, and what is sent is dropped."""
    CLOSED = "closed"


class NonBlockingLink:
    """A slave's end, for its poll loop. What the kernel does not take is kept, bounded by the slave's credit.

    Args:
        connection: One end of a stream socket pair; the link owns it and makes it non-blocking.
        limit: The largest message to receive, in bytes.
    """

    def __init__(self, connection: socket.socket, limit: int = MAX_MESSAGE_BYTES) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._reader = _MessageReader(limit)
        self._unsent: deque[Parts] = deque()
        self.state = LinkState.OPEN

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._connection.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether :meth:`flush` is to be called when the descriptor is writable."""
        return bool(self._unsent)

    def send(self, frames: Sequence[Frame]) -> None:
        """Send a message, or keep what the kernel does not take now; dropped unless the link is open."""
        parts = _parts(frames, _TRUSTED_BYTES)
        if self.state is LinkState.OPEN:
            self._unsent.append(parts)
            if len(self._unsent) == 1:
                self.flush()

    def flush(self) -> None:
        """Send what the kernel takes now."""
        try:
            while self._unsent:
                parts = self._unsent[0]
                left = _unsent(parts, self._connection.sendmsg(parts[:_MAX_PARTS]))
                if left:
                    self._unsent[0] = left
                else:
                    self._unsent.popleft()
        except BlockingIOError:
            return
        except ConnectionError:
            # What the worker sent before it died can still be received: only sending is over.
            self._unsent.clear()

    def receive(self) -> list[list[Frame]]:
        """All messages that have come, or a fair share of them; sets :attr:`state` at the end of the stream.

        Raises:
            ProtocolError: What came is no message; the link is of no more use.
        """
        messages: list[list[Frame]] = []
        for _ in range(_MAX_READS if self.state is LinkState.OPEN else 0):
            try:
                count, is_more = self._reader.read(self._connection)
            except BlockingIOError:
                break
            except ConnectionError:
                count, is_more = 0, False
            if not count:
                self.state = LinkState.ENDED
                self._unsent.clear()
                break
            while (message := self._reader.next_message()) is not None:
                messages.append(message)
            if not is_more:
                break
        return messages

    def close(self) -> None:
        """Close this end."""
        self.state = LinkState.CLOSED
        self._unsent.clear()
        self._connection.close()
