"""How much one owner may have under way. Pure."""

from __future__ import annotations

from concurrence.nodes.owner_channel import IOwnerChannel
from concurrence.tasks.ownership import OwnedTasks

MAX_PENDING_TASKS = 65_536
"""Unfinished tasks of one owner; beyond it ``push_task`` waits, or raises inside handlers."""

MAX_PENDING_BYTES = 256 * 1024 * 1024

SOURCE_TASKS = 32_768
"""An iterable is drained only while fewer tasks than this are unfinished."""

SOURCE_BYTES = 64 * 1024 * 1024
"""Nor while what is unfinished has more bytes; at most one task exceeds it."""

MAX_PENDING_SYSTEMS = 256
"""Unfinished task systems that one owner pushed; each has a process of its own."""

BURST = 256
"""Tasks that are worth a push: small ones cost as much."""


class Room:
    """What an owner may push now.

    Args:
        channel: Knows the master's window.
        tasks: What is under way.
    """

    def __init__(self, channel: IOwnerChannel, tasks: OwnedTasks) -> None:
        self._channel = channel
        self._tasks = tasks

    @property
    def for_one(self) -> bool:
        """Whether one more task may be pushed."""
        return len(self._tasks) < self._window() and self._tasks.pending_bytes < MAX_PENDING_BYTES

    @property
    def for_sources(self) -> int:
        """How many tasks may be taken from iterables; 0 until it is worth a push."""
        if self._tasks.pending_bytes >= SOURCE_BYTES:
            return 0
        window = min(SOURCE_TASKS, self._window())
        free = window - len(self._tasks)
        return free if free >= min(BURST, max(1, window // 4)) else 0

    def _window(self) -> int:
        welcome = self._channel.welcome
        return min(MAX_PENDING_TASKS, welcome.task_window) if welcome is not None else MAX_PENDING_TASKS
