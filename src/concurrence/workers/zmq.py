"""The task manager of homogeneous swarms: in addition pulls chunks from the master's work queue."""

from __future__ import annotations

import logging

from concurrence.component import ComponentManager
from concurrence.errors import ProtocolError
from concurrence.transport.api import IWorkSource
from concurrence.wire.codec import Frame, Parcel, decoder_to_slave
from concurrence.wire.messages import Assign, Claimed, Pause, ToSlave
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
        self._is_pulling = False
        self._is_paused = False
        self._decoder = decoder_to_slave()

    def attach(self, source: IWorkSource | None) -> None:
        """Pull from this queue from now on; None to pull no more."""
        self._pull_no_more()
        self._source = source
        self._is_paused = False  # the master says so again if it is to be
        self._changed()

    def handle(self, parcel: Parcel[ToSlave]) -> None:
        """A message from the master: it may also say that nothing is to be pulled for a while."""
        if isinstance(parcel.message, Pause):
            self._pause(parcel.message)
        else:
            super().handle(parcel)

    def stop(self) -> None:
        """End all workers and leave nothing behind; the queue is closed by whoever opened it."""
        self._pull_no_more()
        self._source = None
        super().stop()

    def _changed(self) -> None:
        # A readable queue that nobody reads would keep the poll loop spinning: it is watched only while
        # there is room.
        if self._source is None or self._is_stopped or self._is_paused or self.held >= self.credit:
            self._pull_no_more()
        elif not self._is_pulling:
            self._is_pulling = True
            self._reactor.register(self._source.pollable, self._pull)

    def _pause(self, message: Pause) -> None:
        if message.paused == self._is_paused or self._source is None:
            return
        self._is_paused = message.paused
        if message.paused:
            _log.warning("this slave pulls no work for now: it %s", message.reason)
            self._source.pause()
            self._claim(self._queued(self._source))  # what was on its way; the master knows what to do with it
        else:
            _log.info("this slave pulls work again")
            self._source.resume()
        self._changed()

    def _pull_no_more(self) -> None:
        if self._is_pulling and self._source is not None:
            self._is_pulling = False
            self._reactor.unregister(self._source.pollable)

    def _pull(self) -> None:
        if self._source is not None:
            self._claim(self._queued(self._source, room=self.credit - self.held))

    def _queued(self, source: IWorkSource, room: int | None = None) -> list[Parcel[Assign]]:
        """What is on the queue for this slave, as far as there is room."""
        chunks: list[Parcel[Assign]] = []
        while room is None or len(chunks) < room:
            frames = source.receive()
            if frames is None:
                break
            chunks += self._decoded(frames)
        return chunks

    def _claim(self, chunks: list[Parcel[Assign]]) -> None:
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
