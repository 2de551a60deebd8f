"""The calls that one end has made of the other: proxies, what is unanswered, and who is told of the answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from concurrence.errors import Backpressure
from concurrence.transport.rpc_errors import CallFailed, CallLost, error_of
from concurrence.transport.rpc_methods import encode_arguments
from concurrence.wire.codec import Frame, Parcel, frame_size
from concurrence.wire.rpc_messages import MAX_RPC_BYTES, RPC_VERSION, RpcCall, RpcFailure, RpcResult

MAX_UNANSWERED = 1000
"""Calls that one end may have made of one other without an answer yet."""


class IRemoteMethod(Protocol):
    """A method of the other end."""

    def __call__(self, *arguments: Any, **named: Any) -> int:
        """Call it; returns at once, with the number of the call."""
        ...


class RpcProxy:
    """The other end's methods as one's own: ``proxy.say("hello")`` returns at once.

    The answer arrives as a notification: ``say_response(result)`` or ``say_failed(error)`` of the handler.

    Args:
        calls: What the calls are made with.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def __getattr__(self, name: str) -> IRemoteMethod:
        if name.startswith("_"):
            raise AttributeError(name)  # asked for by copy, pickle and notebooks, which mean no method
        return self[name]

    def __getitem__(self, name: str) -> IRemoteMethod:
        """A method whose name is no identifier, as in ``proxy["config.get"]("node.name")``."""

        def call(*arguments: Any, **named: Any) -> int:
            return self._calls.call(name, arguments, named)

        return call


class Calls:
    """Calls over one connection.

    Args:
        send: Takes a call; what it cannot send it fails itself, by :meth:`lose`.
        handler: Gets the notifications: ``NAME_response(result)`` and ``NAME_failed(error)``, as far as it has
            them. A dot in a name is an underscore there.
        log: Told of failures that the handler does not take, and of handlers that raise.
    """

    def __init__(
        self, send: Callable[[Parcel[RpcCall]], None], handler: Callable[[], object], log: logging.Logger
    ) -> None:
        self._send = send
        self._handler = handler
        self._log = log
        self._number = 0
        self._unanswered: dict[int, str] = {}
        self._end: CallFailed | None = None

    @property
    def unanswered(self) -> int:
        """How many calls have no answer yet."""
        return len(self._unanswered)

    def call(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> int:
        """Call a method of the other end; the number of the call.

        Raises:
            Backpressure: Too many calls have no answer yet.
            CallFailed: No call can be answered any more; see :meth:`end`.
            UsageError: An argument is no plain data.
        """
        if self._end is not None:
            raise self._end.with_traceback(None)
        if len(self._unanswered) >= MAX_UNANSWERED:
            raise Backpressure(
                f"{MAX_UNANSWERED} remote calls have no answer yet", hint="Make further calls as answers come."
            )
        body = encode_arguments(arguments, named)
        self._number += 1
        self._unanswered[self._number] = name
        self._send(Parcel(RpcCall(1, RPC_VERSION, self._number, name), [body]))
        return self._number

    def take(self, answer: RpcResult | RpcFailure, body: Frame) -> None:
        """An answer came: tell the handler. One to no call is ignored: the other end cannot invent any."""
        name = self._unanswered.pop(answer.number, None)
        if name is None:
            return
        if isinstance(answer, RpcFailure):
            self._fail(name, error_of(answer))
            return
        if frame_size(body) > MAX_RPC_BYTES:
            self._fail(
                name, CallFailed(f"the result of {name} has {frame_size(body):,} bytes, more than are taken")
            )
            return
        try:
            result = msgspec.msgpack.decode(body)
        except (ValueError, RecursionError) as error:
            self._fail(name, CallFailed(f"the result of {name} is not well-formed: {error}"))
            return
        self._notify(f"{name}_response", result)

    def lose(self, number: int, error: CallFailed) -> None:
        """A call cannot be sent, or will get no answer."""
        name = self._unanswered.pop(number, None)
        if name is not None:
            self._fail(name, error)

    def lose_all(self, but: set[int], reason: str) -> None:
        """The connection ended: fail all calls that were sent on it.

        Args:
            but: The numbers of those that were not sent yet.
            reason: What is told.
        """
        for number in [each for each in self._unanswered if each not in but]:
            self.lose(number, CallLost(reason, hint="Call again, if the method may run twice."))

    def end(self, error: CallFailed) -> None:
        """No call will be answered any more: fail all that have no answer, and refuse further ones. Repeatable."""
        self._end = self._end or error
        for number in list(self._unanswered):
            self.lose(number, self._end)

    def _fail(self, name: str, error: CallFailed) -> None:
        if not self._notify(f"{name}_failed", error):
            self._log.warning("the remote call of %s failed: %s", name, error)

    def _notify(self, name: str, value: object) -> bool:
        return notify(self._handler(), name.replace(".", "_"), self._log, value)


def notify(handler: object, name: str, log: logging.Logger, *values: object) -> bool:
    """Tell a handler; whether it takes this notification. What it raises is logged."""
    function = getattr(handler, name, None)
    if function is None:
        return False
    try:
        function(*values)
    except Exception:  # a defect of one handler must not cost the connection and all the others
        log.exception("%s.%s failed", type(handler).__name__, name)
    return True
