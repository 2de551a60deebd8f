"""The last events of a simulation, kept cheaply and told when something is wrong."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

from concurrence.testing.simulation.timeline import Timeline
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Hello, Results

_KEPT = 120
_FIELDS = (
    *("chunk", "chunks", "push", "delivery", "counters", "statuses"),
    *("running", "kill", "number", "known", "text"),
)
_LONGEST = 12


class Story:
    """A ring of events.

    Args:
        timeline: The time.
        is_kept: Whether anything is kept at all.
    """

    def __init__(self, timeline: Timeline, *, is_kept: bool) -> None:
        self.is_kept = is_kept
        self._timeline = timeline
        self._events: deque[tuple[float, str, tuple[Any, ...]]] = deque(maxlen=_KEPT)

    def tell(self, text: str, *values: Any) -> None:
        """Keep an event; what it says is put together only if somebody wants to read it."""
        if self.is_kept:
            self._events.append((self._timeline.now, text, values))

    def lines(self) -> tuple[str, ...]:
        """What happened last, oldest first."""
        return tuple(f"{when:10.4f}  {text.format(*map(_shown, values))}" for when, text, values in self._events)


def _shown(value: Any) -> str:
    if isinstance(value, Parcel):
        return described(value.message)  # pyright: ignore[reportUnknownMemberType]
    if isinstance(value, list):
        return ", ".join(map(_shown, value))  # pyright: ignore[reportUnknownArgumentType]
    return str(value)


def described(message: Any) -> str:
    """A message as people read it: its kind, and what tells it from others."""
    if isinstance(message, Hello):
        return f"Hello({message.name} resumes={message.resumes} chunks={message.chunks})"
    shown = [f"{name}={_short(value)}" for name in _FIELDS if (value := getattr(message, name, None)) is not None]
    if isinstance(message, Results):
        shown.append(f"attempt={message.attempt}")
    return f"{type(message).__name__}({' '.join(shown)})"


def _short(value: Any) -> str:
    if isinstance(value, bytes):
        value = list(value)
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return f"[{','.join(map(str, items[:_LONGEST]))}{',...' if len(items) > _LONGEST else ''}]"
    return str(value)
