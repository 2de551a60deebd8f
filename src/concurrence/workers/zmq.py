"""The task manager of homogeneous swarms: in addition pulls chunks from the master's work queue."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from concurrence.component import ComponentManager
from concurrence.errors import ProtocolError
from concurrence.transport.api import IWorkSource
from concurrence.wire.codec import Frame, Parcel, decoder_to_slave
from concurrence.wire.messages import Assign, Claimed, Drain, Pause, ToSlave
from concurrence.workers.generic import GenericTaskManager

_log = logging.getLogger(__name__)


class ZMQTaskManager(GenericTaskManager):
    """Also pulls chunks from the work queue, while fewer than its credit are here.

    Args:
        manager: The manager that the component belongs to.
    """

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self._source: IWorkSource | None = None
        self._is_pulling = self._is_draining = self._is_paused = False
        self._decoder = decoder_to_slave()

    def attach(self, source: IWorkSource | None) -> None:
        """Pull from this queue from now on; None to pull no more."""
        self._pull_no_more()
        self._source = source
        self._is_paused = False  # the master says so again if it is to be
        self._changed()

    def handle(self, parcel: Parcel[ToSlave]) -> None:
        """A message from the master; one that drains also ends the pulling, and what was pulled is given back."""
        super().handle(parcel)
        match parcel.message:
            case Drain(is_on=is_on):
                self._is_draining = is_on
                self._changed()
                if is_on:
                    self._pause()
            case Pause(paused=True) if not self._is_paused:
                self._is_paused = True
                self._changed()
                self._pause()
            case Pause(paused=False) if self._is_paused:
                self._is_paused = False
                if self._source is not None:
                    self._source.resume()
                self._changed()
            case _:
                return

    def stop(self) -> None:
        """End all workers and leave nothing behind; the queue is closed by whoever opened it."""
        self._pull_no_more()
        self._source = None
        super().stop()

    def _changed(self) -> None:
        # A readable queue that nobody reads would keep the poll loop spinning: it is watched only while
        # there is room.
        if (
            self._source is None
            or self._is_stopped
            or self._slots.room <= 0
            or self._is_draining
            or self._is_paused
        ):
            self._pull_no_more()
        elif not self._is_pulling:
            self._is_pulling = True
            self._reactor.register(self._source.pollable, self._pull)

    def _pause(self) -> None:
        """Disconnect, and take what was on its way: the master knows what is to become of it."""
        if self._source is not None:
            self._source.pause()
            self._accept(list(self._waiting(self._source)))

    def _pull_no_more(self) -> None:
        if self._is_pulling and self._source is not None:
            self._is_pulling = False
            self._reactor.unregister(self._source.pollable)

    def _pull(self) -> None:
        chunks: list[Parcel[Assign]] = []
        while self._source is not None and len(chunks) < self._slots.room:
            frames = self._source.receive()
            if frames is None:
                break
            chunks += self._decoded(frames)
        self._accept(chunks)

    def _waiting(self, source: IWorkSource) -> Iterator[Parcel[Assign]]:
        """Everything that came before the source was paused."""
        while (frames := source.receive()) is not None:
            yield from self._decoded(frames)

    def _accept(self, chunks: Sequence[Parcel[Assign]]) -> None:
        if chunks:
            self._upstream(Parcel(Claimed([chunk.message.chunk for chunk in chunks])))
        for chunk in chunks:
            try:
                self.handle(chunk)
            except ProtocolError as error:
                _log.error("a chunk on the work queue is dropped: %s", error)

    def _decoded(self, frames: list[Frame]) -> list[Parcel[Assign]]:
        try:
            parcels = self._decoder.decode(frames)
        except ProtocolError as error:
            _log.warning("what came from the work queue is dropped: %s", error)
            return []
        chunks: list[Parcel[Assign]] = []
        for parcel in parcels:
            if isinstance(parcel.message, Assign):
                chunks.append(Parcel(parcel.message, parcel.frames))
            else:
                _log.warning("a %s on the work queue is dropped", type(parcel.message).__name__)
        return chunks
