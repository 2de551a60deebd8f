"""Task systems that go on without their clients, on real swarms."""

from __future__ import annotations

import re
import signal

import pytest
from swarmkit import APPS, Program, Swarm, until

pytestmark = pytest.mark.sampled

QUICK_LEASE = ("masternode.lease=3s", "masternode.heartbeat=500ms")


def go(swarm: Swarm) -> None:
    (swarm.probe / "go").touch()


def detach(swarm: Swarm, app: str = "Leaving", *settings: str) -> str:
    """Run the application and leave its system at the master; the system's number."""
    words = ["run", str(APPS / f"detached.py:{app}"), "--master", str(swarm.connect("client")), "--detach"]
    run = swarm.command(*words, *[word for setting in settings for word in ("--set", setting)])
    assert run.finish() == 0, str(run)
    found = re.search(r"concurrence attach ([0-9a-f]{16})", run.output)
    assert found, str(run)
    return found[1]


def attach(swarm: Swarm, number: str, *words: str) -> Program:
    return swarm.command("attach", number, "--master", str(swarm.connect("client")), *words)


def test_it_goes_on_and_whoever_attaches_gets_progress_output_and_result(swarm: Swarm) -> None:
    master = swarm.master()
    swarm.slave("attic", workers=2)
    number = detach(swarm)
    until(lambda: len({name.partition(".")[0] for name in swarm.probes("start-*")}) == 2)
    assert not any(node.kind == "client" for node in swarm.status().nodes)
    assert f"leaves the task system {number} (waiting, runs) behind" in master.output
    first = attach(swarm, number)
    until(lambda: any(node.kind == "client" for node in swarm.status().nodes))
    other = attach(swarm, number)
    assert other.finish() == 1
    assert "is attached to waiting" in other.output
    go(swarm)
    assert first.finish() == 0, str(first)
    assert "the numbers are [0, 1]" in first.output
    assert "number 1 goes" in first.output
    late = attach(swarm, number)
    assert late.finish() == 1
    assert f"no detached task system {number} of this key is here; there is none" in late.output


def test_interrupting_leaves_it_there_and_its_result_waits(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    number = detach(swarm)
    first = attach(swarm, number)
    until(lambda: any(node.kind == "client" for node in swarm.status().nodes))
    first.send(signal.SIGINT)
    assert first.finish() == 130
    assert f"task system {number} goes on at the master" in first.output
    go(swarm)
    until(lambda: not swarm.status().systems)
    second = attach(swarm, number, "--quiet")
    assert second.finish() == 0, str(second)
    assert second.output.strip() == "the numbers are [0, 1]"


def test_a_result_that_cannot_be_read_here_stays_for_who_can(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    go(swarm)
    number = detach(swarm, "Leaving", "detached.own=true")
    until(lambda: not swarm.status().systems)
    for _ in range(2):
        blind = attach(swarm, number)
        assert blind.finish() == 2, str(blind)
        assert "the master keeps it" in blind.output
    able = attach(swarm, number, "--app", str(APPS / "detached.py:Leaving"))
    assert able.finish() == 0, str(able)
    assert "the numbers are [0, 1]" in able.output


def test_a_killed_client_loses_what_is_not_detached_and_an_application_comes_back(swarm: Swarm) -> None:
    swarm.master(*QUICK_LEASE)
    swarm.slave("attic", workers=4)
    run = swarm.run("detached.py:Staying")
    run.wait_for("number: ")
    number = run.output.partition("number: ")[2][:16]
    until(lambda: len(swarm.probes("start-*")) == 3)
    run.send(signal.SIGKILL)
    run.finish()
    swarm.remove_litter()
    until(lambda: [system.system for system in swarm.status().systems] == [int(number, 16)], 30.0)
    go(swarm)
    back = swarm.run("detached.py:Returning", f"detached.number={int(number, 16)}")
    assert back.ends_well()["result"] == "the numbers are [0, 1]"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--detach",), "at a master that goes on"),
        (("--detach", "--inline"), "--detach and --inline exclude each other"),
        (("--detach", "--workers", "1"), "--detach and --workers exclude each other"),
    ],
)
def test_nothing_is_left_at_a_private_swarm(swarm: Swarm, words: tuple[str, ...], text: str) -> None:
    run = swarm.command("run", str(APPS / "detached.py:Leaving"), *words)
    assert run.finish() == 2, str(run)
    assert text in run.output


def test_plain_tasks_cannot_be_left(swarm: Swarm) -> None:
    swarm.master()
    words = ["--master", str(swarm.connect("client")), "--detach"]
    run = swarm.command("run", str(APPS / "detached.py:Nothing"), *words)
    assert run.finish() == 2, str(run)
    assert "has no task system" in run.output


def test_attach_says_what_is_wrong(swarm: Swarm) -> None:
    run = swarm.command("attach", "xyz")
    assert run.finish() == 2
    assert "'xyz' is no number of a task system" in run.output
    run = swarm.command("attach", "12ab")
    assert run.finish() == 2
    assert "no master is named" in run.output
