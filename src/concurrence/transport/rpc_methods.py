"""Remote methods: what the decorator ``tcpremote`` registers, and how a call becomes an answer."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from concurrence.errors import ConcurrenceError, UsageError
from concurrence.transport.jsonrpc import RpcError, clipped
from concurrence.transport.remote import ApiMethod, ApiRequest, ApiService
from concurrence.transport.rpc_errors import (
    BadParameters,
    CallFailed,
    RemoteException,
    UnknownMethod,
    VersionMismatch,
    failure_of,
)
from concurrence.wire.codec import Frame, Parcel, frame_size
from concurrence.wire.rpc_messages import MAX_RPC_BYTES, RPC_VERSION, RpcCall, RpcFailure, RpcResult

F = TypeVar("F", bound=Callable[..., Any])

_decode_arguments = msgspec.msgpack.Decoder(tuple[list[Any], dict[str, Any]]).decode
_encode = msgspec.msgpack.Encoder().encode


class IHasMethods(Protocol):
    """An end of a connection that offers methods to the other: a server or a client."""

    @property
    def methods(self) -> RemoteMethods:
        """What it offers."""
        ...


def tcpremote(end: IHasMethods, name: str | None = None) -> Callable[[F], F]:
    """Offer a function to the other ends of a server, or to the server of a client::

        @tcpremote(server, name="register_slave")
        def register_slave_tcp(handler, request: ApiRequest, node_id: str) -> bool:
            ...

    Its first parameter gets the connection to the caller, through whose ``proxy`` it can be called back; the
    second gets who that is: address, role and key, as authenticated.

    Args:
        end: The server or client.
        name: What callers call it; by default the function's own name.

    Raises:
        UsageError: The name is malformed or taken, or the function cannot be offered.
    """
    methods: object = getattr(end, "methods", None)
    if not isinstance(methods, RemoteMethods):
        raise UsageError(
            f"tcpremote needs a server or a client of remote methods, not {end!r}",
            hint="Write @tcpremote(server) above the function.",
        )
    found = methods

    def offer(function: F) -> F:
        found.add(function, name)
        return function

    return offer


class RemoteMethods:
    """The methods that one end offers, by name.

    Args:
        log: Told of methods that raise.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._service = ApiService(RPC_VERSION, log=log)  # checks names and signatures
        self._methods: dict[str, ApiMethod] = {}

    def add(self, function: Callable[..., Any], name: str | None = None) -> None:
        """Offer a function; see :func:`tcpremote`."""
        method = self._service.add(_without_handler(function), name)
        self._methods[method.name] = method

    def __contains__(self, name: str) -> bool:
        return name in self._methods

    def answer(
        self, call: RpcCall, body: Frame, handler: object, request: ApiRequest
    ) -> Parcel[RpcResult | RpcFailure]:
        """Run what is called; what goes back.

        Args:
            call: The call.
            body: Its arguments.
            handler: The connection to the caller.
            request: Who that is.
        """
        try:
            result = self._run(call, body, handler, request)
        except CallFailed as error:
            return Parcel(failure_of(error, call.number))
        return Parcel(RpcResult(1, call.number), [result])

    def _run(self, call: RpcCall, body: Frame, handler: object, request: ApiRequest) -> bytes:
        if call.version != RPC_VERSION:
            raise VersionMismatch(
                f"remote methods are called in version {call.version}; the other end speaks {RPC_VERSION}",
                hint="Install the same version of Concurrent at both ends.",
            )
        method = self._methods.get(call.method)
        if method is None:
            hint = f"It has: {', '.join(sorted(self._methods)[:20]) or 'none'}."
            raise UnknownMethod(f"there is no remote method {clipped(call.method, 80)!r}", hint=hint)
        arguments = _arguments(method, body)
        try:
            result = method.function(handler, request, **arguments)
            encoded = _encode(result)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # Whatever a method does wrong, SystemExit included, costs its caller the answer and nobody else.
            raise self._described(method, error) from error
        if len(encoded) > MAX_RPC_BYTES:
            raise RemoteException(f"the result of {method.name} has {len(encoded):,} bytes, more than may be sent")
        return encoded

    def _described(self, method: ApiMethod, error: BaseException) -> RemoteException:
        if not isinstance(error, ConcurrenceError):
            self._log.exception("the remote method %s at %s failed", method.name, method.place)
        message = error.message if isinstance(error, ConcurrenceError) else str(error) or type(error).__name__
        hint = error.hint if isinstance(error, ConcurrenceError) else ""
        text = "".join(traceback.format_exception(error))
        return RemoteException(message, hint=hint, type=type(error).__name__, traceback=text)


def encode_arguments(arguments: tuple[Any, ...], named: dict[str, Any]) -> bytes:
    """The body of a call.

    Raises:
        UsageError: One of them is no plain data, or they are too large.
    """
    try:
        body = _encode((arguments, named))
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise UsageError(
            f"the arguments of a remote call are not plain data: {error}",
            hint="Pass numbers, texts, bytes, lists, dicts, dataclasses or msgspec.Struct.",
        ) from error
    if len(body) > MAX_RPC_BYTES:
        raise UsageError(f"the arguments of a remote call have {len(body):,} bytes; {MAX_RPC_BYTES:,} may be sent")
    return body


def _arguments(method: ApiMethod, body: Frame) -> dict[str, Any]:
    if frame_size(body) > MAX_RPC_BYTES:
        raise BadParameters(
            f"the parameters of {method.name} have {frame_size(body):,} bytes, more than are taken"
        )
    try:
        by_position, by_name = _decode_arguments(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadParameters(f"the parameters of {method.name} are not well-formed: {error}") from error
    names = [each.name for each in method.parameters if not each.named_only]
    given = dict(zip(names, by_position, strict=False))
    twice = given.keys() & by_name.keys()
    if twice:
        raise BadParameters(f"{method.name} is given {', '.join(sorted(twice))} twice")
    try:
        # As a list, if there are too many: then it says so.
        return method.arguments(by_position if len(by_position) > len(names) else given | by_name)
    except RpcError as error:
        raise BadParameters(error.message, hint=error.hint) from error


def _without_handler(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as :class:`ApiService` knows them: with the request first."""
    parameters = list(inspect.signature(function).parameters.values())
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    name = getattr(function, "__name__", "method")
    if len([each for each in parameters if each.kind in kinds]) < 2:
        raise UsageError(
            f"the remote method {name} lacks its first two parameters",
            hint=f"def {name}(handler, request, ...): the connection to the caller, and who that is.",
        )

    def call(handler: object, request: ApiRequest, **named: Any) -> Any:
        return function(handler, request, **named)

    call.__name__ = name
    call.__doc__ = function.__doc__
    call.__signature__ = inspect.Signature(parameters[1:])
    # What its annotations and its place are read from.
    setattr(call, "__wrapped__", function)  # noqa: B010  no attribute that functions are known to have
    return call
