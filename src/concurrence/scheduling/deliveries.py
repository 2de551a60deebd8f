"""What an owner is yet to acknowledge: kept, counted, and sent again when it comes back. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from concurrence.wire.codec import Frame, Parcel
from concurrence.wire.messages import Results, SystemResult


class Deliveries:
    """The unacknowledged deliveries of one owner, in order."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, int, Parcel[Results] | Parcel[SystemResult]]] = deque()
        self._next = 1
        self.bytes = 0
        self.tasks = 0

    def __len__(self) -> int:
        return len(self._kept)

    def next_number(self) -> int:
        """The number for the next delivery."""
        number = self._next
        self._next += 1
        return number

    def keep(self, parcel: Parcel[Results] | Parcel[SystemResult]) -> None:
        """Keep a delivery until it is acknowledged."""
        size = sum(frame_size(frame) for frame in parcel.frames)
        self._kept.append((parcel.message.delivery, size, parcel))
        self.bytes += size
        self.tasks += _tasks(parcel.message)

    def acknowledge(self, delivery: int) -> list[int]:
        """Forget everything up to and with this delivery; the task systems whose ends were among it."""
        systems: list[int] = []
        while self._kept and self._kept[0][0] <= delivery:
            _, size, parcel = self._kept.popleft()
            self.bytes -= size
            self.tasks -= _tasks(parcel.message)
            if isinstance(parcel.message, SystemResult):
                systems.append(parcel.message.system)
        return systems

    def unacknowledged(self) -> Sequence[Parcel[Results] | Parcel[SystemResult]]:
        """What to send again after a reconnect."""
        return [parcel for _, _, parcel in self._kept]


def frame_size(frame: Frame) -> int:
    """Bytes of a frame."""
    return frame.nbytes if isinstance(frame, memoryview) else len(frame)


def _tasks(message: Results | SystemResult) -> int:
    return len(message.counters) if isinstance(message, Results) else 1
