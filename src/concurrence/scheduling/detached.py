"""Task systems that outlive their clients: whose they are, who listens, and what they ended with. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from concurrence.wire.codec import Frame, frame_size

MAX_OF_KEY = 256
"""Detached systems of one client key, those included whose results nobody has collected."""

MAX_KEPT = 1_024
"""Results of detached systems that wait to be collected; the oldest goes first."""

MAX_KEPT_BYTES = 256 * 1024 * 1024


class Detached:
    """A detached system.

    Args:
        system: Its id.
        name: What people see.
        key: The key of the client that pushed it: who has it may collect the result.
        listener: Node id of the client that is told of it.
        client: The name of the client that pushed it, by which it is weighed.

    Attributes:
        status: How it ended; None while it runs.
        frames: What it ended with.
    """

    def __init__(self, system: int, name: str, key: str, listener: str, *, client: str = "") -> None:
        self.system = system
        self.name = name
        self.key = key
        self.listener: str | None = listener
        self.client = client
        self.status: int | None = None
        self.frames: tuple[Frame, ...] = ()

    @property
    def keeper(self) -> str:
        """In whose name its code is kept: its client forgets, when it goes."""
        return f"system {self.system:x}"

    def __str__(self) -> str:
        state = "runs" if self.status is None else "has ended"
        return f"{self.system:016x} ({self.name}, {state})"


class DetachedSystems:
    """The detached systems of a master.

    Args:
        max_kept: Results that are kept.
        max_bytes: Their size.
    """

    def __init__(self, max_kept: int = MAX_KEPT, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max_kept = max_kept
        self._max_bytes = max_bytes
        self._systems: dict[int, Detached] = {}
        self._kept: dict[int, int] = {}  # those that ended, with their sizes, in the order in which they did

    def __contains__(self, system: object) -> bool:
        return system in self._systems

    def get(self, system: int) -> Detached | None:
        """The detached system of this id."""
        return self._systems.get(system)

    def of_key(self, key: str) -> list[Detached]:
        """Those of one client key, in the order in which they were pushed."""
        return [each for each in self._systems.values() if each.key == key]

    def open(self, detached: Detached) -> None:
        """One begins."""
        self._systems[detached.system] = detached

    def end(self, system: int, status: int, frames: Sequence[Frame]) -> Iterator[Detached]:
        """One ended: its result is kept; yields those whose results have to go for that."""
        detached = self._systems[system]
        detached.status, detached.frames = status, tuple(frames)
        self._kept[system] = sum(map(frame_size, frames))
        while len(self._kept) > self._max_kept or sum(self._kept.values()) > self._max_bytes:
            oldest = next(iter(self._kept))
            yield self._systems[oldest]
            self.collected(oldest)

    def collected(self, system: int) -> None:
        """Its result has arrived: nothing is kept any more. Harmless for others."""
        self._kept.pop(system, None)
        self._systems.pop(system, None)
