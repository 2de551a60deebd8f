"""``kill -9`` of slaves, workers and clients in every phase: all work is done, told once, and nothing is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import psutil
import pytest
from faultkit import (
    FIRST_POLICY,
    POLICIES,
    QUICK_LEASE,
    SECOND_POLICY,
    assert_exactly_once,
    gone,
    idle,
    memory,
    policy,
    relayed,
    started,
    steady,
    worker_of,
)
from relay import IN, OUT, Relay
from swarmkit import Program, Swarm, until

pytestmark = pytest.mark.sampled


class Victims:
    """Starts slaves that are to be killed."""

    def __init__(self, swarm: Swarm) -> None:
        self.swarm = swarm
        self.number = 0

    def start(self, relay: Relay | None = None) -> Program:
        """One more, with one worker; it need not be up when this returns."""
        self.number += 1
        connect = self.swarm.connect_through(relay.port, "slave") if relay else self.swarm.connect("slave")
        name = f"victim-{self.number}"
        words = ["slave", "--master", str(connect), "--workers", "1", "--name", name]
        return self.swarm.command(*words, folder=name)

    def registered(self, relay: Relay | None = None) -> Program:
        victim = self.start(relay)
        victim.wait_for("registered with the master")
        return victim

    def kill(self, victim: Program) -> None:
        """Kill it, and see that all its processes are gone."""
        processes = [psutil.Process(victim.pid), *victim.children()]
        victim.send(signal.SIGKILL)
        victim.process.wait(20.0)
        gone(*processes[1:])
        self.swarm.remove_litter()


@pytest.mark.parametrize("scheduler", FIRST_POLICY)
def test_slaves_killed_in_each_phase_cost_nothing(swarm: Swarm, scheduler: str) -> None:
    master = swarm.master(policy(scheduler), *QUICK_LEASE)
    swarm.slave("cellar")
    victims = Victims(swarm)
    run = steady(swarm, "count=8", "seconds=0.1")
    assert_exactly_once(swarm, run.ends_well())
    before = memory(master)

    # While it starts: as soon as it has made the process that its workers are forked from.
    victim = victims.start()
    until(lambda: victim.children(), what="a template")
    victims.kill(victim)

    with relayed(swarm) as relay:
        # While it registers: its hello never arrives.
        relay.stall(IN)
        victim = victims.start(relay)
        until(lambda: relay.lines, what="a connection")
        victims.kill(victim)
        relay.resume()

        # While it receives what a function needs.
        victim = victims.registered(relay)
        relay.rate = 2e6
        seen = relay.passed[OUT]
        run = steady(swarm, "count=6", "seconds=0.2", "shared=8000000")
        until(lambda: relay.passed[OUT] > seen + 1_000_000, what="a part of the object")
        victims.kill(victim)
        relay.rate = 0
        assert_exactly_once(swarm, run.ends_well())

        # While it sends results.
        victim = victims.registered(relay)
        relay.rate = 2e6
        seen = relay.passed[IN]
        run = steady(swarm, "count=6", "seconds=0.2", "size=4000000")
        until(lambda: relay.passed[IN] > seen + 500_000, what="a part of a result")
        victims.kill(victim)
        relay.rate = 0
        assert_exactly_once(swarm, run.ends_well(), runs=2)

    # While a chunk waits behind the one that runs.
    victim = victims.registered()
    run = steady(swarm, "count=12", "seconds=0.15")
    until(lambda: any(node.busy_chunks > 1 for node in swarm.status().nodes if "victim" in node.name))
    victims.kill(victim)
    assert_exactly_once(swarm, run.ends_well(), runs=2)

    # While it runs a task.
    victim = victims.registered()
    run = steady(swarm, "count=6", "seconds=0.5")
    started(swarm, 2)
    victims.kill(victim)
    assert_exactly_once(swarm, run.ends_well(), runs=2)

    # While it is idle.
    victim = victims.registered()
    victims.kill(victim)
    run = steady(swarm, "count=6", "seconds=0.1")
    assert_exactly_once(swarm, run.ends_well())

    until(lambda: [node.name for node in swarm.status().nodes if node.kind == "slave"] == ["cellar"])
    assert memory(master) < before + 40e6


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", POLICIES)
def test_workers_killed_in_each_phase_cost_an_attempt_at_most(swarm: Swarm, scheduler: str) -> None:
    swarm.master(policy(scheduler))
    slave = swarm.slave("attic")

    def worker() -> psutil.Process:
        (template,) = psutil.Process(slave.pid).children()
        return until(template.children, what="a worker")[0]

    # While it starts, again and again.
    for _ in range(3):
        killed = worker()
        killed.kill()
        gone(killed)
    run = steady(swarm, "count=6", "seconds=0.05")
    assert_exactly_once(swarm, run.ends_well())

    # While it is idle.
    idle_one = worker()
    idle_one.kill()
    gone(idle_one)

    # While it receives a large object.
    run = steady(swarm, "count=4", "seconds=0.1", "shared=60000000")
    until(lambda: worker().memory_info().rss > 90e6 or swarm.probes("start-*"), what="a part of the object")
    worker().kill()
    assert_exactly_once(swarm, run.ends_well())

    # While it runs, with others of its chunk behind it.
    run = steady(swarm, "count=8", "seconds=0.3")
    os.kill(worker_of(swarm, 1), signal.SIGKILL)
    assert_exactly_once(swarm, run.ends_well())

    # While it sends a large result.
    run = steady(swarm, "count=3", "seconds=0.1", "size=60000000")
    pid = worker_of(swarm, 1)
    until(lambda: swarm.probes("end-1.*"))
    os.kill(pid, signal.SIGKILL)
    assert_exactly_once(swarm, run.ends_well(), runs=2)
    assert slave.runs


@pytest.mark.parametrize("scheduler", SECOND_POLICY)
def test_clients_killed_in_each_phase_leave_nothing(swarm: Swarm, scheduler: str) -> None:
    master = swarm.master(policy(scheduler), *QUICK_LEASE)
    slave = swarm.slave("attic", workers=2)
    run = steady(swarm, "count=4", "seconds=0.05")
    assert_exactly_once(swarm, run.ends_well())
    before = memory(master)

    def strike(run: Program, when: Callable[[], object]) -> None:
        until(when, what="the moment to kill the client")
        run.send(signal.SIGKILL)
        run.process.wait(20.0)
        until(lambda: idle(swarm), 30.0, "an idle swarm")
        swarm.remove_litter()

    client = steady(swarm)
    strike(client, lambda: psutil.Process(client.pid).num_threads() > 1)  # its channel has just been opened
    with relayed(swarm, "client") as relay:
        through = swarm.connect_through(relay.port, "client")
        relay.stall(IN)
        strike(steady(swarm, connect=through), lambda: relay.lines)  # while it registers
        relay.resume()
        relay.rate = 2e6
        seen = relay.passed[IN]
        client = steady(swarm, "shared=8000000", connect=through)
        strike(client, lambda: relay.passed[IN] > seen + 1_000_000)  # while it sends what its function needs
        seen = relay.passed[OUT]
        client = steady(swarm, "count=4", "size=4000000", connect=through)
        strike(client, lambda: relay.passed[OUT] > seen + 1_000_000)  # while it receives results
    client = steady(swarm, "count=200", "seconds=30")
    strike(client, lambda: len(swarm.probes("start-*")) == 2)  # while its tasks run, and wait
    client = steady(swarm, "count=4", "seconds=0", "waits=true")
    strike(client, lambda: "all done" in client.output)  # while it has nothing to do

    run = steady(swarm, "count=6", "seconds=0.05")
    assert_exactly_once(swarm, run.ends_well())
    assert slave.runs
    assert memory(master) < before + 40e6
