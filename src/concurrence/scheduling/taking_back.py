"""Chunks that slaves are asked to give back, as far as they have not begun: each once on each connection. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple

from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import TakeBack


class _Asked(NamedTuple):
    """When a chunk was asked for, and on which connection: what is sent on one that breaks may be lost."""

    at: float
    peer: bytes | None


class TakenBack:
    """The chunks that were asked for."""

    def __init__(self) -> None:
        self._asked: dict[int, _Asked] = {}

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, swarm: SwarmState, slave: SlaveNodeRecord, chunk: int, now: float) -> None:
        """Ask a slave for a chunk.

        Args:
            swarm: The state.
            slave: Who has it.
            chunk: Its number.
            now: The time.
        """
        self._asked[chunk] = _Asked(now, slave.peer)
        swarm.outbox.send(slave.peer, Parcel(TakeBack(chunk, kill=False)))

    def is_asked(self, slave: SlaveNodeRecord, chunk: int) -> bool:
        """Whether a slave was asked for a chunk on the connection that it has now."""
        asked = self._asked.get(chunk)
        return asked is not None and asked.peer == slave.peer

    def since(self, then: float) -> Iterator[int]:
        """What was asked for later than then."""
        return (chunk for chunk, asked in self._asked.items() if asked.at > then)

    def prune(self, assignments: Container[int]) -> None:
        """Forget what is over.

        Args:
            assignments: The chunks that are under way.
        """
        for chunk in [chunk for chunk in self._asked if chunk not in assignments]:
            del self._asked[chunk]
