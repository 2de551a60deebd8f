"""What tasks print and log, attributed to the task and sent to its owner, bounded in size."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from concurrence.tasks.loading import clean_text
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import FromWorker, Output

Send = Callable[[Parcel[FromWorker]], None]
_Line = tuple[int | None, str, str, str]  # counter, stream, name and text

MAX_TASK_CHARACTERS = 65_536
"""How much of one task's output travels; of the rest, only how much it was."""
TAIL_LINES = 20
"""How many of its last lines a task's fault carries."""
_MAX_TAIL_LINE = 1_000
_MAX_PARTIAL = 32
_SEND_INTERVAL = 0.05


class OutputCapture:
    """Takes what is printed and logged while a task runs, and sends it on.

    Without a running task, text goes where it went before.

    Args:
        slave: The name that the lines are sent under.
        limit: How many characters of one task's output travel.

    Attributes:
        name_of_task: Tells the name of the task that runs; asked once a task that writes.
    """

    def __init__(self, slave: str, *, limit: int = MAX_TASK_CHARACTERS) -> None:
        self.slave = slave
        self.name_of_task: Callable[[], str] = str
        self._limit = limit
        # Reentrant: a signal handler may print in the middle of a print.
        self._lock = threading.RLock()
        self._send: Send | None = None
        self._is_sending = False
        self._system = 0
        self._counter: int | None = None
        self._name: str | None = None
        self._is_dirty = False
        # By stream and thread: print() writes a line in several parts.
        self._partial: dict[tuple[str, int], str] = {}
        self._pending: list[_Line] = []
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._taken = 0
        self._dropped = 0
        self._last_sent = 0.0
        self._timer: threading.Timer | None = None
        self._stdout = CapturedStream(self, "stdout", sys.stdout)
        self._stderr = CapturedStream(self, "stderr", sys.stderr)
        self._handler = _CapturingHandler(self)
        self._level_before: int | None = None
        self._survives_forks = False
        self.after_write: Callable[[], None] | None = None  # called once, when the author's next write is done

    def install(self) -> None:
        """Take the place of the standard streams, and of what logging does with records from INFO."""
        self._stdout.original, self._stderr.original = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self._stdout, self._stderr
        root = logging.getLogger()
        self._level_before = root.level
        root.addHandler(self._handler)
        if root.level > logging.INFO:
            root.setLevel(logging.INFO)
        if not self._survives_forks:
            self._survives_forks = True
            os.register_at_fork(after_in_child=self._after_fork)

    def uninstall(self) -> None:
        """Put everything back."""
        self.end_chunk()
        if sys.stdout is self._stdout:
            sys.stdout = self._stdout.original
        if sys.stderr is self._stderr:
            sys.stderr = self._stderr.original
        root = logging.getLogger()
        root.removeHandler(self._handler)
        if self._level_before is not None:
            root.setLevel(self._level_before)

    def begin_chunk(self, system: int, send: Send) -> None:
        """What is written from now on belongs to this system."""
        with self._lock:
            self._send = send
            self._system = system
            self._counter = None
            self._last_sent = 0.0  # the first line of a chunk leaves at once

    def begin_task(self, counter: int | None) -> None:
        """What is written from now on belongs to this task; None for the task system itself."""
        if self._is_dirty:
            self._end_task()
        self._counter = counter
        self._name = None

    def end_chunk(self) -> None:
        """The last task of the chunk is over."""
        with self._lock:
            self._end_task()
            self.flush()
            self._send = None
            self._counter = None

    @property
    def is_active(self) -> bool:
        """Whether what is written belongs to a task or task system."""
        return self._send is not None

    def flush(self) -> None:
        """Send all whole lines that were not sent yet.

        Within a send, as in a signal handler that interrupted one, nothing happens: the link takes one message
        at a time, and whoever is sending sends what was left meanwhile.
        """
        if not self._pending:
            return
        with self._lock:
            if not self._is_sending:
                self._send_now(None)

    def send(self, parcel: Parcel[FromWorker]) -> None:
        """Send a message of the chunk's executor, after the output so far and never in the middle of it."""
        with self._lock:
            self._send_now(parcel)

    def _send_now(self, parcel: Parcel[FromWorker] | None) -> None:
        """Send what is pending, the message, and what became pending meanwhile; the lock is held."""
        self._is_sending = True
        try:
            self._send_pending()
            if parcel is not None and self._send is not None:
                self._send(parcel)
                self._send_pending()
        finally:
            self._is_sending = False

    def _send_pending(self) -> None:
        while self._pending:
            pending, self._pending = self._pending, []
            send = self._send
            if send is None:
                return
            self._last_sent = time.monotonic()
            for counter, stream, name, text in _joined(pending):
                send(Parcel(Output(self._system, counter, stream, self.slave, text, name)))

    def tail(self) -> str:
        """The last lines of the running task."""
        if not self._is_dirty:
            return ""
        with self._lock:
            lines = [*self._tail, *(text[:_MAX_TAIL_LINE] for text in self._partial.values())]
        return "\n".join(lines[-TAIL_LINES:])

    def write(self, stream: str, text: str) -> bool:
        """Take text that was written; False if no task runs."""
        with self._lock:
            if self._send is None:
                return False
            self._is_dirty = True
            place = stream, threading.get_ident()
            lines = (self._partial.pop(place, "") + clean_text(text)).split("\n")
            # A carriage return writes over the line, as progress bars do.
            if partial := last_written(lines.pop()):
                self._keep_partial(place, partial)
            for line in lines:
                self._take(stream, last_written(line))
            if lines:
                self._send_or_wait()
            return True

    def write_record(self, text: str) -> None:
        """Take one log record."""
        self.write("log", text.rstrip("\n") + "\n")

    def _keep_partial(self, place: tuple[str, int], partial: str) -> None:
        """Keep an unfinished line, no longer than what may still travel of it."""
        room = max(self._limit - self._taken, _MAX_TAIL_LINE)
        if len(partial) > room:
            self._dropped += len(partial) - room
            partial = partial[:room]
        if len(self._partial) >= _MAX_PARTIAL:  # threads that end without ending their lines
            oldest = next(iter(self._partial))
            self._take(oldest[0], self._partial.pop(oldest))
        self._partial[place] = partial

    def _take(self, stream: str, line: str) -> None:
        self._tail.append(line[:_MAX_TAIL_LINE])
        room = self._limit - self._taken
        size = len(line) + 1
        if room > 0:
            self._keep(stream, line[:room])
        self._taken += min(size, max(room, 0))
        self._dropped += max(size - max(room, 0), 0)

    def _keep(self, stream: str, line: str) -> None:
        if self._name is None:
            self._name = ""  # the author's code that tells it may write as well
            self._name = self.name_of_task() if self._counter is not None else ""
        self._pending.append((self._counter, stream, self._name, line))

    def _end_task(self) -> None:
        with self._lock:
            for (stream, _), text in self._partial.items():
                self._take(stream, text)
            if self._dropped:
                self._keep("stderr", drop_note(self._dropped, self._limit))
            self._partial.clear()
            self._tail.clear()
            self._taken = self._dropped = 0
            self._is_dirty = False

    def _send_or_wait(self) -> None:
        if time.monotonic() - self._last_sent > _SEND_INTERVAL and not self._is_sending:
            self.flush()
        elif self._timer is None and self._pending:
            # The task may be silent for an hour after this line; the next flush would come too late.
            self._timer = threading.Timer(_SEND_INTERVAL, self._on_timer)
            self._timer.daemon = True
            self._timer.start()

    def _after_fork(self) -> None:
        # A process that a task forked shares the worker's link, and must never write on it.
        self._lock = threading.RLock()
        self._send = None
        self._is_sending = False
        self._timer = None
        self._pending.clear()

    def _on_timer(self) -> None:
        with self._lock:
            self._timer = None
            self.flush()


class CapturedStream(io.TextIOBase):
    """A text file in the place of ``sys.stdout`` or ``sys.stderr``.

    Args:
        capture: Takes what is written while a task runs.
        stream: ``stdout`` or ``stderr``.
        original: Takes what is written otherwise.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, capture: OutputCapture, stream: str, original: TextIO) -> None:
        self._capture = capture
        self._stream = stream
        self.original = original
        self.mode = "w"
        self.buffer = _ByteStream(self)

    @property
    def name(self) -> str:
        """As of the standard streams."""
        return f"<{self._stream}>"

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def write(self, text: str, /) -> int:
        """Take text."""
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text and not self._capture.write(self._stream, text):
            self.original.write(text)
        if (after := self._capture.after_write) is not None:
            self._capture.after_write = None
            after()
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:
        """Take texts."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Nothing to do for a task's output, which leaves by itself; otherwise flush what is underneath."""
        if not self._capture.is_active:
            self.original.flush()

    def fileno(self) -> int:
        """The descriptor of the stream underneath, for programs that a task starts; its lines arrive as well."""
        return self.original.fileno()

    def close(self) -> None:
        """A task cannot close the streams for those that run after it."""


class _ByteStream(io.RawIOBase):
    """What ``sys.stdout.buffer`` is for."""

    def __init__(self, stream: CapturedStream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        content = bytes(data)
        self._stream.write(content.decode("utf-8", "replace"))
        return len(content)

    def close(self) -> None:
        """Stays open, like the stream above it."""


class _CapturingHandler(logging.Handler):
    """Sends log records the way of the output."""

    def __init__(self, capture: OutputCapture) -> None:
        super().__init__(logging.INFO)
        self._capture = capture
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        try:
            self._capture.write_record(self.format(record))
        except Exception:  # noqa: BLE001  # a bad format string is the author's: logging reports it on stderr
            self.handleError(record)


def drop_note(dropped: int, limit: int) -> str:
    """The line that stands for what does not travel.

    Args:
        dropped: How many characters that is.
        limit: How many travel.
    """
    return (
        f"[{dropped} more characters were dropped: {limit} of one task's output travel; "
        "let it return the rest, or write a file]"
    )


def last_written(line: str) -> str:
    """What is seen of a line after its carriage returns, each of which writes over what was before."""
    return line.rstrip("\r").rpartition("\r")[2] if "\r" in line else line


def _joined(pending: list[_Line]) -> list[_Line]:
    """Consecutive lines of one task and stream, as one text each."""
    joined: list[tuple[int | None, str, str, list[str]]] = []
    for counter, stream, name, line in pending:
        if joined and joined[-1][:2] == (counter, stream):
            joined[-1][3].append(line)
        else:
            joined.append((counter, stream, name, [line]))
    return [(counter, stream, name, "\n".join(lines)) for counter, stream, name, lines in joined]
