"""One worker process as its slave holds it: its link, its cell, and what is kept in case that it dies."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from concurrence.wire.codec import MessageDecoder, Parcel, decoder_from_worker, encode
from concurrence.wire.messages import MAX_FRAMES, FromWorker, Output, ToWorker
from concurrence.workers.cell import CellReader, create_cell
from concurrence.workers.limits import SystemLimits, WatchLimits
from concurrence.workers.link import LinkState, NonBlockingLink
from concurrence.workers.processes import Template
from concurrence.workers.raw_output import RawOutput
from concurrence.workers.slot_state import Seen

KIND: Final = "worker"
ENTRY: Final = "concurrence.workers.worker:main"
NOTICE: Final = 0.005
"""Seconds within which a worker that is not between two instructions has taken notice of a stop."""

_TAIL_LINES = 50  # of a crash, the frames that matter come first
_TAIL_CHARACTERS = 32_768


class WorkerSettings(NamedTuple):
    """How workers are to be.

    Attributes:
        limits: What the system enforces on them.
        watch: What the slave enforces on them.
        max_growth: By how many bytes a worker may grow before it is replaced; 0 for any number.
        folder: Where their temporary files go; empty for the system's place.
    """

    limits: SystemLimits = SystemLimits()
    watch: WatchLimits = WatchLimits()
    max_growth: int = 0
    folder: str = ""


class Used(NamedTuple):
    """Bytes of memory that were used in a chunk."""

    chunk: int | None
    size: int


class WorkerHandle:
    """A worker that was started.

    Args:
        number: Its number.
        slave: The slave's name.
        template: What forks it.
        settings: What it may do.

    Attributes:
        pid: Its process id, once it is forked.
        offence: Why it was killed, if the slave did that for what it used.
        used: The most memory that it used with what its tasks started, as far as was seen, in the present chunk.

    Raises:
        OSError: Memory or descriptors are used up.
        WorkerStartFailed: There is no template.
    """

    def __init__(self, number: int, slave: str, template: Template, settings: WorkerSettings) -> None:
        self.number = number
        self.pid: int | None = None
        self.offence = ""
        self.used = Used(None, 0)
        self.heard = 0.0
        self.outbox: list[Parcel[ToWorker]] = []
        self.stops: dict[int, float] = {}
        self._tail: deque[tuple[int | None, str]] = deque(maxlen=_TAIL_LINES)
        self._decoder: MessageDecoder[FromWorker] = decoder_from_worker()
        spec = msgspec.msgpack.encode(
            {"entry": ENTRY, "slave": slave, "limits": settings.limits, "max_growth": settings.max_growth}
        )
        memory = create_cell()
        try:
            self.cell = CellReader(memory)
            ours, theirs = socket.socketpair()
        except BaseException:
            os.close(memory)
            raise
        self.link = NonBlockingLink(ours)
        descriptors = [theirs.detach(), memory]
        try:
            self.raw = RawOutput(slave)
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            self.link.close()
            self.cell.close()
            raise
        try:
            template.start_child(number, KIND, spec, [*descriptors, self.raw.writing_end])
        except BaseException:
            self.close()
            raise

    def flush(self) -> None:
        """Send what is in the outbox, as one message if that keeps within its limits."""
        if not self.outbox:
            return
        parcels, self.outbox = self.outbox, []
        if sum(len(parcel.frames) for parcel in parcels) < MAX_FRAMES:
            self.link.send(encode(parcels))
        else:
            for parcel in parcels:
                self.link.send(encode([parcel]))

    def receive(self, now: float) -> list[Parcel[FromWorker]]:
        """What the worker sent, or a fair share of it.

        Raises:
            ProtocolError: It sent something else; it cannot be trusted any more.
        """
        parcels: list[Parcel[FromWorker]] = []
        for frames in self.link.receive():
            parcels += self._decoder.decode(frames)
        if parcels:
            self.heard = now
        return parcels

    def keep_output(self, output: Output) -> None:
        """Keep the last lines, to tell them if the worker dies of the task."""
        for line in output.text[-_TAIL_CHARACTERS:].splitlines()[-_TAIL_LINES:]:
            self._tail.append((output.counter, line[-1_000:]))

    def look(self, now: float) -> Seen:
        """What its cell says now."""
        running = self.cell.running()
        drained = self.cell.drain()
        stopped = {chunk for chunk, since in self.stops.items() if now - since >= NOTICE}
        if running is None:
            return Seen(None, None, drained, stopped)
        elapsed = time.monotonic() - running.started if running.index is not None else 0.0
        return Seen(running.chunk, running.index, drained, stopped, elapsed)

    def forget_stops(self, chunks: Iterable[int]) -> None:
        """Drop the stops of chunks other than these."""
        self.stops = {chunk: self.stops[chunk] for chunk in chunks if chunk in self.stops}

    def note_used(self, size: int) -> None:
        """Keep how much memory it uses now, with what its tasks started, if that is the most of this chunk."""
        running = self.cell.running()
        chunk = running.chunk if running is not None else None
        if chunk != self.used.chunk or size > self.used.size:
            self.used = Used(chunk, size)

    def last_output(self) -> str:
        """The last lines of the task that wrote last."""
        counter = self._tail[-1][0] if self._tail else None
        return "\n".join(line for writer, line in self._tail if writer == counter)

    @property
    def is_open(self) -> bool:
        """Whether the worker may still send."""
        return self.link.state is LinkState.OPEN

    def close(self) -> None:
        """Close the link and the pipe, and unmap the cell."""
        self.link.close()
        self.raw.close()
        self.cell.close()
