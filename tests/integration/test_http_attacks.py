"""What is no request, or too much of one, on the HTTP port: refused, counted, told with the address, forgotten."""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import struct
import time
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import psutil
import pytest
from httpkit import SECONDS, Reply, Served, parse, until_closed
from swarmkit import Swarm, until

from concurrence.transport import jsonrpc
from concurrence.transport.http_guard import MAX_HEAD_BYTES
from concurrence.transport.jsonrpc import MAX_BODY_BYTES
from concurrence.transport.security import Role

GET = '{"jsonrpc": "2.0", "method": "get_data", "id": 1}'
ZMQ_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE" + bytes(15) + b"\x00" + bytes(31)


@pytest.fixture
def served() -> Generator[Served]:
    served = Served({"head_seconds": 1.0, "request_seconds": 2.0, "connections": 64})
    yield served
    served.close()


def is_well(served: Served) -> bool:
    """Whether it answers as if nothing had been."""
    return served.ask(body=GET).json["result"] == ["hello", 5]


@pytest.mark.parametrize(
    "data",
    [
        ZMQ_GREETING,
        struct.pack("!I", 100) + os.urandom(100),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost localhost\r\n\r\n",
        b"GET / HTTP/x.y\r\nhost: localhost\r\n\r\n",
        b"GET  /  HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: local\0host\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"POST /api/1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"POST /api/1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /api/1 HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip\r\n\r\n",
        b"\r\n" * 1_000 + b"\0" * 100,
    ],
    ids=[
        *("zeromq", "frame", "tls", "http2", "no colon", "version", "spaces", "nul", "two hosts"),
        *("two lengths", "negative length", "unknown encoding", "nothing"),
    ],
)
def test_what_is_no_http_is_refused_counted_and_told(
    served: Served, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with served.connect() as connection:
        connection.sendall(data)
        answer = until_closed(connection)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501", b"HTTP/1.1 421"))
    assert served.refused("bytes") + served.refused("slow") + served.refused("host") == 1
    assert "HTTP request from 127.0.0.1 refused" in caplog.text
    assert is_well(served)


def test_random_bytes(served: Served) -> None:
    chance = random.Random(5)
    for _ in range(150):
        with served.connect() as connection:
            try:
                connection.sendall(chance.randbytes(chance.randrange(1, 3_000)) + b"\r\n\r\n")
            except ConnectionError:
                continue
            # Who leaves before he is heard is not counted.
            until_closed(connection)
    assert served.refused("bytes") == 150
    assert is_well(served)


@pytest.mark.parametrize("size", [MAX_HEAD_BYTES - 500, MAX_HEAD_BYTES + 1, 100_000, 20_000_000])
def test_heads_are_bounded(served: Served, size: int) -> None:
    head = (
        f"GET /ping HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {served.token()}\r\nconnection: close\r\n"
    )
    with served.connect() as connection:
        try:
            connection.sendall(f"{head}x: {'x' * size}\r\n\r\n".encode())
        except ConnectionError:
            assert size > MAX_HEAD_BYTES
        answer = until_closed(connection)
    fits = size < MAX_HEAD_BYTES
    assert answer.startswith((b"HTTP/1.1 200",) if fits else (b"HTTP/1.1 400", b"HTTP/1.1 431")) or not (
        fits or answer
    )
    assert served.refused("bytes") + served.refused("head") == (not fits)
    assert is_well(served)


def test_bodies_are_bounded_whether_they_tell_their_size_or_not(served: Served) -> None:
    assert served.ask(body=f'"{"x" * (MAX_BODY_BYTES - 2)}"').json["error"]["code"] == jsonrpc.INVALID_REQUEST
    head = f"host: localhost\r\nauthorization: Bearer {served.token()}\r\ncontent-type: application/json\r\n"
    told = f"POST /api/1 HTTP/1.1\r\n{head}content-length: 99999999999\r\n\r\n"
    assert parse(served.raw(told.encode())).status == 413
    with served.connect() as connection:
        connection.sendall(f"POST /api/1 HTTP/1.1\r\n{head}transfer-encoding: chunked\r\n\r\n".encode())
        part = b"10000\r\n" + b"[" * 65_536 + b"\r\n"
        try:
            for _ in range(200):
                connection.sendall(part)
        except ConnectionError:
            pass
        answer = until_closed(connection)
    assert answer == b"" or parse(answer).status == 413
    assert served.refused("size") == 2
    assert is_well(served)


def test_packed_bodies_are_not_unpacked(served: Served) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    reply = served.ask(body=bomb, content_encoding="gzip")
    assert reply.status == 415
    assert served.refused("encoding") == 1
    assert is_well(served)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("[" * 100_000 + "]" * 100_000, jsonrpc.INVALID_REQUEST),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, jsonrpc.INVALID_REQUEST),
        ('{"jsonrpc": "2.0", "method": "get_data", "method": "sum", "id": 1}', jsonrpc.INVALID_REQUEST),
        ("[" + ",".join(["1"] * 100_000) + "]", jsonrpc.INVALID_REQUEST),
        ("[" + ",".join(["{}"] * 101) + "]", jsonrpc.INVALID_REQUEST),
        (b"\xff\xfe" * 1_000, jsonrpc.PARSE_ERROR),
        ("9" * 900_000, jsonrpc.PARSE_ERROR),
        ("", jsonrpc.PARSE_ERROR),
    ],
    ids=[
        "deep lists",
        "deep objects",
        "twice a key",
        "100,000 calls",
        "101 calls",
        "bytes",
        "a number",
        "nothing",
    ],
)
def test_bad_json_is_refused_counted_and_told(
    served: Served, body: Any, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.process_time()
    reply = served.ask(body=body)
    assert reply.json["error"]["code"] == code or reply.json["error"]["code"] == jsonrpc.INVALID_REQUEST
    assert len(reply.body) < 1_000
    assert time.process_time() - began < 5.0
    assert served.refused("request") == 1
    assert "HTTP request from 127.0.0.1 refused" in caplog.text
    assert served.called == []
    assert is_well(served)


def test_who_sends_a_head_or_a_body_slowly_is_cut(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    head = f"POST /api/1 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {served.token()}\r\n"
    body = f"{head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    for sent in (head, body):
        with served.connect() as connection:
            connection.sendall(sent.encode())
            connection.settimeout(0.2)
            deadline = time.monotonic() + SECONDS
            is_cut = False
            while not is_cut and time.monotonic() < deadline:  # a byte now and then, for ever
                try:
                    connection.sendall(b"x")
                    is_cut = not connection.recv(1)
                except TimeoutError:
                    continue
                except ConnectionError:
                    is_cut = True
            assert is_cut
    assert served.refused("slow") == 2
    assert "was not over within 2 s" in caplog.text or "no whole request within 1 s" in caplog.text
    assert is_well(served)


def test_who_does_not_read_is_cut(served: Served) -> None:
    with served.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.sendall(
            f"GET /large HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {served.token()}\r\n\r\n".encode()
        )
        until(lambda: served.refused("slow") == 1, SECONDS, "it is cut")
    assert is_well(served)


def test_half_open_connections_make_room_for_those_that_ask(served: Served) -> None:
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(served.connect())
            if _ % 50 == 0:
                assert is_well(served)
        assert is_well(served)
        assert served.refused("connections") >= 200
    assert is_well(served)


def test_silent_connections_end_without_a_word(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Browsers open connections ahead of time: nothing is wrong with that."""
    with served.connect() as connection:
        assert until_closed(connection) == b""
    assert caplog.text == ""


class Attacked:
    """A real master that is attacked beside its work."""

    def __init__(self, swarm: Swarm) -> None:
        self.swarm = swarm
        self.master = swarm.master("api.connections=200")
        credentials = swarm.credentials("admin")
        self.token = credentials.token
        self.port = int(credentials.api.rpartition(":")[2])
        self.process = psutil.Process(self.master.pid)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), SECONDS)

    def ask(self, body: bytes) -> Reply:
        head = f"POST /api/1 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {self.token}\r\n"
        head += "connection: close\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        with self.connect() as connection:
            connection.sendall(head.encode() + body)
            return parse(until_closed(connection))

    def strike(self, chance: random.Random) -> None:
        """One attack of each kind."""
        for data in (chance.randbytes(2_000), ZMQ_GREETING, b"GET / HTTP/1.1\r\nx: " + b"x" * 100_000):
            with self.connect() as connection:
                try:
                    connection.sendall(data)
                except ConnectionError:
                    continue
        self.ask(b"[" * 500_000)
        self.ask(b"[" + b"1," * 100_000 + b"1]")
        self.ask(b'"' + b"x" * 1_000_000 + b'"')

    @property
    def memory(self) -> int:
        return self.process.memory_info().rss


def attack(swarm: Swarm, connections: int, rounds: int) -> None:
    """Attack a master that works; its work and its memory must not notice."""
    attacked = Attacked(swarm)
    swarm.slave("attic")
    chance = random.Random(7)
    attacked.strike(chance)
    app = swarm.run("slow.py:SlowTasks", "slow.count=60", "slow.seconds=0.05", "slow.quick=2000")
    app.wait_for("", 1.0)
    before = attacked.memory
    with ExitStack() as stack:
        for number in range(connections):
            try:
                stack.enter_context(attacked.connect()).sendall(b"GET / HTTP/1.1\r\n")
            except ConnectionError:
                continue
            if number % max(1, connections // rounds) == 0:
                attacked.strike(chance)
        status = attacked.ask(b'{"jsonrpc": "2.0", "method": "stats", "id": 1}').json["result"]
    report = app.ends_well(120.0)
    assert len(report["ends"]) == 2_060
    assert report["errors"] == {}
    refused = {name: each["events"] for name, each in status.items() if name.startswith("api.refused.")}
    assert refused["api.refused.bytes"] >= rounds
    assert refused["api.refused.request"] >= rounds
    assert refused.get("api.refused.connections", 0) >= connections - 250
    grown = attacked.memory - before
    assert grown < 64e6, f"{grown / 1e6:.0f} MB"
    told = [line for line in attacked.master.output.splitlines() if "HTTP request from 127.0.0.1 refused" in line]
    assert 2 < len(told) < 200, "told, but not each"
    assert "Traceback" not in attacked.master.output


def test_a_master_works_on_while_it_is_attacked(swarm: Swarm) -> None:
    attack(swarm, 400, 10)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_master_works_on_beside_5000_half_open_connections(swarm: Swarm) -> None:
    attack(swarm, 5_000, 50)


def test_a_bad_token_is_told_with_its_address_and_not_with_the_token(served: Served, caplog: Any) -> None:
    reply = served.ask("/status", authorization="Bearer my-secret-guess")
    assert reply.status == 401
    assert "my-secret-guess" not in caplog.text
    assert "HTTP request from 127.0.0.1 refused: the token is not valid" in caplog.text
    assert json.loads(reply.body)["error"] == "the token is not valid"
    assert served.ask("/status", role=Role.SLAVE).status == 403
