"""Whoever is turned away where a transport listens: counted, and logged with the network address."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Rejections:
    """How often something was turned away at a listening address.

    Attributes:
        unauthorized: Connections whose key is unknown, revoked or lacks the role.
        malformed: Connections that ended without a handshake: another server's key, random bytes, too slow.
        dropped: Messages of connected peers that may not send them: malformed, or after their key was revoked.
        crowded: Connections beyond what the limit of open files allows.
        silent: Connections whose peer did not introduce itself in time.
    """

    unauthorized: int = 0
    malformed: int = 0
    dropped: int = 0
    crowded: int = 0
    silent: int = 0


class RejectionLog:
    """Logs rejections, at most one a second of a kind, so that an attacker cannot fill the disk.

    Args:
        address: Where the rejected ones came in.
        clock: Seconds that only grow.
    """

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.address = address
        self._clock = clock
        self._next: dict[str, float] = {}
        self._omitted: dict[str, int] = {}

    def reject(self, reason: str, peer: str, level: int = logging.WARNING) -> None:
        """Log it, or count it for the next line of its kind."""
        now = self._clock()
        if now < self._next.get(reason, now):
            self._omitted[reason] = self._omitted.get(reason, 0) + 1
            return
        self._next[reason] = now + 1.0
        more = self._omitted.pop(reason, 0)
        also = f" (and {more} more since the last such line)" if more else ""
        _log.log(level, "rejected %s at %s: %s%s", peer, self.address, reason, also)
