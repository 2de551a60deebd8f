"""What is written on a worker's descriptors 1 and 2: by libraries in C, by programs that tasks start, by a crash.

What Python code prints never comes this way; see :mod:`concurrence.workers.output`. The slave reads the other end
of the pipe, so that the last words of a worker that dies are not lost with it.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from concurrence.wire.messages import Output
from concurrence.workers.output import MAX_TASK_CHARACTERS, drop_note, last_written
from concurrence.workers.slot_state import WorkerState

_READ_BYTES: Final = 65_536
_MAX_READS: Final = 8
_MAX_LINE: Final = 8_192


class Writer(NamedTuple):
    """The task that a text belongs to."""

    system: int
    counter: int


def writer_of(state: WorkerState | None, chunk: int | None, index: int | None) -> Writer | None:
    """The task that a worker is at.

    Args:
        state: The worker's.
        chunk: The number of the chunk that it is at.
        index: That of the task; None if it is between two, and then it is about to load the first, mostly.
    """
    running = next((each for each in state.chunks if each.number == chunk), None) if state is not None else None
    counter = running.counter_at(index or 0) if running is not None else None
    return Writer(running.parcel.message.system, counter) if running is not None and counter is not None else None


def log_fields(slave: str, writer: Writer | None) -> dict[str, object]:
    """What a log record about a worker and its task says besides its text."""
    task = {"system": f"{writer.system:016x}", "task": writer.counter} if writer is not None else {}
    return {"slave": slave, **task}


class RawOutput:
    """A pipe from one worker.

    Args:
        slave: The name that the lines are sent under.
        limit: How many characters of one task's output travel.

    Attributes:
        writing_end: For the worker; whoever hands it over closes it.

    Raises:
        OSError: Descriptors are used up.
    """

    def __init__(self, slave: str, *, limit: int = MAX_TASK_CHARACTERS) -> None:
        self._slave = slave
        self._limit = limit
        self._descriptor, self.writing_end = os.pipe()
        os.set_blocking(self._descriptor, False)
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._writer: Writer | None = None
        self._partial = ""
        self._taken = 0
        self._dropped = 0
        self.is_open = True

    def fileno(self) -> int:
        """The descriptor to poll, as long as it is open."""
        return self._descriptor

    def read(self, writer: Callable[[], Writer | None]) -> list[Output]:
        """What was written since the last call, or a fair share of it.

        Args:
            writer: Tells which task wrote it; asked only if there is anything. What none wrote goes to standard
                error here.
        """
        outputs: list[Output] = []
        for count in range(_MAX_READS if self.is_open else 0):
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                self.is_open = False
                break
            if not count:
                outputs += self._change(writer())
            outputs += self._take(self._decoder.decode(data))
            if len(data) < _READ_BYTES:
                break
        return outputs

    def end(self) -> list[Output]:
        """The task is over, and with it a line that has no end."""
        return self._change(None)

    def close(self) -> None:
        """Close this end."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self.is_open = False

    def _change(self, writer: Writer | None) -> list[Output]:
        if writer == self._writer:
            return []
        texts = [self._partial] if self._partial else []
        if self._dropped:
            texts.append(drop_note(self._dropped, self._limit))
        outputs = self._outputs(texts)
        self._writer, self._partial, self._taken, self._dropped = writer, "", 0, 0
        return outputs

    def _take(self, text: str) -> list[Output]:
        room = self._limit - self._taken
        if self._writer is not None and room <= 0:
            self._dropped += len(text)
            return []
        if self._writer is not None and len(text) > room:
            self._dropped += len(text) - room
            text = text[:room]
        self._taken += len(text)
        *lines, partial = (self._partial + text).split("\n")
        if len(partial) > _MAX_LINE:
            lines.append(partial)
            partial = ""
        self._partial = last_written(partial)
        return self._outputs([last_written(line) for line in lines])

    def _outputs(self, lines: list[str]) -> list[Output]:
        if not lines:
            return []
        text = "\n".join(lines)
        if self._writer is None:
            sys.stderr.write(f"{text}\n")
            return []
        return [Output(self._writer.system, self._writer.counter, "stderr", self._slave, text)]
