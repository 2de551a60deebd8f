"""Which slaves are pinged, so that the loss of one that has work is noticed long before its lease ends. Pure.

That a connection has ended is seen when something is sent on it. So whoever hung up, as the transport tells, is
sent something at once, if it has work. Should the transport have missed that, those that have been silent are
sent something too: all of them in a small swarm, in a large one some each time.
"""

from __future__ import annotations

from collections.abc import Iterable

from concurrence.scheduling.registry import Registry, SlaveNodeRecord

PROBE_SECONDS = 0.5
"""How often slaves are looked at; and who has spoken since the last time is there."""

MOST = 128
"""So many silent ones are pinged each time."""

_LOOKS = 4  # whoever hung up is pinged so often: what it had sent before may have to be read first


class Probing:
    """Who hung up, and which silent slaves come next."""

    def __init__(self) -> None:
        self._suspects: dict[bytes, int] = {}
        self._next = 0

    def due(self, registry: Registry, hung_up: Iterable[bytes], now: float) -> list[bytes]:
        """The connections on which something is to be sent now.

        Args:
            registry: The nodes.
            hung_up: Connections that have ended since this was asked last, as far as the transport knows.
            now: The time.
        """
        found = self._suspected(registry, hung_up)
        slaves = registry.slaves()
        first = self._next if self._next < len(slaves) else 0
        silent = 0
        for place in (*range(first, len(slaves)), *range(first)):
            slave = slaves[place]
            if slave.chunks and now - slave.heard >= PROBE_SECONDS and slave.peer is not None:
                found[slave.peer] = None
                silent += 1
                if silent == MOST:
                    self._next = place + 1
                    break
        return list(found)

    def _suspected(self, registry: Registry, hung_up: Iterable[bytes]) -> dict[bytes, None]:
        """Those of whoever hung up that are not known to be gone yet, and have work."""
        for peer in hung_up:
            self._suspects[peer] = _LOOKS
        found: dict[bytes, None] = {}
        for peer, looks in list(self._suspects.items()):
            node = registry.at(peer)
            if node is None or looks == 0:
                del self._suspects[peer]
                continue
            self._suspects[peer] = looks - 1
            if isinstance(node, SlaveNodeRecord) and node.chunks:
                found[peer] = None
        return found
