"""The HTTP port: JSON-RPC, roles, packed answers, events, a node that does not answer, and its end."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from collections.abc import Generator
from typing import Any

import pytest
from httpkit import SECONDS, Served
from rpc_examples import EXAMPLES, NAMES, NOTIFICATIONS, codes
from swarmkit import until

from concurrence.errors import UsageError
from concurrence.transport import jsonrpc
from concurrence.transport.http_pages import HttpAnswer, HttpPages, HttpSettings
from concurrence.transport.http_server import HttpServer
from concurrence.transport.security import Role

PING = '{"jsonrpc": "2.0", "method": "get_data", "id": 1}'


@pytest.fixture
def served() -> Generator[Served]:
    served = Served()
    yield served
    served.close()


@pytest.mark.parametrize(("body", "expected"), EXAMPLES, ids=NAMES)
def test_the_examples_of_the_specification(served: Served, body: str, expected: Any) -> None:
    reply = served.ask(body=body)
    if expected is None:
        assert (reply.status, reply.body) == (204, b"")
    else:
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
        assert codes(reply.json) == expected


def test_notifications_are_carried_out_before_they_are_answered(served: Served) -> None:
    assert served.ask(body=NOTIFICATIONS).status == 204
    assert [name for name, _ in served.called] == ["notify_sum", "notify_hello"]


def test_a_method_is_told_who_calls(served: Served) -> None:
    served.ask(body=PING)
    served.ask(body=PING, role=Role.CLIENT)
    (_, first), (_, second) = served.called
    assert (first.address, first.role, first.name, first.node) == ("127.0.0.1", Role.ADMIN, "", "")
    assert second.role is Role.CLIENT
    assert first.key.startswith("token:")
    assert first.key != second.key


def test_roles_may_call_what_is_offered_to_them(served: Served) -> None:
    subtract = '{"jsonrpc": "2.0", "method": "subtract", "params": [3, 1], "id": 1}'
    assert served.ask(body=subtract).json["result"] == 2
    for role in (Role.CLIENT, Role.SLAVE):
        error = served.ask(body=subtract, role=role).json["error"]
        assert error["code"] == jsonrpc.FORBIDDEN
        assert f"the role {role.value} may not call subtract" in error["message"]
    assert served.ask(body=PING, role=Role.CLIENT).json["result"] == ["hello", 5]
    assert served.ask(body=PING, role=Role.SLAVE).json["error"]["code"] == jsonrpc.FORBIDDEN
    assert [name for name, _ in served.called] == ["subtract", "get_data"]
    assert served.ask("/status", role=Role.CLIENT).json == {"fine": True}
    assert served.ask("/status", role=Role.SLAVE).status == 403
    assert served.ask("/status", role=None).status == 401


def test_everything_but_health_wants_a_token(served: Served) -> None:
    for path in ("/", "/ping", "/status", "/events", "/api/1", "/api/1/openrpc.json", "/nothing"):
        reply = served.ask(path, role=None)
        assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert "Authorization: Bearer" in reply.json["hint"]
    assert served.ask("/health", role=None).json == {"status": "ok"}
    assert served.ask("/ping", role=Role.SLAVE).body == b"pong"
    assert served.ask("/login?code=x", role=None).status == 401
    assert served.refused("token") == 8


def test_hosts_and_origins_are_checked_whatever_the_method(served: Served) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"):
        assert served.ask("/status", method=method, host="evil.example").status == 421
        assert served.ask("/status", method=method, origin="http://evil.example").status == 403
    assert served.refused("host") == 8
    assert served.ask("/status", method="PUT").status == 405
    assert served.ask("/api/1").status == 405
    assert "POST /api/1" in served.ask("/nothing").json["hint"]


def test_a_body_must_say_that_it_is_json(served: Served) -> None:
    """A page of another origin can have a browser send any other type without asking first."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"):
        assert served.ask(body=PING, content_type=kind).status == 415
    assert served.ask(body=PING, content_type="application/json; charset=utf-8").status == 200


def test_long_answers_are_packed_for_who_takes_that(served: Served) -> None:
    batch = json.dumps([json.loads(PING)] * 100)
    plain = served.ask(body=batch)
    packed = served.ask(body=batch, accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 5
    assert "content-encoding" not in served.ask(body=PING, accept_encoding="gzip").headers


def test_one_connection_for_many_requests(served: Served) -> None:
    head = f"host: localhost\r\nauthorization: Bearer {served.token()}\r\n"
    one = f"GET /ping HTTP/1.1\r\n{head}\r\n"
    with served.connect() as connection:
        for _ in range(20):
            connection.sendall(one.encode())
            answer = b""
            while not answer.endswith(b"pong"):
                answer += connection.recv(4_096)
    last = f"GET /ping HTTP/1.1\r\n{head}connection: close\r\n\r\n"
    pipelined = served.raw((one * 4 + last).encode())
    assert pipelined.count(b"HTTP/1.1 200") == 5


def test_events_come_again_and_again_and_are_made_once_for_all(served: Served) -> None:
    request = f"GET /events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {served.token()}\r\n\r\n".encode()
    connections = [served.connect() for _ in range(3)]
    for connection in connections:
        connection.sendall(request)
    for connection in connections:
        text = b""
        while text.count(b"data: {") < 3:
            text += connection.recv(4_096)
        assert b"text/event-stream" in text
        connection.close()
    assert served.ask("/events", role=Role.SLAVE).status == 403


def test_a_node_that_does_not_answer_costs_its_callers_only_a_deadline() -> None:
    served = Served({"answer_seconds": 0.5})
    try:
        served.hold()
        update = '{"jsonrpc": "2.0", "method": "update", "id": 1}'
        reply = served.ask(body=update)
        assert (reply.status, reply.json["error"]["code"]) == (503, jsonrpc.NO_ANSWER)
        assert "Nothing was done" in reply.json["error"]["data"]["hint"]
        for path in ("/status", "/health"):
            reply = served.ask(path)
            assert reply.status == 503
            assert "did not answer" in reply.json["error"]
        served.held.set()
        until(lambda: served.ask("/health").status == 200, SECONDS)
        # What was given up is not done later.
        assert served.called == []
        assert served.ask(body=update).status == 200
    finally:
        served.close()


def test_calls_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concurrence.transport.http_bridge.MAX_OPEN", 3)
    served = Served()
    try:
        served.hold()
        replies: list[int] = []
        threads = [threading.Thread(target=lambda: replies.append(served.ask(body=PING).status)) for _ in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: replies.count(503) >= 5, SECONDS)
        served.held.set()
        for thread in threads:
            thread.join(SECONDS)
        assert sorted(replies) == [200] * 3 + [503] * 5
    finally:
        served.close()


def test_what_a_page_raises_costs_one_answer(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> HttpAnswer:
        raise LookupError("a secret")

    served = Served(pages=HttpPages({"/bad": fail, "/good": lambda: HttpAnswer(b"{}")}))
    try:
        reply = served.ask("/bad")
        assert reply.status == 500
        assert b"secret" not in reply.body
        assert served.ask("/good").status == 200
        assert "LookupError" in caplog.text
    finally:
        served.close()


def test_the_end_of_a_port_waits_for_nobody(served: Served) -> None:
    with served.connect() as listener, served.connect() as silent:
        request = f"GET /events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {served.token()}\r\n\r\n"
        listener.sendall(request.encode())
        assert listener.recv(100)
        silent.sendall(b"GET ")
        served.server.stop()
        listener.settimeout(SECONDS)
        try:
            while listener.recv(4_096):
                pass
        except ConnectionError:
            pass
    assert not [thread for thread in threading.enumerate() if thread.name == "http"]
    served.server.stop()


def test_a_port_that_is_taken_is_told_with_what_to_do(served: Served) -> None:
    settings = HttpSettings("127.0.0.1", served.port, served.tokens)
    with pytest.raises(UsageError, match=f"127.0.0.1:{served.port}") as caught:
        HttpServer(settings, served.service, HttpPages(), served.reactor.post, logging.getLogger(), served.stats)
    assert "--set api.port" in caught.value.hint
