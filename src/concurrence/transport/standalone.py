"""A transport for programs that have no environment: for servers and clients of remote methods alone."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from concurrence.component import ComponentManager
from concurrence.env.config import Config
from concurrence.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from concurrence.transport.memory import MemoryTransport
    from concurrence.transport.tcp_transport import TCPTransport
    from concurrence.transport.zmq_transport import ZMQTransport

_HOMES = {
    "zmq": ("concurrence.transport.zmq_transport", "ZMQTransport"),
    "tcp": ("concurrence.transport.tcp_transport", "TCPTransport"),
    "memory": ("concurrence.transport.memory", "MemoryTransport"),
}


def open_transport(name: str = "zmq", *settings: str) -> ZMQTransport | TCPTransport | MemoryTransport:
    """A transport with the default configuration; close it when you are done.

    Args:
        name: ``zmq``, ``tcp``, or ``memory`` for servers and clients within one process.
        settings: Texts ``section.name=value``, as after ``--set``.

    Raises:
        UsageError: There is no such transport, or a text has another form.
    """
    try:
        module, cls = _HOMES[name.lower().removesuffix("transport")]
    except KeyError:
        hint = f"{did_you_mean(name, _HOMES)} Transports: {', '.join(_HOMES)}.".lstrip()
        raise UsageError(f"there is no transport {name!r}", hint=hint) from None

    class Standalone(ComponentManager):
        config = Config.from_layers(environ={}, overrides=settings)

    made = getattr(importlib.import_module(module), cls)(Standalone())
    return cast("ZMQTransport | TCPTransport | MemoryTransport", made)
