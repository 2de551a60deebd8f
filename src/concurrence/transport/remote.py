"""Methods that a node offers to people and tools: the service that holds them, and the decorator that adds one.

A service knows nothing of connections. Whoever has a door (the compute channel, HTTP) gives it the bytes of a
request and who sent it, and gets the bytes of the answer.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import re
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar, cast, get_type_hints

import msgspec

from concurrence.errors import ConcurrenceError, UsageError
from concurrence.transport import jsonrpc
from concurrence.transport.jsonrpc import RpcError, clipped
from concurrence.transport.security import Role

SLOW_SECONDS = 0.1
"""A method that takes longer is named in the log: its node does nothing else meanwhile."""

_NAME = re.compile(r"[A-Za-z_]\w{0,63}(\.[A-Za-z_]\w{0,63}){0,7}", re.ASCII)
_RESERVED = "rpc."
_DESCRIPTION = "rpc.discover"
_SHOWN_NAME = 80

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """Who calls a method: its first argument.

    Attributes:
        address: The caller's network address, without port.
        role: What its key allows, as authenticated.
        key: Which key that is: the public half, as in ``keys/authorized.toml`` of the master's environment.
        name: What the caller calls itself; anybody can say anything.
        node: Its node id, if it is a node.
    """

    address: str
    role: Role
    key: str
    name: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class ApiParameter:
    """A parameter of a method, without the request.

    Attributes:
        name: Its name.
        type: What it takes.
        type_text: The same as written by its author; empty if nothing was.
        default: What it is if it is not given; ``inspect.Parameter.empty`` if it must be given.
        named_only: Whether it can be given by name only.
    """

    name: str
    type: Any
    type_text: str
    default: Any
    named_only: bool

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty

    def __str__(self) -> str:
        typed = f"{self.name}: {self.type_text}" if self.type_text else self.name
        return typed if self.required else f"{typed} = {self.default!r}"


@dataclass(frozen=True, slots=True)
class ApiMethod:
    """A method of a service.

    Attributes:
        name: What callers call it.
        function: What is called: with the request, and then by name.
        parameters: In order.
        doc: Its docstring.
        place: Where it is defined.
        roles: Who may call it, besides an administrator.
        result: What it returns, as far as a schema can say it; otherwise anything.
    """

    name: str
    function: Callable[..., Any]
    parameters: tuple[ApiParameter, ...]
    doc: str
    place: str
    roles: frozenset[Role] = frozenset()
    result: Any = Any

    def allows(self, role: Role) -> bool:
        """Whether a role may call it."""
        return role is Role.ADMIN or role in self.roles

    def arguments(self, params: jsonrpc.Params) -> dict[str, Any]:
        """What to call the function with.

        Raises:
            RpcError: A parameter is missing, unknown or of the wrong type.
        """
        given = params if isinstance(params, dict) else self._by_name(params)
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise self._refusal(f"has no parameter {_shown(name)}", _nearest(name, known))
        missing = [each.name for each in self.parameters if each.required and each.name not in given]
        if missing:
            raise self._refusal(f"lacks {', '.join(missing)}")
        return {name: self._converted(known[name], value) for name, value in given.items()}

    def _by_name(self, values: list[Any]) -> dict[str, Any]:
        names = [parameter.name for parameter in self.parameters if not parameter.named_only]
        if len(values) > len(names):
            raise self._refusal(f"takes {len(names)} parameters by position at most, not {len(values)}")
        return dict(zip(names, values, strict=False))

    def _converted(self, parameter: ApiParameter, value: Any) -> Any:
        try:
            return msgspec.convert(value, parameter.type)
        except (msgspec.ValidationError, RecursionError) as error:
            raise self._refusal(f"does not take this as {parameter.name}: {error}") from error

    def _refusal(self, problem: str, hint: str = "") -> RpcError:
        signature = f"{self.name}({', '.join(map(str, self.parameters))})"
        data = {"type": "InvalidParams", "hint": f"{hint} It is {signature}.".strip()}
        return RpcError(jsonrpc.INVALID_PARAMS, f"{self.name} {problem}", data)


class ApiService:
    """The methods of a node, by name.

    Args:
        version: The version of the API: part of its path over HTTP.
        log: Told of methods that fail or take long.
        now: Tells the time in seconds.
    """

    def __init__(
        self,
        version: int = 1,
        *,
        log: logging.Logger | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.version = version
        self._log = log or logging.getLogger("concurrence.api")
        self._now = now
        self._methods: dict[str, ApiMethod] = {}

    @property
    def methods(self) -> list[ApiMethod]:
        """All of them, sorted by name."""
        return [self._methods[name] for name in sorted(self._methods)]

    def add(
        self, function: Callable[..., Any], name: str | None = None, *, roles: Collection[Role | str] = ()
    ) -> ApiMethod:
        """Offer a function.

        Args:
            function: Its first parameter gets the :class:`ApiRequest`.
            name: What callers call it; by default its own name.
            roles: Who may call it, besides an administrator.

        Raises:
            UsageError: The name is malformed or taken, or the function cannot be offered.
        """
        method = _describe(function, name or getattr(function, "__name__", ""), roles)
        other = self._methods.get(method.name)
        if other is not None:
            raise UsageError(
                f"the API method {method.name} is offered twice: at {other.place} and at {method.place}",
                hint="Give one of them another name: @jsonremote(service, name=...).",
            )
        self._methods[method.name] = method
        return method

    @contextmanager
    def all_or_none(self) -> Generator[None]:
        """If what is done within fails, none of the methods that it added stays."""
        before = dict(self._methods)
        try:
            yield
        except BaseException:
            self._methods = before
            raise

    def answer(self, body: bytes | memoryview, request: ApiRequest) -> bytes | None:
        """Do what a JSON-RPC 2.0 request or batch asks for; see :func:`concurrence.transport.jsonrpc.answer`.

        Args:
            body: What the caller sent.
            request: Who that is.
        """
        return jsonrpc.answer(body, lambda name, params: self._run(name, params, request))

    def run(self, content: Any, request: ApiRequest) -> bytes | None:
        """The same for a body that was read already.

        Args:
            content: What :func:`concurrence.transport.jsonrpc.read` returned.
            request: Who sent it.
        """
        return jsonrpc.run(content, lambda name, params: self._run(name, params, request))

    def _run(self, name: str, params: jsonrpc.Params, request: ApiRequest) -> bytes:
        method = self._methods.get(name)
        if method is None:
            data = {"type": "MethodNotFound", "hint": _nearest(name, self._methods) or "api.list tells all."}
            raise RpcError(jsonrpc.METHOD_NOT_FOUND, f"there is no API method {_shown(name)}", data)
        if not method.allows(request.role):
            data = {"type": "Forbidden", "hint": "Use the connect file of an administrator, connect/admin.toml."}
            raise RpcError(jsonrpc.FORBIDDEN, f"the role {request.role.value} may not call {name}", data)
        arguments = method.arguments(params)
        began = self._now()
        try:
            return msgspec.json.encode(method.function(request, **arguments))
        except ConcurrenceError as error:
            data = {"type": type(error).__name__, "message": error.message, "hint": error.hint}
            raise RpcError(jsonrpc.FAILED, error.message, data) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # Whatever a plug-in does wrong, SystemExit included, costs its caller the answer and nobody else.
            self._log.exception("the API method %s at %s failed", name, method.place)
            data = {"type": "InternalError", "hint": "The log of the node that runs it says why."}
            raise RpcError(jsonrpc.INTERNAL_ERROR, f"the API method {name} failed", data) from error
        finally:
            self._tell_slow(method, self._now() - began)

    def _tell_slow(self, method: ApiMethod, took: float) -> None:
        if took > SLOW_SECONDS:
            text = "the API method %s at %s took %.2f s, in which its node did nothing else"
            self._log.warning(text, method.name, method.place, took)


def jsonremote(
    service: ApiService, name: str | None = None, *, roles: Collection[Role | str] = ()
) -> Callable[[F], F]:
    """Offer a function as a method of an API::

        @jsonremote(service)
        def hello(request: ApiRequest, name: str) -> str:
            return f"Hello {name}"

    Args:
        service: The API.
        name: What callers call it; by default the function's own name.
        roles: Who may call it besides an administrator, as in ``("client",)``; see ``docs/api.md``.

    Raises:
        UsageError: The name is malformed or taken, or the function cannot be offered.
    """
    if not isinstance(cast("object", service), ApiService):
        raise UsageError(
            f"jsonremote needs an ApiService, not {service!r}",
            hint="Write @jsonremote(service) above the function.",
        )

    def offer(function: F) -> F:
        service.add(function, name, roles=roles)
        return function

    return offer


def _describe(function: Callable[..., Any], name: str, roles: Collection[Role | str]) -> ApiMethod:
    place = _place(function)
    if not _NAME.fullmatch(name) or (name.startswith(_RESERVED) and name != _DESCRIPTION):
        raise UsageError(
            f"{_shown(name)} at {place} is no name for an API method",
            hint=f"Use letters, digits and _, in parts with dots between them; {_RESERVED} is reserved.",
        )
    what = f"the API method {name} at {place}"
    unwrapped = inspect.unwrap(function)
    if any(
        kind(unwrapped)
        for kind in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    ):
        raise UsageError(f"{what} is a coroutine or generator", hint="Make it a plain function with a result.")
    all_of_them = list(inspect.signature(function).parameters.values())
    first, others = (all_of_them[0], all_of_them[1:]) if all_of_them else (None, [])
    if first is None or first.kind in (first.KEYWORD_ONLY, first.VAR_KEYWORD):
        raise UsageError(
            f"{what} lacks its first parameter", hint=f"def {name.rpartition('.')[2]}(request, ...): who calls."
        )
    parameters = tuple(_parameter(what, unwrapped, each) for each in others)
    doc = inspect.getdoc(function) or ""
    return ApiMethod(name, function, parameters, doc, place, _roles(what, roles), _result(unwrapped))


def _roles(what: str, roles: Collection[Role | str]) -> frozenset[Role]:
    try:
        return frozenset(Role(role) for role in roles)
    except ValueError as error:
        raise UsageError(
            f"{what} is for roles {roles!r}, and there is no such role",
            hint=f'Write roles=("client",). Roles: {", ".join(Role)}.',
        ) from error


def _parameter(what: str, function: Any, parameter: inspect.Parameter) -> ApiParameter:
    name, annotation = parameter.name, parameter.annotation
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise UsageError(f"{what}: {parameter} cannot be given by name", hint="Name each parameter.")
    named_only = parameter.kind is parameter.KEYWORD_ONLY
    if annotation is parameter.empty:
        return ApiParameter(name, Any, "", parameter.default, named_only)
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    try:
        kind = _meant(function, name, annotation)
    except Exception as error:  # whatever evaluating an annotation raises: its author is told
        raise UsageError(
            f"{what}: the type of {name}, {text}, is none that JSON can be checked against: {error}",
            hint="Use str, int, float, bool, None, list, dict, Literal, dataclasses or msgspec.Struct, and import "
            "them at the top of the module.",
        ) from error
    return ApiParameter(name, kind, text, parameter.default, named_only)


def _result(function: Any) -> Any:
    """What a function returns; anything if it does not say so, or what JSON's schemas cannot say."""
    annotation = getattr(function, "__annotations__", {}).get("return", Any)
    try:
        return _meant(function, "return", annotation)
    except Exception:  # noqa: BLE001  whatever evaluating an annotation raises: results are described, not checked
        return Any


def _meant(function: Any, name: str, annotation: Any) -> Any:
    """The type that an annotation of a function stands for; one that JSON can be checked against."""
    # Each on its own: what others refer to, the request's for example, need not exist at run time.
    holder = cast("Any", SimpleNamespace(__annotations__={name: annotation}))
    names = getattr(function, "__globals__", {})
    kind = get_type_hints(holder, names, _nonlocals(function), include_extras=True)[name]
    msgspec.json.schema(kind)
    return kind


def _nonlocals(function: Any) -> dict[str, Any]:
    function = getattr(function, "__func__", function)
    return dict(inspect.getclosurevars(function).nonlocals) if inspect.isfunction(function) else {}


def _place(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(function)


def _shown(name: str) -> str:
    return repr(clipped(name, _SHOWN_NAME))


def _nearest(name: str, known: dict[str, Any]) -> str:
    # Not of long names: difflib takes longer than a method may.
    near = difflib.get_close_matches(name, known, n=1) if len(name) <= _SHOWN_NAME else []
    return f"Did you mean {near[0]!r}?" if near else ""
