"""Who the peers of a server are."""

from __future__ import annotations

from concurrence.errors import UsageError
from concurrence.transport.api import Origin, PeerId


class Origins(dict[PeerId, Origin]):
    """Who the peers are that have sent something and were not forgotten."""

    def of(self, peer: PeerId) -> Origin:
        """Who the peer is.

        Raises:
            UsageError: It has sent nothing yet, or was forgotten.
        """
        try:
            return self[peer]
        except KeyError:
            raise UsageError(f"peer {peer.hex()} has sent nothing, or was forgotten") from None
