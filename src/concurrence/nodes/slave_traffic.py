"""What a slave has to tell its master, and what is in doubt when a connection breaks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from concurrence.wire.codec import Parcel
from concurrence.wire.messages import AttemptLost, ChunkResults, Claimed, FromSlave, Output

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

    @property
    def owes_results(self) -> bool:
        """Whether work would be lost, or be done again, if the master never heard what waits."""
        return any(isinstance(each.message, ChunkResults | AttemptLost) for each in self._waiting)

    def say(self, parcel: Parcel[FromSlave]) -> None:
        """Take a message for the master."""
        self._waiting.append(parcel)

    def held(
        self, chunks: Iterable[int], left: Callable[[int], Sequence[int] | None]
    ) -> tuple[list[int], dict[int, list[int]]]:
        """The chunks that a greeting names, so that what got lost on the way is given out again.

        Results that were handed to the last connection may be lost with it. Of what they belong to the greeting
        also says which tasks are yet to be answered: the others run again, unless the master has their results.

        Args:
            chunks: What is at the slave.
            left: Tells which tasks of it are not answered; None if that is not known.

        Returns:
            The chunks, and for those of which results were sent the tasks whose results were not.
        """
        waiting: dict[int, list[int]] = {}
        for parcel in self._waiting:
            if isinstance(parcel.message, ChunkResults):
                waiting.setdefault(parcel.message.chunk, []).extend(parcel.message.counters)
        # A worker's death, yet to be told, has the master run whatever it has no result of.
        dead = {each.message.chunk for each in self._waiting if isinstance(each.message, AttemptLost)}
        here = set(chunks)
        named = sorted(here | waiting.keys() | dead)
        unsent: dict[int, list[int]] = {}
        for chunk in [chunk for chunk in named if chunk in self._partly_sent and chunk not in dead]:
            there = left(chunk) if chunk in here else ()
            if there is None:
                named.remove(chunk)
            else:
                unsent[chunk] = sorted({*there, *waiting.get(chunk, ())})
        return named, unsent

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
