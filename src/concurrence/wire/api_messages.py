"""Messages of the API's door on the compute channel: a JSON-RPC 2.0 request in, its answer out."""

from __future__ import annotations

from concurrence.wire.fields import Bodied, Number


class CallApi(Bodied, frozen=True, array_like=True, gc=False, tag=52):
    """Calls methods of the master's API; for keys with the role ``admin``, one call at a time.

    One body frame: the JSON-RPC request or batch.
    """

    request: Number


class ApiAnswer(Bodied, frozen=True, array_like=True, gc=False, tag=53):
    """The answer to :class:`CallApi`: a body frame with JSON-RPC, or none if there were only notifications."""

    request: Number
