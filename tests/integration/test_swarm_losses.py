"""Workers, slaves, clients and connections that are lost: every task ends once, and nothing is left behind."""

from __future__ import annotations

import os
import signal
from typing import Any

import psutil
import pytest
from relay import IN, Relay
from swarmkit import Program, Swarm, until

pytestmark = pytest.mark.sampled

QUICK_LEASE = ("masternode.lease=4s", "masternode.heartbeat=500ms")
LONG_LEASE = "masternode.lease=10min"  # whoever waits for its end waits in vain


def started(swarm: Swarm, count: int = 1) -> None:
    """Wait until so many tasks run or ran."""
    until(lambda: len(swarm.probes("start-*")) >= count, what=f"{count} tasks started")


def check_all(report: Any, count: int) -> None:
    assert report["errors"] == {}
    assert report["results"] == {f"slow {n}": n for n in range(count)}
    assert set(report["ends"].values()) == {1}


def idle(swarm: Swarm) -> bool:
    """Whether no client is known and no slave has anything to do."""
    status = swarm.status()
    return not status.systems and not any(node.kind == "client" or node.busy_chunks for node in status.nodes)


def ended(swarm: Swarm, run: Program, code: int) -> None:
    assert run.finish() == code, str(run)
    swarm.check_nothing_left()


def test_a_killed_worker_is_replaced_and_its_task_runs_again(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    run = swarm.run("slow.py:SlowTasks", "slow.count=4", "slow.seconds=1")
    until(lambda: swarm.probes("pid-0"))
    os.kill(int((swarm.probe / "pid-0").read_text()), signal.SIGKILL)
    check_all(run.ends_well(), 4)
    assert len(swarm.probes("start-0.*")) == 2
    assert len(swarm.probes("end-0.*")) == 1
    for n in (1, 2, 3):
        assert len(swarm.probes(f"start-{n}.*")) == 1


def test_the_work_of_a_killed_slave_is_done_by_another(swarm: Swarm) -> None:
    swarm.master(LONG_LEASE)
    attic, _ = swarm.slave("attic"), swarm.slave("cellar")
    run = swarm.run("slow.py:SlowTasks", "slow.count=12", "slow.seconds=0.4")
    started(swarm, 4)
    before = attic.children()
    attic.send(signal.SIGKILL)
    _, alive = psutil.wait_procs(before, timeout=30.0)
    assert not alive
    # Long before the end of the lease: a broken connection and no hello are enough.
    check_all(run.ends_well(), 12)
    # A task may have ended on a killed worker before its result could leave.
    assert 12 <= len(swarm.probes("end-*")) <= 14


def test_a_slave_that_comes_back_keeps_its_work(swarm: Swarm) -> None:
    swarm.master()
    relay = Relay(int(swarm.credentials("slave").address.rpartition(":")[2]))
    try:
        slave = swarm.slave("attic", connect=swarm.connect_through(relay.port, "slave"))
        run = swarm.run("slow.py:SlowTasks", "slow.count=3", "slow.seconds=1.5")
        started(swarm)
        assert relay.cut() == 1
        slave.wait_for("lost the master")
        check_all(run.ends_well(), 3)
        assert len(swarm.probes("start-*")) == 3
        assert slave.output.count("registered with the master") == 2
        slave.send(signal.SIGTERM)
        assert slave.finish() == 0
    finally:
        relay.close()


def test_a_slave_that_comes_back_goes_on_with_a_task_that_came_with_others(swarm: Swarm) -> None:
    swarm.master()
    relay = Relay(int(swarm.credentials("slave").address.rpartition(":")[2]))
    try:
        slave = swarm.slave("attic", connect=swarm.connect_through(relay.port, "slave"))
        run = swarm.run("slow.py:AmongQuick", "slow.count=100", "slow.seconds=600", "slow.quick=9")
        until(lambda: swarm.probes("start-102.*"), what="the slow one runs")
        until(lambda: "ended slow 101" in run.output, what="the results of those before it arrived")
        assert relay.cut() == 1
        until(lambda: slave.output.count("registered with the master") == 2)
        until(lambda: swarm.status().nodes, what="the master has answered after that")
        (swarm.probe / "release").touch()
        check_all(run.ends_well(), 112)
        assert len(swarm.probes("start-102.*")) == 1
        slave.send(signal.SIGTERM)
        assert slave.finish() == 0
    finally:
        relay.close()


def test_nothing_waits_for_a_long_task_that_it_came_with(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    swarm.slave("cellar")
    run = swarm.run("slow.py:AmongQuick", "slow.count=100", "slow.seconds=600", "slow.quick=9")
    others = [n for n in range(112) if n != 102]
    until(lambda: all(f"ended slow {n}\n" in run.output for n in others), what="the others end")
    (swarm.probe / "release").touch()
    check_all(run.ends_well(), 112)


def test_a_client_that_comes_back_is_told_everything_once(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    relay = Relay(int(swarm.credentials("client").address.rpartition(":")[2]))
    try:
        settings = ("slow.count=6", "slow.seconds=0.5", "slow.quick=20")
        run = swarm.run("slow.py:SlowTasks", *settings, connect=swarm.connect_through(relay.port, "client"))
        for n in (1, 3):
            started(swarm, n)
            assert relay.cut() == 1
            until(lambda n=n: run.output.count("lost the master") >= n // 2 + 1)
        report = run.ends_well()
        check_all(report, 26)
        assert report["events"] == ["disconnected", "reconnected"] * (len(report["events"]) // 2)
        assert len(swarm.probes("start-*")) == 26
    finally:
        relay.close()


def test_what_a_client_cancels_while_its_connection_breaks_is_cancelled(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic")
    relay = Relay(int(swarm.credentials("client").address.rpartition(":")[2]))
    try:
        settings = ("slow.count=3", "slow.seconds=600")
        run = swarm.run("slow.py:CancelsWhenTold", *settings, connect=swarm.connect_through(relay.port, "client"))
        started(swarm)
        relay.stall(IN)
        (swarm.probe / "cancel").touch()
        run.wait_for("cancelled")
        assert relay.cut() == 1
        relay.resume()
        report = run.ends_well()
        assert {error["kind"] for error in report["errors"].values()} == {"cancelled"}
        assert report["ends"] == {f"slow {n}": 1 for n in range(3)}
    finally:
        relay.close()


def test_late_results_of_a_stopped_slave_count_for_nothing(swarm: Swarm) -> None:
    swarm.master(*QUICK_LEASE)
    attic = swarm.slave("attic")
    run = swarm.run("slow.py:SlowTasks", "slow.count=4", "slow.seconds=0.5", "slow.quick=5")
    started(swarm)
    attic.send(signal.SIGSTOP)
    cellar = swarm.slave("cellar")
    # Whatever the stopped slave had is done by the other after the lease.
    until(lambda: run.output.count("ended slow") >= 8)
    attic.send(signal.SIGCONT)
    check_all(run.ends_well(), 9)
    until(lambda: attic.output.count("registered with the master") == 2)
    again = swarm.run("slow.py:SlowTasks", "slow.count=8", "slow.seconds=0.1")
    check_all(again.ends_well(), 8)
    assert cellar.runs


def test_the_tasks_of_a_killed_client_are_cancelled(swarm: Swarm) -> None:
    swarm.master(*QUICK_LEASE)
    slave = swarm.slave("attic", workers=2)
    run = swarm.run("slow.py:SlowTasks", "slow.count=50", "slow.seconds=600")
    started(swarm, 2)
    run.send(signal.SIGKILL)
    # Its tasks would sleep for ten minutes: they were ended, and their workers take others.
    until(lambda: idle(swarm))
    assert len(swarm.probes("start-*")) == 2
    assert not swarm.probes("end-*")
    # A process that was killed cannot remove its own folder.
    swarm.remove_litter()
    again = swarm.run("slow.py:SlowTasks", "slow.count=4", "slow.seconds=0")
    check_all(again.ends_well(), 4)
    assert slave.runs


def test_a_killed_client_leaves_nothing_of_its_private_swarm(swarm: Swarm) -> None:
    run = swarm.run("slow.py:SlowTasks", "slow.seconds=600", workers=2)
    started(swarm, 2)
    assert len(swarm.processes()) >= 6
    run.send(signal.SIGKILL)
    ended(swarm, run, -signal.SIGKILL)


def test_a_client_whose_private_master_is_killed_says_so(swarm: Swarm) -> None:
    run = swarm.run("slow.py:SlowTasks", "slow.seconds=600", workers=2)
    started(swarm, 2)
    (master,) = psutil.Process(run.pid).children()
    master.kill()
    ended(swarm, run, 1)
    assert "private master" in run.output
    assert "SIGKILL" in run.output


def test_a_killed_private_slave_is_replaced(swarm: Swarm) -> None:
    run = swarm.run("slow.py:SlowTasks", "slow.count=4", "slow.seconds=1", LONG_LEASE, workers=2)
    started(swarm, 2)
    (master,) = psutil.Process(run.pid).children()
    slave = next(each for each in master.children() if "nodes.process" in " ".join(each.cmdline()))
    slave.kill()
    check_all(run.ends_well(), 4)
    assert "slave was killed by SIGKILL" in run.output


def test_a_client_waits_for_a_new_master_and_goes_on(swarm: Swarm) -> None:
    first = swarm.master(*QUICK_LEASE)
    port = int(swarm.credentials("client").address.rpartition(":")[2])
    slave = swarm.slave("attic", workers=2)
    run = swarm.run("slow.py:GoesOn", "slow.count=2", "slow.seconds=60")
    started(swarm, 2)
    running = [psutil.Process(int((swarm.probe / f"pid-{n}").read_text())) for n in (0, 1)]
    first.send(signal.SIGKILL)
    first.finish()
    run.wait_for("lost the master")
    swarm.master(*QUICK_LEASE, port=port)
    report = run.ends_well()
    assert {error["kind"] for error in report["errors"].values()} == {"lost"}
    assert report["results"] == {"slow 100": 100, "slow 101": 101}
    assert set(report["ends"].values()) == {1}
    assert len(report["ends"]) == 4
    assert report["events"] == ["disconnected", "reconnected"]
    _, alive = psutil.wait_procs(running, timeout=30.0)
    assert not alive
    assert slave.runs


def test_a_new_master_without_a_journal_tells_exactly_what_is_lost(swarm: Swarm) -> None:
    first = swarm.master(*QUICK_LEASE)
    port = int(swarm.credentials("client").address.rpartition(":")[2])
    swarm.slave("attic", workers=2)
    run = swarm.run("bulk.py:Losing")
    until(lambda: swarm.probes("some"))
    first.send(signal.SIGKILL)
    first.finish()
    swarm.master(*QUICK_LEASE, port=port)
    report = run.ends_well(120.0)
    assert report["events"] == ["disconnected", "reconnected"]
    assert report["once"], "each handler ran once"
    assert report["finished"] + report["lost"] == 60_000
    assert report["finished"] >= 27_000, "what was not drained yet went to the new master"
    assert 0 < report["lost"] <= 33_000
    assert report["wrong"] == 0
    (text,) = report["texts"]
    assert text == "lost: the master was restarted without a journal and does not know the task any more"
    (text,) = report["systems"]
    assert "was restarted without a journal" in text


def test_a_killed_host_fails_its_system_with_the_reason(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    run = swarm.run("slow.py:SlowSystem", "slow.seconds=600")
    started(swarm, 2)
    os.kill(int((swarm.probe / "host").read_text()), signal.SIGKILL)
    error = run.ends_well()["system_error"]
    assert error["kind"] == "system"
    assert "SIGKILL" in error["message"]
    again = swarm.run("slow.py:SlowSystem", "slow.seconds=0.01")
    assert again.ends_well()["result"] == sum(range(8))
