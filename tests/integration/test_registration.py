"""Programs that register at a real master: by the API and by remote methods, over ZeroMQ and TCP."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from swarmkit import Swarm, make_transport, until

from concurrence.transport.rpc_client import RpcClient
from concurrence.transport.rpc_errors import BadParameters, RemoteException
from concurrence.transport.rpc_loop import run_until

SEED_MASTER = str(Path(__file__).parent / "seed_master.py")


@pytest.fixture(params=["ZMQTransport", "TCPTransport"])
def swarm_transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Answers:
    def __init__(self) -> None:
        self.all: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *values: self.all.append((name, *values))


class Caller:
    """A program that calls remote methods of a master."""

    def __init__(self, swarm: Swarm, role: str) -> None:
        self.answers = Answers()
        self.transport = make_transport(swarm.transport)
        self.client = RpcClient.connect(self.transport, swarm.credentials(role), self.answers)

    def call(self, name: str, *arguments: Any, **named: Any) -> tuple[str, Any]:
        """The notification that a call led to."""
        before = len([each for each in self.answers.all if len(each) > 1])
        self.client.proxy[name](*arguments, **named)
        ends = lambda: [each for each in self.answers.all if len(each) > 1][before:]  # noqa: E731
        assert run_until([self.client], ends, 60.0), "no answer"
        return ends()[0]

    def close(self) -> None:
        self.client.close()
        self.transport.close()


@pytest.fixture
def callers(swarm: Swarm) -> Generator[Callable[[str], Caller]]:
    made: list[Caller] = []

    def make(role: str) -> Caller:
        made.append(Caller(swarm, role))
        return made[-1]

    yield make
    for caller in made:
        caller.close()


def api(swarm: Swarm, method: str, *params: Any) -> Any:
    """What a method of the API returns, called as an administrator does."""
    words = ["call", "--master", str(swarm.connect("admin")), method, "--json", "--params", json.dumps(params)]
    program = swarm.command(*words)
    assert program.finish() == 0, str(program)
    return json.loads(program.output)


def test_the_snippets_of_the_first_description(swarm: Swarm, callers: Callable[[str], Caller]) -> None:
    env = swarm.folder / "master" / "env"
    assert swarm.command("env", "create", str(env)).finish() == 0
    master = swarm.start(SEED_MASTER, str(env))
    master.wait_for("listening")
    until(lambda: swarm.connect("slave").exists())

    name, answer = callers("slave").call("register_slave", "attic")
    assert name == "register_slave_response"
    assert answer["compute"] == swarm.credentials("slave").address
    assert api(swarm, "register_slave", "cellar", 4711, {"cores": 8})["known"] is False

    found = {each["node"]: each for each in api(swarm, "registered")}
    assert (found["attic"]["kind"], found["attic"]["port"]) == ("slave", 0)
    assert (found["cellar"]["address"], found["cellar"]["port"]) == ("127.0.0.1", 4711)
    assert found["cellar"]["data"] == {"cores": 8}
    stats = api(swarm, "stats")
    assert stats.keys() >= {"register_slave", "register_slave_tcp"}
    # A real slave works at it all the same.
    swarm.slave("real")
    assert swarm.run("hello").finish() == 0
    master.send(signal.SIGTERM)
    assert master.finish() == 0, str(master)


def test_registration_heartbeat_and_leaving_are_the_same_on_both(
    swarm: Swarm, callers: Callable[[str], Caller]
) -> None:
    swarm.master("masternode.lease=60s")
    slave = callers("slave")
    assert slave.call("register_slave", "attic", data={"cores": 2})[1]["known"] is False
    assert slave.call("register_slave", "attic")[1]["known"] is True
    assert slave.call("heartbeat", "attic") == ("heartbeat_response", True)
    assert api(swarm, "heartbeat", "attic") is True
    assert [each["node"] for each in api(swarm, "registered")] == ["attic"]
    assert api(swarm, "unregister", "attic") is True
    name, error = slave.call("heartbeat", "attic")
    assert name == "heartbeat_failed"
    assert isinstance(error, RemoteException)
    assert error.type == "NotFound"
    assert "again" in error.hint


def test_a_key_registers_what_its_role_allows(swarm: Swarm, callers: Callable[[str], Caller]) -> None:
    swarm.master()
    name, error = callers("client").call("register_slave", "attic")
    assert name == "register_slave_failed"
    assert "role client" in error.message
    slave = callers("slave")
    assert slave.call("register_slave", "attic")[0] == "register_slave_response"
    assert isinstance(slave.call("register_slave", 7)[1], BadParameters)
    name, error = callers("client").call("unregister", "attic")
    assert "another key" in error.message
