"""Identities: small, sortable by time of birth, and cheap to make.

A *system id* is a 63-bit integer: 31 bits of seconds since 2020 and 32 random bits, so that clients make
them without asking anybody. A *task id* is the pair of its system's id and a counter within that system,
which is what lets a repeated push be recognised.
"""

from __future__ import annotations

import secrets
import time
from typing import NamedTuple, NewType

NodeId = NewType("NodeId", str)
"""A node's identity over its restarts of a connection: 16 hexadecimal digits."""

SystemId = NewType("SystemId", int)
"""A task system's identity, or that of a client's plain tasks: a positive 63-bit integer."""

_EPOCH_SECONDS = 1_577_836_800  # 2020-01-01T00:00:00Z; leaves 31 bits of seconds until 2088


class TaskId(NamedTuple):
    """A task's identity: its system and its number there, counted from 0 in order of pushing."""

    system: SystemId
    counter: int

    def __str__(self) -> str:
        return f"{self.system:016x}/{self.counter}"


def new_node_id() -> NodeId:
    """A fresh random node id."""
    return NodeId(secrets.token_hex(8))


def new_session() -> str:
    """A fresh secret that proves, together with the key, that a reconnecting node is the same incarnation."""
    return secrets.token_hex(16)


def new_system_id(now: float | None = None) -> SystemId:
    """A fresh system id.

    Args:
        now: Seconds since the Unix epoch; the wall clock by default.
    """
    seconds = int(time.time() if now is None else now) - _EPOCH_SECONDS
    return SystemId((seconds & 0x7FFF_FFFF) << 32 | secrets.randbits(32))


def parse_task_id(text: str) -> TaskId:
    """The task id that ``str(task_id)`` wrote.

    Raises:
        ValueError: ``text`` is not of the form ``SYSTEM/COUNTER``.
    """
    system, separator, counter = text.partition("/")
    if not separator:
        raise ValueError(f"{text!r} is not a task id: expected SYSTEM/COUNTER, as in 1a2b3c4d5e6f7788/42")
    return TaskId(SystemId(int(system, 16)), int(counter))
