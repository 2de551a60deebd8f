"""The journal that keeps nothing: for private swarms, which end with their client."""

from __future__ import annotations

from collections.abc import Sequence

from concurrence.component import Component, ComponentManager
from concurrence.journal.api import DurableListener, IJournal, JournalEntry


class NullJournal(Component, IJournal):
    """Everything is durable at once, and nothing survives the master."""

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self._sequence = 0
        self._on_durable: DurableListener | None = None

    def open(self, on_durable: DurableListener) -> None:
        """Remember whom to tell."""
        self._on_durable = on_durable

    def append(self, entries: Sequence[JournalEntry]) -> int:
        """Forget the entries and tell the listener that they are durable."""
        self._sequence += 1
        if self._on_durable is not None:
            self._on_durable(self._sequence)
        return self._sequence

    def close(self) -> None:
        """Nothing is pending."""
        self._on_durable = None
