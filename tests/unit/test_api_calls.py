"""Calls of the API at a master's core: only administrators', one at a time, and the built-in methods."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator
from typing import Any

import pytest
from swarm_story import Master, Peer, hello

from concurrence.env.config import ConfigChanges
from concurrence.env.environment import Environment
from concurrence.nodes.api_door import ApiDoor
from concurrence.nodes.api_methods import BuiltInMethods
from concurrence.telemetry.stats import Stats
from concurrence.transport.security import Role
from concurrence.transport.tokens import Sessions
from concurrence.version import __version__
from concurrence.wire.messages import ApiAnswer, CallApi, Refusal

PING = b'{"jsonrpc": "2.0", "method": "ping", "id": 7}'


class Api:
    """A master's core with the door of a master node; calls are answered at the end of a cycle."""

    def __init__(self, environment: Environment) -> None:
        self.master = Master()
        self.stats = Stats()
        self.adopted: list[ConfigChanges] = []
        self.door = ApiDoor(logging.getLogger("test.api"), self.stats)
        self.sessions = Sessions()
        methods = BuiltInMethods(
            self.master.core,
            environment,
            self.stats,
            lambda: self.master.now,
            self.adopted.append,
            self.sessions,
            lambda: "http://127.0.0.1:7780",
        )
        self.door.open(methods.register, environment)
        self.admin: Peer = self.master.connect(hello("admin", "admin"))

    def cycle(self) -> None:
        self.door.answer(self.master.core.outbox)
        self.master.cycle()

    def send(self, *bodies: bytes) -> list[Any]:
        for number, body in enumerate(bodies, 1):
            self.admin.say(CallApi(1, number), [body], conclude=False)
            self.cycle()
        return [
            (parcel.message.request, json.loads(bytes(parcel.frames[0])) if parcel.frames else None)
            for parcel in self.admin.take(ApiAnswer)
        ]

    def call(self, method: str, **params: Any) -> Any:
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
        ((_, answer),) = self.send(json.dumps(request).encode())
        return answer["result"] if "result" in answer else answer["error"]


@pytest.fixture
def api() -> Generator[Api]:
    with Environment.ephemeral(plugins=False, environ={}) as environment:
        yield Api(environment)


def test_answers_bear_the_number_of_the_call(api: Api) -> None:
    notification = b'{"jsonrpc": "2.0", "method": "ping"}'
    first, second, third = api.send(PING, notification, b"{")
    assert first == (1, {"jsonrpc": "2.0", "result": "pong", "id": 7})
    assert second == (2, None)
    assert (third[0], third[1]["error"]["code"]) == (3, -32700)


@pytest.mark.parametrize("kind", ["client", "host"])
def test_other_roles_are_refused(api: Api, kind: str) -> None:
    peer = api.master.client(kind)
    node = api.master.core.swarm.registry.at(peer.name)
    assert node is not None
    node.origin = peer.origin._replace(role=Role(kind))
    peer.say(CallApi(1, 1), [PING], conclude=False)
    api.cycle()
    assert f"a key with the role {kind} may not call the API" in peer.one(Refusal).text
    assert not peer.take(ApiAnswer)
    assert not api.stats.snapshot()


def test_a_slave_is_refused(api: Api) -> None:
    slave = api.master.slave()
    for parcel in api.admin.encoder.decode([b"\x91\x93\x34\x01\x01", PING]):
        api.master.core.receive(slave.name, parcel, lambda: slave.origin, api.master.now)
    api.cycle()
    assert "a slave may not send CallApi" in slave.one(Refusal).text


def test_an_administrator_that_runs_an_application_may_call(api: Api) -> None:
    peer = api.master.connect(hello("client", "boss", system=77), role=Role.ADMIN)
    peer.say(CallApi(1, 1), [PING], conclude=False)
    api.cycle()
    assert b"pong" in peer.take(ApiAnswer)[0].frames[0]


def test_one_call_at_a_time(api: Api) -> None:
    api.admin.say(CallApi(1, 1), [PING], conclude=False)
    api.admin.say(CallApi(1, 2), [PING], conclude=False)
    api.cycle()
    assert "a second call of the API came before" in api.admin.one(Refusal).text
    assert not api.master.core.outbox.calls


@pytest.mark.parametrize("frames", [[], [PING, PING]])
def test_a_call_has_one_body(api: Api, frames: list[bytes]) -> None:
    api.admin.say(CallApi(len(frames), 1), frames, conclude=False)
    api.cycle()
    assert "has one body frame" in api.admin.one(Refusal).text


# --- the methods that every master has ---


def test_versions(api: Api) -> None:
    assert api.call("version")["concurrence"] == __version__


def test_status_nodes_and_systems(api: Api) -> None:
    api.master.slave("attic")
    api.master.client("client", 99)
    status = api.call("status")
    assert [node["kind"] for node in status["nodes"]] == ["slave", "client"]
    assert status["systems"] == api.call("systems")
    assert [system["system"] for system in status["systems"]] == [f"{99:016x}"]
    slave, client = api.call("nodes")
    assert slave["machine"]["workers"] == slave["workers"] > 0
    assert client["machine"] is None
    assert client["kind"] == "client"


def test_stats_count_the_calls(api: Api) -> None:
    api.send(PING, PING)
    assert api.call("stats")["api.calls"]["events"] == 3


def test_the_list_of_methods(api: Api) -> None:
    found = {method["name"]: method for method in api.call("api.list")}
    assert found.keys() >= {"ping", "version", "status", "stats", "nodes", "systems", "api.list", "rpc.discover"}
    assert found["config.get"]["parameters"] == [{"name": "key", "type": "str", "required": True}]
    assert all(method["doc"] for method in found.values())
    described = api.call("rpc.discover")
    assert {method["name"] for method in described["methods"]} == found.keys()


def test_the_value_of_an_option(api: Api) -> None:
    assert api.call("config.get", key="logging.level") == {"value": "INFO", "origin": "default"}
    error = api.call("config.get", key="logging.levle")
    assert error["code"] == -32000
    assert "logging.level" in error["data"]["hint"]
    assert api.call("config.get", key="x")["code"] == -32000


def test_reading_the_config_again() -> None:
    with Environment.ephemeral(plugins=False, environ={}) as environment:
        api = Api(environment)
        assert "temporary" in api.call("config.reload")["message"]
        environment.is_temporary = False
        level = environment.log.level
        try:
            file = environment.path / "concurrence.toml"
            file.write_text('[logging]\nlevel = "ERROR"\n')
            assert api.call("config.reload") == {"applied": ["logging.level"], "pending": []}
            assert api.call("config.get", key="logging.level") == {"value": "ERROR", "origin": f"{file}:2"}
            assert len(api.adopted) == 1
            file.write_text("[loging]\nlevel = 3\n")
            error = api.call("config.reload")
            assert (error["code"], error["data"]["type"]) == (-32000, "ConfigError")
            assert "concurrence.toml:2" in error["message"]
            assert len(api.adopted) == 1
        finally:
            environment.is_temporary = True
            environment.log.setLevel(level)
