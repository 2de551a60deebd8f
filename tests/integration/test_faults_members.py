"""Who belongs to the swarm: restarted masters, clones, slaves that fail everything, workers that never start."""

from __future__ import annotations

import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from faultkit import FIRST_POLICY, POLICIES, QUICK_LEASE, assert_exactly_once, policy, port_of, started, steady
from swarmkit import Program, Swarm, make_transport, until

from concurrence.errors import ConcurrenceError
from concurrence.nodes.identity import Identity, describe_machine
from concurrence.transport.api import IClient, ITransport
from concurrence.version import __version__
from concurrence.wire.codec import Parcel, decoder_to_slave, encode
from concurrence.wire.messages import Message, Ping, Refusal, Welcome

pytestmark = pytest.mark.sampled


@pytest.fixture
def transport() -> Generator[ITransport]:
    transport = make_transport()
    yield transport
    transport.close()


def slave_names(swarm: Swarm) -> list[str]:
    return sorted(node.name for node in swarm.status().nodes if node.kind == "slave")


def known_slaves(swarm: Swarm) -> list[str]:
    """The same of a master that may be too busy to answer: it is asked again."""
    try:
        return slave_names(swarm)
    except ConcurrenceError:
        return []


@pytest.mark.parametrize("count", [5, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(400)])])
def test_a_master_that_is_killed_and_started_again_gets_its_slaves_back(swarm: Swarm, count: int) -> None:
    lease = QUICK_LEASE if count < 10 else ()  # so many processes that start have two cores busy for longer
    first = swarm.master(*lease)
    port, connect = port_of(swarm), str(swarm.connect("slave"))
    names = sorted(f"slave-{n}" for n in range(count))
    slaves: list[Program] = []
    for name in names:
        words = ["slave", "--master", connect, "--workers", "1", "--name", name]
        slaves.append(swarm.command(*words, folder=name))
        swarm.adopt(slaves[-1])
    until(lambda: known_slaves(swarm) == names, 60.0 + 4 * count, "all slaves")
    for _ in range(2):
        first.send(signal.SIGKILL)
        first.finish()
        first = swarm.master(*lease, port=port)
        until(lambda: known_slaves(swarm) == names, 60.0 + 2 * count, "all slaves back")
    run = steady(swarm, f"count={4 * count}", "seconds=0.1")
    assert_exactly_once(swarm, run.ends_well())
    assert all(slave.output.count("registered with the master") == 3 for slave in slaves)


def answer(client: IClient, kind: type[Message]) -> Message:
    """The next message of a kind."""
    decoder = decoder_to_slave()

    def found() -> Message | None:
        frames = client.receive()
        messages = [parcel.message for parcel in decoder.decode(frames)] if frames else []
        return next((message for message in messages if isinstance(message, kind)), None)

    message = until(found, 20.0, kind.__name__)
    assert message is not None
    return message


def connected(swarm: Swarm, transport: ITransport) -> IClient:
    client = transport.client(swarm.credentials("slave"))
    until(lambda: "connected" in client.connection_events(), 20.0, "connected")
    return client


def test_clones_are_refused_and_both_sides_say_why(swarm: Swarm, transport: ITransport) -> None:
    master = swarm.master()
    identity, machine = Identity("slave", "original", __version__), describe_machine(1, 2, {})
    first = connected(swarm, transport)
    assert first.send(encode([Parcel(identity.hello(False, slave=machine))]))
    answer(first, Welcome)

    # A copy that was started by itself: the same node id, another session.
    copy = Identity("slave", "copy", __version__)
    copy.node = identity.node
    second = connected(swarm, transport)
    assert second.send(encode([Parcel(copy.hello(False, slave=machine))]))
    refusal = answer(second, Refusal)
    assert isinstance(refusal, Refusal)
    assert f"the identity {identity.node} is in use by original at 127.0.0.1" in refusal.text
    assert not refusal.retry
    master.wait_for("slave copy from 127.0.0.1 was refused")

    # A copy of the whole machine: both have the same session, and each takes the other's place for a reconnect.
    third = connected(swarm, transport)
    assert third.send(encode([Parcel(identity.hello(True, slave=machine))]))
    answer(third, Welcome)
    assert first.send(encode([Parcel(Ping())]))
    told = answer(first, Refusal)
    assert isinstance(told, Refusal)
    assert told.retry, "it may be that only its connection was lost"
    assert first.send(encode([Parcel(identity.hello(True, slave=machine))]))
    refusal = answer(first, Refusal)
    assert isinstance(refusal, Refusal)
    assert "in use by another process" in refusal.text
    assert "cloned" in refusal.hint
    until(lambda: master.output.count("was refused") == 2)
    assert slave_names(swarm) == ["original"]
    assert swarm.status().stats["nodes_refused"] == 2


@pytest.mark.parametrize("scheduler", FIRST_POLICY)
def test_a_slave_on_which_everything_fails_is_left_alone_until_it_is_mended(swarm: Swarm, scheduler: str) -> None:
    master = swarm.master(policy(scheduler))
    broken = swarm.folder / "broken"
    swarm.slave("cellar", workers=2)
    words = ["slave", "--master", str(swarm.connect("slave")), "--workers", "2", "--name", "attic"]
    attic = swarm.command(*words, folder="attic", BAD_MACHINE=str(broken))
    swarm.adopt(attic)
    attic.wait_for("registered with the master")
    run = steady(swarm, "count=40", "seconds=0.02", "fails=true")
    assert_exactly_once(swarm, run.ends_well())

    broken.touch()
    run = steady(swarm, "count=300", "seconds=0.05", "fails=true", "retries=8")
    master.wait_for("slave attic is given nothing for 5 s")
    notes = {node.name: node.note for node in swarm.status().nodes}
    assert "everything failed there" in notes["attic"]
    broken.unlink()
    assert_exactly_once(swarm, run.ends_well())
    # Until one has succeeded elsewhere nobody can know whose fault it is; and what fails is tried elsewhere.
    failed = [name.split(".")[0] for name in swarm.probes("failed-*")]
    assert len(failed) < 300
    assert max(failed.count(each) for each in failed) <= 2
    run = steady(swarm, "count=200", "seconds=0.05", "fails=true")
    master.wait_for("slave attic did well on trial", 60.0)
    assert_exactly_once(swarm, run.ends_well())
    assert "the master gives this slave no work for now: it rests for 5 s" in attic.output
    assert "the master gives this slave work again" in attic.output


@pytest.mark.parametrize("scheduler", FIRST_POLICY)
def test_chunks_do_not_wait_for_workers_that_never_start(swarm: Swarm, scheduler: str) -> None:
    master = swarm.master(policy(scheduler))
    # What every worker of this slave imports first kills it, once the file is there.
    deadly = swarm.folder / "deadly"
    (deadly).mkdir()
    (deadly / "sitecustomize.py").write_text(_DEADLY)
    words = ["slave", "--master", str(swarm.connect("slave")), "--workers", "1", "--name", "attic"]
    attic = swarm.command(*words, folder="attic", PYTHONPATH=str(deadly))
    swarm.adopt(attic)
    attic.wait_for("registered with the master")
    run = steady(swarm, "count=10", "seconds=0.05")
    until(lambda: attic.output.count("is replaced") >= 3, 30.0, "workers that die")
    swarm.slave("cellar")
    assert_exactly_once(swarm, run.ends_well())
    assert not started_on(swarm, attic)
    assert "its workers die before they begin" in master.output


_DEADLY = """
import os, sys
def die():
    os._exit(7)
os.register_at_fork(after_in_child=die)
"""


def started_on(swarm: Swarm, slave: Program) -> list[Path]:
    """What ran on a slave's workers."""
    pids = {str(process.pid) for process in slave.children()}
    return [path for path in swarm.probe.glob("worker-*") if path.read_text() in pids]


@pytest.mark.parametrize("scheduler", POLICIES)
@pytest.mark.slow
def test_a_slave_that_is_stopped_and_goes_on_is_fenced(swarm: Swarm, scheduler: str) -> None:
    swarm.master(policy(scheduler), *QUICK_LEASE)
    attic = swarm.slave("attic", workers=2)
    run = steady(swarm, "count=20", "seconds=0.3")
    started(swarm, 2)
    attic.send(signal.SIGSTOP)  # its workers go on, and their results wait in it
    swarm.slave("cellar", workers=2)
    until(lambda: slave_names(swarm) == ["cellar"], 30.0, "attic given up")
    run.wait_for("ended 4")
    attic.send(signal.SIGCONT)
    until(lambda: attic.output.count("registered with the master") == 2, 30.0, "attic back")
    assert_exactly_once(swarm, run.ends_well(), runs=2)
    assert slave_names(swarm) == ["attic", "cellar"]
