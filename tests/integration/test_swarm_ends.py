"""Ctrl-C and SIGTERM: each node ends with the right code and leaves nothing behind."""

from __future__ import annotations

import select
import signal

import pytest
from swarmkit import Program, Swarm, until

pytestmark = pytest.mark.sampled

SIGNALS = [signal.SIGINT, signal.SIGTERM]


def started(swarm: Swarm) -> None:
    until(lambda: len(swarm.probes("start-*")) >= 2)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_client_with_a_private_swarm(swarm: Swarm, number: signal.Signals) -> None:
    run = swarm.run("slow.py:SlowTasks", "slow.seconds=600", workers=2)
    started(swarm)
    run.send(number)
    assert run.finish() == 130, str(run)
    assert "Traceback" not in run.output
    swarm.check_nothing_left()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_client_of_a_master(swarm: Swarm, number: signal.Signals) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    run = swarm.run("slow.py:SlowSystem", "slow.seconds=600")
    started(swarm)
    host = int((swarm.probe / "host").read_text())
    run.send(number)
    assert run.finish() == 130, str(run)
    assert "Traceback" not in run.output
    until(lambda: host not in [each.pid for each in swarm.processes()], what="the host is gone")
    again = swarm.run("slow.py:SlowTasks", "slow.seconds=0")
    assert len(again.ends_well()["results"]) == 8


@pytest.mark.parametrize("number", SIGNALS)
def test_servers_that_are_busy(swarm: Swarm, number: signal.Signals) -> None:
    master = swarm.master()
    slave = swarm.slave("attic", workers=2)
    run = swarm.run("slow.py:SlowSystem", "slow.seconds=600")
    started(swarm)
    slave.send(number)
    assert slave.finish() == 0, str(slave)
    master.send(number)
    assert master.finish() == 0, str(master)
    run.wait_for("lost the master")
    run.send(signal.SIGINT)
    assert run.finish() == 130, str(run)
    for program in (master, slave, run):
        assert "Traceback" not in program.output, str(program)


def test_a_standalone_master_takes_its_slave_along(swarm: Swarm) -> None:
    master = swarm.master("masternode.is_standalone=true", "taskmanager.workers=2")
    run = swarm.run("slow.py:SlowTasks", "slow.seconds=600")
    started(swarm)
    master.send(signal.SIGINT)
    assert master.finish() == 0, str(master)
    run.send(signal.SIGINT)
    assert run.finish() == 130, str(run)
    swarm.check_nothing_left()


def storm(program: Program, number: signal.Signals) -> int:
    """Send a signal again and again until the program has ended; its exit code."""
    while program.runs:
        program.send(number)
        select.select([], [], [], 0.002)
    return program.finish()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_master_that_stops_is_not_hurried_into_leaving_things_behind(
    swarm: Swarm, number: signal.Signals
) -> None:
    master = swarm.master("masternode.is_standalone=true", "taskmanager.workers=2")
    run = swarm.run("slow.py:SlowSystem", "slow.seconds=600")
    started(swarm)
    master.send(number)
    master.wait_for("stopping:")
    assert storm(master, number) == 0, str(master)
    assert "Traceback" not in master.output
    run.send(signal.SIGINT)
    assert run.finish() == 130, str(run)
    swarm.check_nothing_left()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_slave_that_stops_is_not_hurried_either(swarm: Swarm, number: signal.Signals) -> None:
    swarm.master()
    slave = swarm.slave("attic", workers=2)
    run = swarm.run("slow.py:SlowTasks", "slow.seconds=600")
    started(swarm)
    slave.send(number)
    slave.wait_for("stopping:")
    assert storm(slave, number) == 0, str(slave)
    assert "Traceback" not in slave.output
    run.send(signal.SIGINT)
    assert run.finish() == 130, str(run)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_client_that_stops_is_not_hurried_either(swarm: Swarm, number: signal.Signals) -> None:
    run = swarm.run("slow.py:SlowTasks", "slow.seconds=600", workers=2)
    started(swarm)
    assert storm(run, number) == 130, str(run)
    assert "Traceback" not in run.output
    swarm.check_nothing_left()
