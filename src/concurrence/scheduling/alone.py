"""Swarms that nobody else can join. Pure data."""

from __future__ import annotations

from enum import Enum


class Alone(Enum):
    """Why no further slave can ever join a swarm, as its users know it."""

    PRIVATE = "private"
    """It was started for one run or script, with keys that nobody else has."""
    INLINE = "inline"
    """It is one thread of one process."""
