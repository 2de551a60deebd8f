"""What a master asks of a journal.

The journal is written beside the poll loop: ``append`` returns at once with a sequence number, and a later
call of the listener says up to which number everything is durable. A message that promises something to a
peer waits for its number; see :class:`~concurrence.journal.gate.DurabilityGate`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec import Struct

from concurrence.component import Interface
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Message


class JournalEntry(Struct, frozen=True):
    """One event that must survive: a message as it came, and from whom.

    Attributes:
        node: The node id of the peer it came from, or for whom it is.
        parcel: The message with its body frames, untouched.
    """

    node: str
    parcel: Parcel[Message]


DurableListener: TypeAlias = Callable[[int], None]
"""Told the sequence number up to which everything is durable; may be called from any thread."""


class IJournal(Interface):
    """Keeps accepted work over a restart of the master; chosen by ``[masternode] journal``."""

    @abstractmethod
    def open(self, on_durable: DurableListener) -> None:
        """Begin; ``on_durable`` may be called from any thread, also from within ``append``."""

    @abstractmethod
    def append(self, entries: Sequence[JournalEntry]) -> int:
        """Take a batch, in order, without waiting for the disk; returns its sequence number, rising from 1."""

    @abstractmethod
    def close(self) -> None:
        """Write what is pending, within a deadline of its own, and end."""
