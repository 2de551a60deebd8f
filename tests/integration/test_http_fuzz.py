"""Whatever comes over HTTP: answers that say what is wrong, no fault, no traceback, and flat memory."""

from __future__ import annotations

import json
import logging
import os
import random
import socket
from collections.abc import Generator
from typing import Any

import psutil
import pytest
from httpkit import Reply, Served, parse, until_closed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concurrence.transport.security import Role

IS_LONG = bool(os.environ.get("CONCURRENCE_NEW_EXAMPLES"))
EXAMPLES = 1_000 if IS_LONG else 60
REQUESTS = 20_000 if IS_LONG else 1_500
MAX_GROWTH = 24 * 1024 * 1024
UNKNOWN_ENCODING = 501  # of the transfer: the one refusal of HTTP's own that is no mistake of the caller's
WORKS = b'{"jsonrpc":"2.0","method":"subtract","params":[42,23],"id":1}'

fuzzing = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])

scalars: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([2**64, -1e400])
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
methods: st.SearchStrategy[Any] = (
    st.sampled_from(["subtract", "sum", "update", "get_data", "rpc.discover", "no such", ""]) | values
)
calls: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "1.0", 2]) | values,
        "method": methods,
        "params": values,
        "id": values,
        "more": values,
    },
)


def encoded(value: Any) -> bytes:
    """As JSON, with what JSON does not know."""
    return json.dumps(value).encode()


def bent(place: int, byte: int) -> bytes:
    """A request that works, but for one byte."""
    return WORKS[:place] + bytes([byte]) + WORKS[place + 1 :]


bodies: st.SearchStrategy[bytes] = (
    (calls | st.lists(calls | values, max_size=5) | values).map(encoded)
    | st.binary(max_size=200)
    | st.builds(bent, st.integers(0, len(WORKS)), st.integers(0, 255))
)
tokens = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
names = st.sampled_from(
    [
        "host",
        "origin",
        "authorization",
        "content-type",
        "content-length",
        "transfer-encoding",
        "accept-encoding",
        "cookie",
        "connection",
        "expect",
        "upgrade",
        "referer",
        "sec-fetch-site",
        "accept",
    ]
) | st.text(tokens, min_size=1, max_size=12)
contents = st.sampled_from(
    [
        "",
        "chunked",
        "gzip",
        "gzip;q=0",
        "close",
        "100-continue",
        "websocket",
        "application/json",
        "text/html",
        "0",
        "-1",
        "9" * 30,
        "Bearer",
        "Bearer x",
        "Basic eDp5",
        "null",
        "http://evil.example",
        "127.0.0.1",
        "[::1]:80",
        "\xe4\xff",
    ]
) | st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40)
headers = st.lists(st.tuples(names, contents), max_size=6)
places = [
    "/",
    "/api/1",
    "/api/1/",
    "/api/2",
    "/api/1/openrpc.json",
    "/status",
    "/events/",
    "/login?code=x",
    "/ping",
]
places += ["/health", "//", "/..%2fetc/passwd", "*", "http://evil.example/status", "/%00", "/%ff"]
paths = st.sampled_from(places) | st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60).map(
    lambda text: "/" + text
)
verbs = st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI", "get"])


@pytest.fixture(scope="module")
def served() -> Generator[Served]:
    made = Served({"head_seconds": 2.0, "request_seconds": 5.0})
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _no_faults(served: Served, caplog: pytest.LogCaptureFixture) -> Generator[None]:
    """Nothing is a fault of ours, and who asks properly is answered afterwards."""
    yield
    assert served.ask(body=WORKS).json["result"] == 19
    faults = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert not faults


def sent(served: Served, data: bytes) -> Reply | None:
    """The answer to some bytes, after which nothing more comes; None if there is none."""
    with served.connect() as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except ConnectionError:
            pass  # it has heard enough
        raw = until_closed(connection)
    return parse(raw) if raw.startswith(b"HTTP/1.1 ") else None


def head_of(served: Served, verb: str, path: str, pairs: list[tuple[str, str]], *, has_token: bool) -> bytes:
    """A request line and headers, those of a friend first."""
    given = {name for name, _ in pairs}
    friendly = [("host", f"127.0.0.1:{served.port}"), ("connection", "close")]
    if has_token:
        friendly.append(("authorization", f"Bearer {served.token(Role.ADMIN)}"))
    lines = [f"{name}: {content}\r\n" for name, content in friendly if name not in given]
    lines += [f"{name}: {content}\r\n" for name, content in pairs]
    return f"{verb} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1")


def check(reply: Reply | None) -> None:
    """It is no fault, and shows none."""
    if reply is not None:
        assert reply.status < 500 or reply.status == UNKNOWN_ENCODING, reply
        assert b"Traceback" not in reply.body
        assert b'.py"' not in reply.body


@fuzzing
@given(bodies)
def test_bodies(served: Served, body: bytes) -> None:
    reply = served.ask(body=body)
    assert reply.status in (200, 204)
    check(reply)
    if reply.status == 204:
        return
    answers: list[Any] = reply.json if reply.body.startswith(b"[") else [reply.json]
    for answer in answers:
        assert answer["jsonrpc"] == "2.0"
        assert ("result" in answer) != ("error" in answer)
        assert "id" in answer
        if "error" in answer:
            assert isinstance(answer["error"]["code"], int)
            assert answer["error"]["code"] != -32603  # an internal error


@fuzzing
@given(verbs, paths, headers, bodies, st.booleans())
def test_heads(
    served: Served, verb: str, path: str, pairs: list[tuple[str, str]], body: bytes, has_token: bool
) -> None:
    with_size = [*pairs, ("content-length", str(len(body)))] if body else pairs
    check(sent(served, head_of(served, verb, path, with_size, has_token=has_token) + body))


@fuzzing
@given(st.binary(max_size=400), st.integers(0, 80))
def test_bytes_within_a_request(served: Served, noise: bytes, place: int) -> None:
    request = head_of(served, "POST", "/api/1", [("content-type", "application/json")], has_token=True)
    check(sent(served, request[:place] + noise + request[place:]))
    check(sent(served, noise))


def test_a_body_that_ends_too_early(served: Served) -> None:
    head = head_of(
        served, "POST", "/api/1", [("content-type", "application/json"), ("content-length", "99")], has_token=True
    )
    for _ in range(20):
        check(sent(served, head + WORKS))
    assert served.refused("gone")


def test_memory_is_flat(served: Served) -> None:
    """The same requests again and again, each bent a little."""
    chance = random.Random(5)
    head = head_of(
        served, "POST", "/api/1", [("content-type", "application/json"), ("content-length", str(len(WORKS)))],
        has_token=True,
    )  # fmt: skip
    whole = head + WORKS
    process = psutil.Process()
    before = 0
    for number in range(REQUESTS):
        if number == REQUESTS // 3:
            before = process.memory_info().rss
        request = bytearray(whole)
        for _ in range(chance.randrange(4)):
            request[chance.randrange(len(request))] = chance.randrange(256)
        check(sent(served, bytes(request[: chance.randrange(1, 3 * len(request))])))
    growth = process.memory_info().rss - before
    assert growth < MAX_GROWTH, f"{growth >> 20} MiB"
