"""The results of a chunk on their way out of a worker, and what a result may have so that it can travel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from concurrence.errors import PackingError
from concurrence.wire.codec import MAX_HEADER_BYTES, Frame, Parcel, encode_results, frame_size
from concurrence.wire.messages import MAX_FRAMES, RETURNED, ChunkResults, PackedResult, PackedTask
from concurrence.workers.link import MAX_MESSAGE_BYTES

if TYPE_CHECKING:  # only for their types: workers.api brings the component framework, a worker needs none
    from concurrence.workers.api import ICell
    from concurrence.workers.output import OutputCapture
    from concurrence.workers.worktime import WorkTime

MAX_PENDING_BYTES = 512 * 1024
"""Results beyond this leave before the chunk is done."""
MAX_RESULT_BYTES: Final = MAX_MESSAGE_BYTES - MAX_HEADER_BYTES
MAX_RESULT_PARTS: Final = MAX_FRAMES - 16
"""What the result of one task may have, so that a message with it keeps within the limits of the link."""


class Results:
    """The results of a chunk that have not left yet."""

    def __init__(self, chunk: int, cell: ICell, output: OutputCapture, time: WorkTime) -> None:
        self._chunk = chunk
        self._cell = cell
        self._output = output
        self._time = time
        self._counters: list[int] = []
        self._statuses = bytearray()
        self._entries: list[PackedResult] = []
        self._buffers: list[Frame] = []
        self._size = 0
        time.begin_chunk()

    def begin(self) -> None:
        """The first task starts: what was before, loading the function, is not its work."""
        self._time.begin()

    def add(self, counter: int, status: int, payload: bytes, buffers: Sequence[Frame] = ()) -> None:
        """Add the result of one task; it leaves at once if it is large, or the cell has no room for it."""
        size = len(payload) + sum(map(frame_size, buffers))
        if self._counters and self._size + size > MAX_RESULT_BYTES:
            self.flush()  # each fits, but both may not
        self._counters.append(counter)
        self._statuses.append(status)
        self._size += size
        if buffers:
            self._entries.append(PackedResult(payload, len(buffers)))
            self._buffers.extend(buffers)
            self.flush()
            return
        self._entries.append(PackedResult(payload))
        if self._size > MAX_PENDING_BYTES or not self._cell.record(counter, status, payload):
            self.flush()

    def add_returned(self, tasks: Sequence[PackedTask]) -> None:
        """Add tasks that were taken back before they started."""
        self._counters.extend(task.counter for task in tasks)
        self._statuses.extend(bytes([RETURNED]) * len(tasks))
        self._entries.extend([PackedResult(b"")] * len(tasks))

    def flush(self) -> None:
        """Send what there is."""
        if not self._counters:
            self._cell.clear()
            return
        time = self._time
        busy = time.ran()
        spent = time.take()
        frames = [encode_results(self._entries), *self._buffers]
        message = ChunkResults(len(frames), self._chunk, self._counters, bytes(self._statuses), busy, *spent)
        time.handled()
        self._output.send(Parcel(message, frames))
        time.sent()
        self._cell.clear()
        self._counters, self._entries, self._buffers = [], [], []
        self._statuses = bytearray()
        self._size = 0


def check_size(payload: bytes, buffers: Sequence[Frame]) -> None:
    """Check that a result can travel.

    Raises:
        PackingError: It cannot.
    """
    size = len(payload) + sum(map(frame_size, buffers))
    if size > MAX_RESULT_BYTES or len(buffers) > MAX_RESULT_PARTS:
        raise PackingError(
            f"the result is too large: {size:,} bytes in {1 + len(buffers):,} parts; "
            f"at most {MAX_RESULT_BYTES:,} bytes in {1 + MAX_RESULT_PARTS:,} parts can be sent",
            hint="Return less at once: split the task, join many small arrays, or leave large data in files.",
        )
