"""The shared-memory cell between a slave and one worker: what the slave reads while user code holds the worker.

The worker writes which task runs and the results that it has not sent yet; the slave writes which chunks are
taken back. Nobody locks. Every word has one writer and is stored whole; what spans several words is read
between two looks at the *generation*, which the worker raises whenever it drops what was recorded.

| word | writer | meaning |
|---|---|---|
| 0 | worker | generation |
| 1 | worker | the current chunk |
| 2 | worker | index of the running task in it |
| 3 | worker | when that task started: seconds of the monotonic clock, as a double |
| 4 | worker | end of the recorded results, as an offset |
| 5 | slave | raised with every stop |
| 8... | slave | pairs of (chunk, index): from that index on, tasks of that chunk do not start |
| 24 | slave | the chunk of which a task is to be interrupted |
| 25 | slave | index of that task |
| 26 | slave | why: the status with which it ends |
| 27 | slave | raised with every interruption, after the words before it |
| 28 | worker | the last interruption that it carried out, by that number |
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import tempfile
import time
from typing import Final

from concurrence.workers.slot_state import Drained, Recorded, Running

CAPACITY: Final = 1024 * 1024
"""Bytes for results that are recorded and not sent."""

INTERRUPT: Final[int] = getattr(signal, "SIGRTMIN", getattr(signal, "SIGUSR2", signal.SIGTERM)) + (
    3 if hasattr(signal, "SIGRTMIN") else 0
)
"""The signal on which a worker looks whether it is to interrupt a task: where there are real-time signals one of
those, which programs and libraries leave alone."""

_HEADER_BYTES = 4096  # one page, so that the slave's words and the results never share one
_SIZE = _HEADER_BYTES + CAPACITY
_NONE = 0xFFFF_FFFF_FFFF_FFFF
_GENERATION, _CHUNK, _INDEX, _STARTED, _END, _STOPS = range(6)
_STOP_TABLE = 8
_STOP_ENTRIES = 8  # a worker has two chunks at a time; the others are for chunks that are over

_INTERRUPTED_CHUNK, _INTERRUPTED_INDEX, _REASON, _ASKED, _TAKEN = range(24, 29)

_ENTRY = struct.Struct("<QIB")
_ATTEMPTS = 3  # a worker that resets its cell faster than it can be read needs no help from the slave


def create_cell() -> int:
    """A file descriptor of fresh memory for a cell; it has no name, so that nothing is left behind."""
    try:
        descriptor = os.memfd_create("concurrence-cell", os.MFD_CLOEXEC)
    except (AttributeError, OSError):  # no Linux, or a sandbox without it
        descriptor, path = tempfile.mkstemp(prefix="concurrence-cell-")
        os.unlink(path)
    os.ftruncate(descriptor, _SIZE)
    return descriptor


class _Memory:
    """The mapped memory of a cell, as words of 64 bits and as bytes."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE)
        self._view = memoryview(self._memory)
        self._words = self._view[:_HEADER_BYTES].cast("Q")
        self._doubles = self._view[:_HEADER_BYTES].cast("d")

    def close(self) -> None:
        """Unmap the memory; the object is of no use afterwards."""
        self._words.release()
        self._doubles.release()
        self._view.release()
        self._memory.close()


class WorkerCell(_Memory):
    """The worker's end of its cell: implements :class:`concurrence.workers.api.ICell`.

    Args:
        descriptor: The memory; it may be closed afterwards.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._current = _NONE
        self._used = _HEADER_BYTES
        self._stops_seen = 0
        self._stop_index = _NONE
        self._words[_CHUNK] = _NONE
        self.clear()

    def begin_chunk(self, chunk: int) -> None:
        """A chunk starts: no task runs yet, nothing is recorded."""
        self.clear()
        self._current = chunk
        self._words[_CHUNK] = chunk
        self._look_for_stop()

    def begin(self, index: int) -> bool:
        """The task at ``index`` of the chunk is about to start; False if it was taken back and must not."""
        words = self._words
        if words[_STOPS] != self._stops_seen:
            self._look_for_stop()
        if index >= self._stop_index:
            words[_INDEX] = _NONE
            return False
        self._doubles[_STARTED] = time.monotonic()
        words[_INDEX] = index
        return True

    def record(self, counter: int, status: int, payload: bytes) -> bool:
        """Note a finished task's result where the slave can drain it; False if there is no room."""
        start = self._used
        data = start + 13
        end = data + len(payload)
        if end > _SIZE:
            return False
        memory = self._memory
        _ENTRY.pack_into(memory, start, counter, end - data, status)
        memory[data:end] = payload
        self._words[_END] = self._used = end
        return True

    def clear(self) -> None:
        """What was recorded has been sent; also no task runs."""
        words = self._words
        words[_INDEX] = _NONE
        # The end goes first: a reader that sees the new generation never sees old results, and one that
        # copies what is overwritten from here on sees that the generation changed.
        words[_END] = self._used = _HEADER_BYTES
        words[_GENERATION] += 1

    def asked_to_interrupt(self) -> int | None:
        """With which status the task that runs right now is to end early; None if it may go on, or knows."""
        words = self._words
        if words[_ASKED] == words[_TAKEN] or words[_INDEX] == _NONE:
            return None
        if words[_INTERRUPTED_CHUNK] != self._current or words[_INTERRUPTED_INDEX] != words[_INDEX]:
            return None  # it was meant for a task that has ended meanwhile
        return words[_REASON]

    def take_interruption(self) -> tuple[int, int]:
        """The task that runs is being interrupted: the slave need not ask again. Its chunk and index."""
        words = self._words
        words[_TAKEN] = words[_ASKED]
        return self._current, words[_INDEX]

    def is_at(self, place: tuple[int, int]) -> bool:
        """Whether the task at this chunk and index runs."""
        return place == (self._current, self._words[_INDEX])

    @property
    def started(self) -> float:
        """When the running task started, in seconds of the monotonic clock."""
        return self._doubles[_STARTED]

    def _look_for_stop(self) -> None:
        words = self._words
        self._stops_seen = words[_STOPS]
        self._stop_index = _NONE
        for position in range(_STOP_TABLE, _STOP_TABLE + 2 * _STOP_ENTRIES, 2):
            if words[position] == self._current:
                self._stop_index = words[position + 1]


class CellReader(_Memory):
    """The slave's end of a worker's cell. User code can scribble in it: nothing found here is trusted.

    Args:
        descriptor: The memory, fresh from :func:`create_cell`; it may be closed afterwards.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        for word in range(_TAKEN + 1):
            self._words[word] = _NONE if word in (_CHUNK, _INDEX) or _STOP_TABLE <= word < _ASKED else 0
        self._next_stop = 0
        self._generation = 0
        self._drained = _HEADER_BYTES

    def running(self) -> Running | None:
        """What the worker is at; None if it never began a chunk."""
        words = self._words
        for _ in range(_ATTEMPTS):
            generation, index = words[_GENERATION], words[_INDEX]
            chunk, started = words[_CHUNK], self._doubles[_STARTED]
            if words[_INDEX] == index and words[_GENERATION] == generation:
                if chunk == _NONE:
                    return None
                return Running(chunk, None, 0.0) if index == _NONE else Running(chunk, index, started)
        return Running(words[_CHUNK], None, 0.0)

    def stop_at(self, chunk: int, index: int = 0) -> None:
        """Take back every task of the chunk from that index on which has not started.

        The worker looks before each task. Only some milliseconds later can the slave tell from
        :meth:`running` what did start: the worker may be between looking and starting.
        """
        words = self._words
        position = self._stop_position(chunk)
        words[position] = _NONE
        words[position + 1] = index
        words[position] = chunk
        words[_STOPS] += 1

    def interrupt(self, chunk: int, index: int, reason: int) -> bool:
        """Ask the worker to interrupt a task; it looks when a signal tells it to.

        Args:
            chunk: The task's chunk.
            index: Its index in it.
            reason: The status with which it is to end.

        Returns:
            Whether a signal is needed: False if the worker has carried this out already.
        """
        words = self._words
        if (words[_INTERRUPTED_CHUNK], words[_INTERRUPTED_INDEX]) == (chunk, index):
            return words[_TAKEN] != words[_ASKED]
        # A late signal may come in between: without a chunk, nobody is meant.
        words[_INTERRUPTED_CHUNK] = _NONE
        words[_INTERRUPTED_INDEX], words[_REASON] = index, reason
        words[_INTERRUPTED_CHUNK] = chunk
        words[_ASKED] += 1
        return True

    def drain(self) -> Drained:
        """The results that were recorded since the last call and are still unsent, as far as can be known."""
        words = self._words
        for _ in range(_ATTEMPTS):
            generation, chunk, end = words[_GENERATION], words[_CHUNK], words[_END]
            start = self._drained if generation == self._generation else _HEADER_BYTES
            data = self._memory[start : min(end, _SIZE)]
            if words[_GENERATION] == generation:
                results, consumed = _split(data)
                self._generation, self._drained = generation, start + consumed
                return Drained(None if chunk == _NONE else chunk, results)
        return Drained(None, [])

    def _stop_position(self, chunk: int) -> int:
        for position in range(_STOP_TABLE, _STOP_TABLE + 2 * _STOP_ENTRIES, 2):
            if self._words[position] == chunk:
                return position
        self._next_stop = (self._next_stop + 1) % _STOP_ENTRIES
        return _STOP_TABLE + 2 * self._next_stop


def _split(data: bytes) -> tuple[list[Recorded], int]:
    results: list[Recorded] = []
    position, end = 0, len(data)
    while position + _ENTRY.size <= end:
        counter, length, status = _ENTRY.unpack_from(data, position)
        start = position + _ENTRY.size
        if start + length > end:
            break
        results.append(Recorded(counter, status, data[start : start + length]))
        position = start + length
    return results, position
