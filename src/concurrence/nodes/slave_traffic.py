"""What a slave has to tell its master, and what is in doubt when a connection breaks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from concurrence.wire.codec import Parcel
from concurrence.wire.messages import ChunkResults, Claimed, FromSlave, Output

MAX_PARTLY_SENT = 1_024
"""Chunks of which results were sent; beyond it those that are over are dropped from the set."""

MAX_HELD_OUTPUT = 256
"""Messages that are kept while there is no connection; beyond it those that carry output are dropped."""


class SlaveTraffic:
    """The messages of a slave that have not left, in order."""

    def __init__(self) -> None:
        self._waiting: list[Parcel[FromSlave]] = []
        self._partly_sent: set[int] = set()

    @property
    def waits(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self._waiting)

    def say(self, parcel: Parcel[FromSlave]) -> None:
        """Take a message for the master."""
        self._waiting.append(parcel)

    def held(self, chunks: Iterable[int]) -> list[int]:
        """The chunks that a greeting names, so that what got lost on the way is given out again.

        Results that were handed to the last connection may be lost with it. What they belong to is not named, so
        that the master has it run again; should they have arrived, it knows that too.

        Args:
            chunks: What is at the slave.
        """
        named = set(chunks) - self._partly_sent
        named.update(_chunks_of(self._waiting) - self._partly_sent)
        return sorted(named)

    def welcomed(self, *, forgotten: bool) -> None:
        """The master knows what is here; or nothing of this slave any more, and then nobody waits for results."""
        self._partly_sent.clear()
        if forgotten:
            self._waiting.clear()

    def take(self, chunks: Sequence[int]) -> list[Parcel[FromSlave]]:
        """Everything that waits, because it leaves now.

        Args:
            chunks: What is at the slave.
        """
        taken, self._waiting = self._waiting, []
        self._partly_sent |= _chunks_of(taken)
        if len(self._partly_sent) > MAX_PARTLY_SENT:
            self._partly_sent.intersection_update(chunks)
        return taken

    def take_claims(self) -> list[Claimed]:
        """Those of them that say what was pulled: they may pass by results that take long."""
        claims = [each.message for each in self._waiting if isinstance(each.message, Claimed)]
        if claims:
            self._waiting = [each for each in self._waiting if not isinstance(each.message, Claimed)]
        return claims

    def trim(self) -> None:
        """What tasks print is dropped while nothing can be sent; results are bounded by the credit."""
        if len(self._waiting) > MAX_HELD_OUTPUT:
            self._waiting = [each for each in self._waiting if not isinstance(each.message, Output)]


def _chunks_of(parcels: Iterable[Parcel[FromSlave]]) -> set[int]:
    return {parcel.message.chunk for parcel in parcels if isinstance(parcel.message, ChunkResults)}
