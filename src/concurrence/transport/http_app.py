"""The HTTP port's application: JSON-RPC, the pages of a node, events, and how a browser comes in. On Starlette."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from concurrence.telemetry.api import IStats
from concurrence.transport import http_guard, jsonrpc
from concurrence.transport.addresses import plain_address
from concurrence.transport.http_bridge import Bridge, NoAnswer
from concurrence.transport.http_guard import Guard, HttpRefused, allow
from concurrence.transport.http_limits import Refusals
from concurrence.transport.http_pages import JSON, PEOPLE, HttpAnswer, HttpPages, HttpSettings
from concurrence.transport.jsonrpc import RpcError
from concurrence.transport.remote import ApiRequest, ApiService
from concurrence.transport.security import Role
from concurrence.transport.tokens import Caller

MAX_LISTENERS = 32
EVENT_SECONDS = 1.0
PULSE_SECONDS = 0.5
"""An answer of the node's thread is good for so long, as a sign of life."""
_GZIP_FROM = 1_024
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_REFRESH = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Concurrent</title>
<link rel="icon" href="/status.svg">
<meta http-equiv="refresh" content="0;url=/"><p><a href="/">Go on</a></p></html>
"""

Scope: TypeAlias = "MutableMapping[str, Any]"
Asgi: TypeAlias = "Callable[[Scope, Any, Any], Awaitable[None]]"


class HttpApp:
    """Answers requests.

    Args:
        settings: How the node serves HTTP.
        service: The methods.
        pages: What else there is.
        bridge: To the node's thread.
        refusals: Told of what is refused.
        stats: Counts requests.
        cookie: The name of the sessions' cookie.
    """

    def __init__(
        self,
        settings: HttpSettings,
        service: ApiService,
        pages: HttpPages,
        bridge: Bridge,
        refusals: Refusals,
        stats: IStats,
        cookie: str,
    ) -> None:
        self._settings = settings
        self._service = service
        self._pages = pages
        self._bridge = bridge
        self._refusals = refusals
        self._stats = stats
        self._cookie = cookie
        self._guard = Guard(
            settings.tokens, settings.sessions, settings.own_hosts(), cookie, settings.rate, time.monotonic
        )
        self._path = f"/api/{service.version}"
        self._listeners = 0
        self._event: tuple[float, bytes] = (float("-inf"), b"")
        self._event_lock = asyncio.Lock()
        self._pulse: asyncio.Task[None] | None = None
        self._alive_at = float("-inf")
        self._is_closing = asyncio.Event()
        self._front_policy = _policy_of(pages.front)
        self._routed: Asgi = _packing(self._starlette())

    def close(self) -> None:
        """End what goes on for ever."""
        self._is_closing.set()

    def _starlette(self) -> Starlette:
        routes = [
            Route(self._path, self._call, methods=["POST"]),  # for what comes with another method
            Route(f"{self._path}/openrpc.json", self._openrpc, methods=["GET"]),
            Route("/health", self._health, methods=["GET"]),
            Route("/ping", self._ping, methods=["GET"]),
            Route("/login", self._login, methods=["GET"]),
            *(Route(each, self._made, methods=["GET"]) for each in self._pages.made),
            *(Route(each, self._fixed, methods=["GET"]) for each in self._pages.fixed),
        ]
        if self._pages.events is not None:
            routes.append(Route("/events", self._events, methods=["GET"]))
        handlers: Any = {HttpRefused: self._refused, NoAnswer: self._not_answered, HTTPException: self._failed}
        return Starlette(routes=routes, exception_handlers=handlers)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """One request."""
        request = HttpRequest(scope, receive)
        self._stats.count("api.requests")
        try:
            scope["state"]["caller"] = self._guard.check(_seen(request))
        except HttpRefused as error:
            await self._refused(request, error)(scope, receive, send)
            return
        if scope["path"] == self._path and scope["method"] == "POST":
            await (await self._answered(request))(scope, receive, send)
            return
        await self._routed(scope, receive, send)

    # --- JSON-RPC ---

    async def _answered(self, request: HttpRequest) -> Asgi:
        """The answer to calls: nearly all that is asked, so that it takes a shorter way than pages do."""
        try:
            response = await self._call(request)
        except HttpRefused as error:
            return self._refused(request, error)
        return response if len(response.body) < _GZIP_FROM else _packing(response)

    async def _call(self, request: HttpRequest) -> Response:
        caller: Caller = allow(request.state.caller, tuple(Role), "methods")
        if caller.reads_only:
            raise HttpRefused(403, "role", "a browser's session may look, and not call methods")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON:
            raise HttpRefused(415, "type", f"the body is {kind or 'nothing'!r:.80}", f"Send {JSON}.")
        address = _address(request)
        try:
            content = jsonrpc.read(await _body(request))
        except RpcError as error:
            self._refusals.add("request", address, error.message)
            return Response(jsonrpc.refusal(error), media_type=JSON)
        who = ApiRequest(address, caller.role, caller.key)
        try:
            body = await self._bridge.ask(lambda: self._service.run(content, who), self._settings.answer_seconds)
        except NoAnswer as error:
            problem = RpcError(jsonrpc.NO_ANSWER, error.message, {"type": "NoAnswer", "hint": error.hint})
            return Response(jsonrpc.refusal(problem), 503, media_type=JSON)
        return Response(status_code=204) if body is None else Response(body, media_type=JSON)

    async def _openrpc(self, request: HttpRequest) -> Response:
        caller = allow(request.state.caller, PEOPLE, "the description of the API")
        who = ApiRequest(_address(request), caller.role, caller.key)
        call = {"jsonrpc": "2.0", "method": "rpc.discover", "id": 1}
        body = await self._bridge.ask(lambda: self._service.run(call, who), self._settings.answer_seconds)
        answer: Any = msgspec.json.decode(body or b"{}")
        return Response(msgspec.json.encode(answer.get("result")), media_type=JSON)

    # --- signs of life ---

    async def _ping(self, request: HttpRequest) -> Response:
        return Response(b"pong", media_type="text/plain")

    async def _health(self, request: HttpRequest) -> Response:
        if asyncio.get_running_loop().time() - self._alive_at > PULSE_SECONDS:
            if self._pulse is None:  # one question for all who ask meanwhile
                self._pulse = asyncio.create_task(self._feel_pulse())
            await asyncio.shield(self._pulse)
        return Response(b'{"status":"ok"}', media_type=JSON)

    async def _feel_pulse(self) -> None:
        try:
            await self._bridge.ask(lambda: None, self._settings.answer_seconds)
            self._alive_at = asyncio.get_running_loop().time()
        finally:
            self._pulse = None

    # --- pages and events ---

    async def _made(self, request: HttpRequest) -> Response:
        allow(request.state.caller, PEOPLE, request.url.path)
        make = self._pages.made[request.url.path]
        return _response(await self._bridge.ask(make, self._settings.answer_seconds))

    async def _fixed(self, request: HttpRequest) -> Response:
        allow(request.state.caller, PEOPLE, request.url.path)
        return _response(self._pages.fixed[request.url.path])

    async def _login(self, request: HttpRequest) -> Response:
        cookie = self._settings.sessions.redeem(request.query_params.get("code", ""))
        if cookie is None:
            raise HttpRefused(401, "token", "the code in this address is not valid, or was used already")
        # A page that goes on by itself, not a redirect: whatever led here, the next request is this site's own,
        # which is when a browser sends a cookie that is strict.
        response = Response(_REFRESH, media_type="text/html", headers=_HEADERS)
        response.set_cookie(self._cookie, cookie, httponly=True, samesite="strict", path="/")
        return response

    async def _events(self, request: HttpRequest) -> Response:
        allow(request.state.caller, PEOPLE, "events")
        if self._listeners >= MAX_LISTENERS:
            raise HttpRefused(503, "listeners", f"{MAX_LISTENERS} listen already", "Close another page.")
        return StreamingResponse(self._stream(request), media_type="text/event-stream", headers=_HEADERS)

    async def _stream(self, request: HttpRequest) -> AsyncGenerator[bytes]:
        self._listeners += 1
        try:
            while not self._is_closing.is_set():
                yield b"data: " + await self._latest_event() + b"\n\n"
                request.scope["connection"].goes_on()
                try:
                    await asyncio.wait_for(self._is_closing.wait(), EVENT_SECONDS)
                except TimeoutError:
                    continue
        finally:
            self._listeners -= 1

    async def _latest_event(self) -> bytes:
        """The present event, made once a second however many listen."""
        make = self._pages.events
        assert make is not None, "there is no such path without"
        loop = asyncio.get_running_loop()
        async with self._event_lock:
            made, event = self._event
            if loop.time() - made >= EVENT_SECONDS / 2:
                try:
                    event = await self._bridge.ask(make, self._settings.answer_seconds)
                except NoAnswer:
                    event = b'{"busy":true}'
                self._event = (loop.time(), event)
        return event

    # --- what goes wrong ---

    def _refused(self, request: HttpRequest, error: HttpRefused) -> Response:
        self._refusals.add(error.kind, _address(request), error.message)
        headers = {**_HEADERS, "connection": "close"}
        if error.status == 401:
            headers["www-authenticate"] = "Bearer"
            if self._pages.front and "text/html" in request.headers.get("accept", ""):
                headers["content-security-policy"] = self._front_policy
                return Response(self._pages.front, 401, headers=headers, media_type="text/html")
        if error.status == 429:
            headers["retry-after"] = "1"
        body = msgspec.json.encode({"error": error.message, "hint": error.hint})
        return Response(body, error.status, headers=headers, media_type=JSON)

    def _not_answered(self, request: HttpRequest, error: NoAnswer) -> Response:
        body = msgspec.json.encode({"error": error.message, "hint": error.hint})
        return Response(body, 503, headers={**_HEADERS, "retry-after": "1"}, media_type=JSON)

    def _failed(self, request: HttpRequest, error: HTTPException) -> Response:
        """No such path, or not with this method."""
        hint = f"POST /api/{self._service.version} calls methods; /status, /stats and /metrics tell of the node."
        body = msgspec.json.encode({"error": f"{error.status_code} {error.detail}", "hint": hint})
        return Response(body, error.status_code, headers={**_HEADERS, **(error.headers or {})}, media_type=JSON)


async def _body(request: HttpRequest) -> bytes:
    """The body, no more of it than is allowed.

    Raises:
        HttpRefused: It is too large, or did not come whole.
    """
    said = request.headers.get("content-length", "0")
    size = int(said) if said.isdecimal() and len(said) < 20 else 0
    parts: list[bytes] = []
    if size <= jsonrpc.MAX_BODY_BYTES:
        size = 0
        try:
            async for part in request.stream():
                size += len(part)
                if size > jsonrpc.MAX_BODY_BYTES:
                    break
                parts.append(part)
        except ClientDisconnect:
            raise HttpRefused(400, "gone", "the connection ended before the body did") from None
    if size > jsonrpc.MAX_BODY_BYTES:
        text = f"the body has more than {jsonrpc.MAX_BODY_BYTES} bytes"
        raise HttpRefused(413, "size", text, "Send several smaller requests.")
    return b"".join(parts)


def _seen(request: HttpRequest) -> http_guard.Request:
    headers: dict[str, str] = {}
    repeated: list[str] = []
    size = len(request.scope["raw_path"]) + len(request.scope["query_string"])
    for raw, content in request.scope["headers"]:
        size += len(raw) + len(content) + 4
        name = raw.decode("latin-1")
        if name in headers:
            repeated.append(name)
        headers[name] = content.decode("latin-1")
    return http_guard.Request(_address(request), request.scope["path"], headers, repeated, size)


def _policy_of(page: bytes) -> str:
    """What a page may do that has nothing but a style of its own."""
    style = page.partition(b"<style>")[2].partition(b"</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"


def _address(request: HttpRequest) -> str:
    return plain_address(request.client.host) if request.client is not None else ""


def _packing(app: Asgi) -> Asgi:
    return GZipMiddleware(app, minimum_size=_GZIP_FROM, compresslevel=5)


def _response(answer: HttpAnswer) -> Response:
    return Response(answer.body, answer.status, headers=_HEADERS, media_type=answer.media_type)
