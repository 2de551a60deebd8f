"""An HTTP port on a poll loop of its own, in this process, for tests; and a client that sends anything."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from concurrence.nodes.reactor import Reactor
from concurrence.telemetry.stats import Stats
from concurrence.transport.http_pages import HttpAnswer, HttpPages, HttpSettings
from concurrence.transport.http_server import HttpServer
from concurrence.transport.remote import ApiRequest, ApiService, jsonremote
from concurrence.transport.security import Role
from concurrence.transport.tokens import ApiTokens

SECONDS = 30.0
"""How long a test waits for what should come at once."""


@dataclass
class Reply:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A port with the methods of the specification's examples.

    Attributes:
        called: The methods that were called, with their callers.
    """

    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    called: list[tuple[str, ApiRequest]] = field(default_factory=list[tuple[str, ApiRequest]])
    pages: HttpPages | None = None

    def __post_init__(self) -> None:
        self.reactor = Reactor()
        self.stats = Stats()
        self.tokens = ApiTokens.create()
        self.service = ApiService()
        self._offer()
        self.held = threading.Event()
        self.held.set()
        made: dict[str, Callable[[], HttpAnswer]] = {
            "/status": lambda: HttpAnswer(b'{"fine":true}'),
            "/large": lambda: HttpAnswer(b"x" * 8_000_000, "text/plain"),
        }
        pages = self.pages or HttpPages(made, events=lambda: b'{"n":%d}' % len(self.called))
        settings = HttpSettings("127.0.0.1", 0, self.tokens, **self.settings)
        self.server = HttpServer(
            settings, self.service, pages, self.reactor.post, logging.getLogger("served"), self.stats
        )
        self._loop = threading.Thread(target=self.reactor.run, daemon=True)
        self._loop.start()
        self.server.start()

    @property
    def port(self) -> int:
        return self.server.port

    def close(self) -> None:
        self.held.set()
        self.server.stop()
        self.reactor.post(self.reactor.stop)
        self._loop.join(SECONDS)
        self.reactor.close()

    def hold(self) -> None:
        """Keep the poll loop from doing anything until ``held`` is set."""
        self.held.clear()
        self.reactor.post(lambda: void(self.held.wait(SECONDS)))

    def token(self, role: Role = Role.ADMIN) -> str:
        return self.tokens.token(role)

    def connect(self) -> socket.socket:
        """A fresh connection."""
        return socket.create_connection(("127.0.0.1", self.port), SECONDS)

    def raw(self, data: bytes) -> bytes:
        """Send bytes on a fresh connection; all that comes until the other end closes."""
        with self.connect() as connection:
            connection.sendall(data)
            return until_closed(connection)

    def ask(
        self,
        path: str = "/api/1",
        body: bytes | str | None = None,
        *,
        role: Role | None = Role.ADMIN,
        method: str = "",
        **headers: str,
    ) -> Reply:
        """One request on a connection of its own."""
        data = body.encode() if isinstance(body, str) else body
        sent = {"host": f"127.0.0.1:{self.port}", "connection": "close"}
        if role is not None:
            sent["authorization"] = f"Bearer {self.token(role)}"
        if data is not None:
            sent |= {"content-type": "application/json", "content-length": str(len(data))}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        verb = method or ("GET" if data is None else "POST")
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        return parse(self.raw(f"{verb} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (data or b"")))

    def refused(self, kind: str) -> int:
        """How many refusals of a kind were counted."""
        found = self.stats.snapshot().get(f"api.refused.{kind}")
        return found.events if found is not None else 0

    def _offer(self) -> None:
        service, called = self.service, self.called

        @jsonremote(service)
        def subtract(request: ApiRequest, minuend: int, subtrahend: int) -> int:
            called.append(("subtract", request))
            return minuend - subtrahend

        @jsonremote(service, roles=("client",))
        def get_data(request: ApiRequest) -> list[Any]:
            called.append(("get_data", request))
            return ["hello", 5]

        @jsonremote(service, name="sum")
        def add(request: ApiRequest, a: int, b: int, c: int) -> int:
            return a + b + c

        for name in ("update", "notify_hello", "notify_sum"):

            @jsonremote(service, name=name)
            def note(
                request: ApiRequest, a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0, name: str = name
            ) -> None:
                called.append((name, request))


def void(_: object) -> None:
    """Nothing."""


def until_closed(connection: socket.socket) -> bytes:
    """All that comes until the other end closes or resets."""
    connection.settimeout(SECONDS)
    parts: list[bytes] = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)


def parse(raw: bytes) -> Reply:
    """An answer from its bytes."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunked(body)
    return Reply(int(first.split()[1]), headers, body)


def _unchunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    while body:
        size, _, body = body.partition(b"\r\n")
        parts.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    return b"".join(parts)
