"""``concurrence call`` at a real master: methods of plug-ins, built-in ones, and whatever else is sent."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from swarmkit import Program, Swarm, make_transport, until

from concurrence.errors import UsageError
from concurrence.ids import new_system_id
from concurrence.nodes.calling import call_api
from concurrence.nodes.identity import Identity
from concurrence.transport.jsonrpc import MAX_ANSWER_BYTES, MAX_BODY_BYTES
from concurrence.transport.tcp_transport import TCPTransport
from concurrence.transport.zmq_transport import ZMQTransport
from concurrence.version import __version__
from concurrence.wire.codec import Parcel, decoder_to_owner, encode
from concurrence.wire.messages import CallApi, Refusal

pytestmark = pytest.mark.sampled

GREETING = '''"""Greets, and does worse."""

import os
import threading
from pathlib import Path

from concurrence import ApiRequest, ApiService, Component, ConcurrenceError, IApiMethods, jsonremote


class Greeting(Component, IApiMethods):
    def register_api(self, service: ApiService) -> None:
        @jsonremote(service)
        def hello(request: ApiRequest, name: str, times: int = 1) -> str:
            """Greet somebody.

            As often as you like.
            """
            return " ".join([f"Hello {name}"] * times)

        @jsonremote(service)
        def who(request: ApiRequest) -> dict[str, str]:
            return {"address": request.address, "role": request.role, "key": request.key, "name": request.name}

        @jsonremote(service, name="greeting.crash")
        def crash(request: ApiRequest) -> None:
            raise LookupError("a secret")

        @jsonremote(service, name="greeting.exit")
        def leave(request: ApiRequest) -> None:
            raise SystemExit(3)

        @jsonremote(service, name="greeting.refuse")
        def refuse(request: ApiRequest) -> None:
            raise ConcurrenceError("not today", hint="Come back tomorrow.")

        @jsonremote(service)
        def slow(request: ApiRequest) -> None:
            threading.Event().wait(0.15)

        @jsonremote(service)
        def hang(request: ApiRequest) -> None:
            (Path(os.environ["PROBE"]) / "hangs").touch()
            threading.Event().wait(60.0)

        @jsonremote(service)
        def large(request: ApiRequest, size: int) -> str:
            return "x" * size

        @jsonremote(service)
        def odd(request: ApiRequest) -> dict[str, object]:
            inner = [{"a": 1, "b": [2, 3]}, [], "x"]
            return {"text": "\\x1b[31mred", "list": inner, "none": None, "lines": "1\\n2"}
'''
BROKEN = '''"""Offers a method under a name that is taken."""

from concurrence import ApiService, Component, IApiMethods, jsonremote


class Broken(Component, IApiMethods):
    def register_api(self, service: ApiService) -> None:
        @jsonremote(service)
        def fine(request):
            return 1

        @jsonremote(service)
        def ping(request):
            return "mine"
'''


ODD = """\
text: \\x1b[31mred
list:
  - a: 1
    b:
      - 2
      - 3
  - []
  - x
none: null
lines: 1
  2
"""


class Called:
    """A master with the plug-in, and calls at it."""

    def __init__(self, swarm: Swarm, broken: bool = False) -> None:
        self.swarm = swarm
        env = swarm.folder / "master" / "env"
        assert swarm.command("env", "create", str(env)).finish() == 0
        (env / "plugins" / "greeting.py").write_text(GREETING)
        if broken:
            (env / "plugins" / "broken.py").write_text(BROKEN)
        self.master = swarm.master()

    def run(self, *words: str, role: str = "admin", code: int = 0) -> Program:
        """Call; it must end with this code."""
        program = self.swarm.command("call", *words, "--master", str(self.swarm.connect(role)))
        assert program.finish() == code, str(program)
        assert "Traceback" not in program.output
        return program

    def send(self, body: bytes) -> Any:
        """The answer to a body, without the command line."""
        transport = make_transport()
        try:
            answer = call_api(transport, self.swarm.credentials("admin"), body, 20.0)
        finally:
            transport.close()
        return None if answer is None else json.loads(answer)


@pytest.fixture
def called(swarm: Swarm) -> Called:
    return Called(swarm)


Transport: TypeAlias = ZMQTransport | TCPTransport


@pytest.fixture
def transport() -> Generator[Transport]:
    transport = make_transport()
    yield transport
    transport.close()


def test_methods_of_a_plugin(called: Called) -> None:
    assert called.run("hello", "name=Ada").output == "Hello Ada\n"
    assert called.run("hello", "name=Ada", "times=2").output == "Hello Ada Hello Ada\n"
    assert called.run("hello", "--params", '["Ada"]').output == "Hello Ada\n"
    assert called.run("hello", "--params", '{"name": "3"}', "--json").output == '"Hello 3"\n'
    who = json.loads(called.run("who", "--json").output)
    credentials = called.swarm.credentials("admin")
    assert who == {"address": "127.0.0.1", "role": "admin", "key": credentials.keys.public, "name": "call"}
    assert called.run("odd").output == ODD


def test_what_goes_wrong_in_a_method(called: Called) -> None:
    program = called.run("greeting.refuse", code=1)
    assert program.output == "error: not today\n  Come back tomorrow.\n"
    for name in ("crash", "exit"):
        program = called.run(f"greeting.{name}", code=1)
        assert f"error: the API method greeting.{name} failed\n" in program.output
        assert "secret" not in program.output
    assert "LookupError: a secret" in called.master.output
    assert 'greeting.py", line' in called.master.output
    assert called.run("helo", code=1).output == "error: there is no API method 'helo'\n  Did you mean 'hello'?\n"
    assert "Expected `str`, got `int`" in called.run("hello", "name=3", code=1).output
    assert called.run("slow").output == ""
    called.master.wait_for("the API method slow at ")
    assert called.run("ping").output == "pong\n"


def test_built_in_methods(called: Called) -> None:
    called.swarm.slave("attic", workers=2)
    status = called.swarm.command("status", "--json", "--master", str(called.swarm.connect("admin")))
    assert status.finish() == 0
    told, said = json.loads(status.output), json.loads(called.run("status", "--json").output)
    assert told.keys() == said.keys()
    assert [(node["name"], node["workers"]) for node in said["nodes"]] == [("attic", 2)]
    for each in (told, said):
        del each["uptime"], each["nodes"][0]["age"]
    assert told == said
    assert json.loads(called.run("nodes", "--json").output)[0]["machine"]["workers"] == 2
    listed = called.run("--list").output
    assert "hello name=str [times=int]\n    Greet somebody.\n" in listed
    assert "\nlarge size=int\n" in listed
    assert "config.get key=str\n" in listed


def test_an_option_that_is_changed_and_adopted(called: Called) -> None:
    file = called.swarm.folder / "master" / "env" / "concurrence.toml"
    assert "origin: default\n" in called.run("config.get", "key=masternode.lease").output
    file.write_text('[masternode]\nlease = "25 s"\nport = 1\n')
    reloaded = called.send(b'{"jsonrpc": "2.0", "method": "config.reload", "id": 1}')
    if reloaded["result"]["applied"]:  # or the master saw the change by itself first
        assert reloaded["result"]["applied"] == ["masternode.lease"]
    got = called.run("config.get", "key=masternode.lease").output
    assert got == f"value: 25 s\norigin: {file}:2\n"
    file.write_text('[masternode]\nlease = "many"\n')
    assert f"error: {file}:2: " in called.run("config.reload", code=1).output


def test_batches(called: Called) -> None:
    batch = [
        {"jsonrpc": "2.0", "method": "hello", "params": ["Ada"], "id": "a"},
        {"jsonrpc": "2.0", "method": "ping"},
        {"jsonrpc": "2.0", "method": "ping", "id": 2},
    ]
    answer = json.loads(called.run("--params", json.dumps(batch)).output)
    assert [(each["id"], each["result"]) for each in answer] == [("a", "Hello Ada"), (2, "pong")]
    answer = json.loads(called.run("--params", json.dumps([1, batch[2]]), code=1).output)
    assert [each.get("error", {}).get("code") for each in answer] == [-32600, None]
    assert called.run("--params", json.dumps([batch[1]])).output == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "no method is named"),
        (["hello", "Ada"], "'Ada' is no parameter"),
        (["hello", "name=a", "name=b"], "the parameter name is given twice"),
        (["hello", "name=a", "--params", "[]"], "exclude each other"),
        (["hello", "--params", "{"], "--params is no JSON"),
        (["hello", "--params", "[NaN]"], "NaN is no JSON"),
        (["hello", "--params", "[" * 100_000], "--params is no JSON"),
        (["hello", "--params", "3"], "neither a list nor an object"),
        (["hello", "--list"], "--list takes neither"),
        (["--list", "--master", "nowhere.toml"], "nowhere.toml"),
        (["ping"], "no master is named"),
    ],
)
def test_wrong_usage(swarm: Swarm, words: list[str], told: str) -> None:
    program = swarm.command("call", *words)
    assert program.finish() == 2
    assert told in program.output
    assert program.output.startswith("error: ")


@pytest.mark.parametrize("role", ["client", "slave"])
def test_other_roles_are_refused_before_anything_is_sent(called: Called, transport: Transport, role: str) -> None:
    program = called.run("ping", role=role, code=2)
    assert f"a key with the role {role} may not call the API" in program.output
    with pytest.raises(UsageError):
        call_api(transport, called.swarm.credentials(role), b"{}", 5.0)


def test_a_client_that_calls_all_the_same_is_refused(called: Called, transport: Transport) -> None:
    client = transport.client(called.swarm.credentials("client"))
    until(lambda: "connected" in client.connection_events(), 5.0, "connected")
    greeting = Identity("client", "intruder", __version__).hello(False, system=new_system_id())
    assert client.send(encode([Parcel(greeting), Parcel(CallApi(1, 1), [b"{}"])]))
    decoder = decoder_to_owner()
    refusals: list[Refusal] = []
    while not refusals:
        frames = until(client.receive, 5.0, "a refusal") or []
        refusals = [each.message for each in decoder.decode(frames) if isinstance(each.message, Refusal)]
    assert "a key with the role client may not call the API" in refusals[0].text
    client.close()


def test_bodies_of_all_kinds(called: Called) -> None:
    codes = {
        b"": -32700,
        b"\xff\x00garbage": -32700,
        b"[" * 200_000: -32600,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000: -32600,
        b" " * (MAX_BODY_BYTES + 1): -32600,
        b"x" * (20 * MAX_BODY_BYTES): -32600,
        b"[" + b",".join([b"1"] * 101) + b"]": -32600,
        b"3": -32600,
        b'{"jsonrpc": "2.0", "method": "large", "params": [%d], "id": 1}' % MAX_ANSWER_BYTES: -32001,
    }
    for body, code in codes.items():
        answer = called.send(body)
        assert answer["error"]["code"] == code, (body[:20], answer)
    assert called.send(b'{"jsonrpc": "2.0", "method": "ping"}') is None
    assert called.run("ping").output == "pong\n"
    large = called.send(b'{"jsonrpc": "2.0", "method": "large", "params": [3000000], "id": 1}')
    assert len(large["result"]) == 3_000_000


def test_a_plugin_that_fails_is_left_out(swarm: Swarm) -> None:
    called = Called(swarm, broken=True)
    assert (
        "the API methods of broken:Broken are left out: the API method ping is offered twice"
        in called.master.output
    )
    assert 'broken.py", line' in called.master.output
    assert called.run("ping").output == "pong\n"
    assert called.run("hello", "name=Ada").output == "Hello Ada\n"
    assert "there is no API method 'fine'" in called.run("fine", code=1).output


def test_a_call_is_not_repeated_when_the_connection_breaks(called: Called) -> None:
    program = called.swarm.command("call", "hang", "--master", str(called.swarm.connect("admin")))
    until(lambda: called.swarm.probes("hangs"), what=str(program))
    called.master.process.kill()
    assert program.finish() == 1
    assert "the connection to the master broke before it answered" in program.output
    assert "Whether it did what it was asked for is not known" in program.output
    called.swarm.remove_litter()


def test_a_master_that_is_not_there(swarm: Swarm, tmp_path: Path) -> None:
    master = swarm.master()
    master.process.terminate()
    assert master.finish() == 0
    program = swarm.command("call", "ping", "--master", str(swarm.connect("admin")))
    assert program.finish() == 1
    assert "no master answers at" in program.output
