"""Messages of remote methods: a call, and its result or failure. Either end of a connection may call the other.

Arguments and results are msgpack: plain data, never pickled.
"""

from __future__ import annotations

from typing import TypeAlias

from concurrence.wire.fields import Bodied, Message, Name, Number, Text

RPC_VERSION = 1
"""Raised by one with each incompatible change; each call names the caller's."""

MAX_RPC_BYTES = 4 * 1024 * 1024
"""Of the arguments of a call, and of a result."""


class RpcCall(Bodied, frozen=True, array_like=True, gc=False, tag=100):
    """Calls a method. One body frame: the list of arguments by position and the map of those by name."""

    version: Number
    number: Number
    method: Name


class RpcHello(Message, frozen=True, array_like=True, gc=False, tag=103):
    """Introduces a client of remote methods, first on each connection, which is kept then though nobody calls."""

    version: Number


class RpcResult(Bodied, frozen=True, array_like=True, gc=False, tag=101):
    """What a method returned. One body frame."""

    number: Number


class RpcFailure(Message, frozen=True, array_like=True, gc=False, tag=102):
    """A call failed.

    Attributes:
        number: Of the call.
        kind: One of the kinds in :mod:`concurrence.transport.rpc_errors`.
        text: What went wrong.
        hint: What to do.
        exception: The class of the exception, if the method raised one.
        traceback: Where it was raised.
    """

    number: Number
    kind: Name
    text: Text
    hint: Text = ""
    exception: Name = ""
    traceback: Text = ""


RpcMessage: TypeAlias = RpcHello | RpcCall | RpcResult | RpcFailure
