"""Networks that break: partitions, peers that vanish without a word, lines that stall or close by halves."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from faultkit import (
    FIRST_POLICY,
    QUICK_LEASE,
    SECOND_POLICY,
    assert_exactly_once,
    idle,
    policy,
    relayed,
    started,
    steady,
)
from netkit import Network, needs_network, network
from relay import IN, OUT
from swarmkit import Program, Swarm, until

pytestmark = pytest.mark.sampled


class Hosts:
    """A master and slaves on hosts of their own."""

    def __init__(self, swarm: Swarm, net: Network, *settings: str) -> None:
        self.swarm = swarm
        self.net = net
        address = net.add("master")
        swarm.within = net.within("master")
        self.master = swarm.master(f"masternode.host={address}", *QUICK_LEASE, *settings)

    def slave(self, name: str, workers: int = 1) -> Program:
        self.net.add(name)
        self.swarm.within = self.net.within(name)
        return self.swarm.slave(name, workers=workers)

    def run(self, name: str, *settings: str) -> Program:
        if name not in self.net.hosts:
            self.net.add(name)
        self.swarm.within = self.net.within(name)
        return steady(self.swarm, *settings)

    def slaves(self) -> list[str]:
        return sorted(node.name for node in self.swarm.status().nodes if node.kind == "slave")


@contextmanager
def hosts(swarm: Swarm, *settings: str) -> Generator[Hosts]:
    with network() as net:
        try:
            yield Hosts(swarm, net, *settings)
            net.plug(*net.hosts)
            swarm.close()
        finally:
            swarm.kill()


@needs_network
@pytest.mark.parametrize("scheduler", FIRST_POLICY)
def test_a_partition_that_heals_costs_time_only(swarm: Swarm, scheduler: str) -> None:
    with hosts(swarm, policy(scheduler)) as there:
        attic, cellar = there.slave("attic", 2), there.slave("cellar", 2)
        run = there.run("client", "count=60", "seconds=0.3")
        started(swarm, 4)
        # Longer than the lease: the other slave does what this one had, and its own results come too late.
        there.net.pull("attic")
        until(lambda: there.slaves() == ["cellar"], 30.0, "attic given up")
        there.net.plug("attic")
        until(lambda: attic.output.count("registered with the master") == 2, 60.0, "attic back")
        assert_exactly_once(swarm, run.ends_well(), runs=2)
        assert there.slaves() == ["attic", "cellar"]
        again = there.run("client", "count=20", "seconds=0.1")
        assert_exactly_once(swarm, again.ends_well())
        assert cellar.output.count("registered with the master") == 1


@needs_network
@pytest.mark.parametrize("scheduler", SECOND_POLICY)
def test_a_short_interruption_restarts_nothing(swarm: Swarm, scheduler: str) -> None:
    with hosts(swarm, policy(scheduler), "masternode.lease=30s") as there:
        attic = there.slave("attic", 2)
        run = there.run("client", "count=6", "seconds=1")
        started(swarm, 2)
        there.net.pull("attic", "client")
        until(lambda: len(swarm.probes("end-*")) >= 2, what="results that cannot leave")
        there.net.plug("attic", "client")
        report = run.ends_well()
        assert_exactly_once(swarm, report)
        assert report["events"] == []
        assert attic.output.count("registered with the master") == 1


@needs_network
@pytest.mark.slow
def test_a_client_and_a_slave_that_vanish_without_a_word_are_given_up_by_the_lease(swarm: Swarm) -> None:
    with hosts(swarm) as there:
        attic = there.slave("attic", 2)
        there.slave("cellar")
        client = there.run("client", "count=4", "seconds=0.1", "waits=true")
        client.wait_for("all done")
        there.net.pull("attic", "client")  # idle, so that nothing but the lease can tell
        for victim in (client, attic):
            victim.send(signal.SIGKILL)  # not even the kernel can say goodbye for it
            victim.finish()
        until(lambda: idle(swarm) and there.slaves() == ["cellar"], 30.0, "given up")
        swarm.remove_litter()
        run = there.run("guest", "count=6", "seconds=0.1")
        assert_exactly_once(swarm, run.ends_well())


@needs_network
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheduler", ["ZMQTaskScheduler", "GenericTaskScheduler"])
def test_all_slaves_cut_off_for_long_come_back_and_go_on(swarm: Swarm, scheduler: str) -> None:
    with hosts(swarm, policy(scheduler)) as there:
        names = ["attic", "cellar", "garage"]
        slaves = [there.slave(name, 2) for name in names]
        run = there.run("client", "count=60", "seconds=0.3")
        started(swarm, 6)
        for _ in range(3):
            there.net.pull(*names)
            until(lambda: there.slaves() == [], 30.0, "all given up")
            there.net.plug(*names)
            until(lambda: there.slaves() == names, 90.0, "all back")
        assert_exactly_once(swarm, run.ends_well(120.0), runs=4)
        assert all(slave.runs for slave in slaves)


@needs_network
def test_large_results_pass_a_thin_line(swarm: Swarm) -> None:
    with hosts(swarm) as there:
        there.slave("attic", 2)
        there.net.throttle("master", "30mbit")
        run = there.run("client", "count=4", "seconds=0", "size=2500000")
        report = run.ends_well()  # takes longer than the lease, in which pings wait behind results
        assert_exactly_once(swarm, report)
        assert report["events"] == []


@pytest.mark.parametrize("scheduler", SECOND_POLICY)
def test_a_line_that_delays_resets_and_half_closes(swarm: Swarm, scheduler: str) -> None:
    swarm.master(policy(scheduler), "masternode.lease=20s")
    with relayed(swarm, "slave") as to_slave, relayed(swarm, "client") as to_client:
        slave = swarm.slave("attic", workers=2, connect=swarm.connect_through(to_slave.port, "slave"))
        to_slave.delay = to_client.delay = 0.05
        connect = swarm.connect_through(to_client.port, "client")
        run = steady(swarm, "count=40", "seconds=0.25", connect=connect)
        lines = Counter[str]()
        for n, strike in enumerate(("reset", "in", "out")):
            started(swarm, 4 * (n + 1))
            for relay in (to_slave, to_client):
                count = relay.cut(reset=True) if strike == "reset" else relay.half_close(strike)
                assert count == 1
                lines[strike] += count
            until(lambda n=n: slave.output.count("registered with the master") == n + 2, 30.0, "the slave back")
            until(lambda n=n: run.output.count("found the master") == n + 1, 30.0, "the client back")
        report = run.ends_well()
        # What a slave runs goes on; only a result that was on its way may be made again.
        assert_exactly_once(swarm, report, runs=2)
        assert len(swarm.probes("end-*")) <= 40 + 3 * 2
        assert report["events"] == ["disconnected", "reconnected"] * 3


@pytest.mark.parametrize("scheduler", FIRST_POLICY)
def test_a_line_that_stalls_is_given_up_by_the_lease_and_late_results_are_fenced(
    swarm: Swarm, scheduler: str
) -> None:
    swarm.master(policy(scheduler), *QUICK_LEASE)
    with relayed(swarm, "slave") as relay:
        attic = swarm.slave("attic", connect=swarm.connect_through(relay.port, "slave"))
        run = steady(swarm, "count=8", "seconds=0.4")
        started(swarm)
        relay.stall(IN)  # the master hears nothing more; the slave hears it still
        cellar = swarm.slave("cellar")
        run.wait_for("ended 7", 30.0)
        relay.resume()  # now its old results arrive
        assert_exactly_once(swarm, run.ends_well(), runs=2)
        until(lambda: attic.output.count("registered with the master") == 2, 30.0, "attic back")
        relay.stall(OUT)  # and now it hears nothing more
        until(lambda: "lost the master" in attic.output, 30.0)
        run = steady(swarm, "count=4", "seconds=0.1")
        assert_exactly_once(swarm, run.ends_well(), runs=2)
        relay.resume()
        until(lambda: len([n for n in swarm.status().nodes if n.kind == "slave"]) == 2, 40.0, "both there")
        assert cellar.runs


@pytest.mark.parametrize("scheduler", SECOND_POLICY)
def test_a_stopped_client_keeps_its_place_for_a_lease_and_no_longer(swarm: Swarm, scheduler: str) -> None:
    swarm.master(policy(scheduler), *QUICK_LEASE)
    slave = swarm.slave("attic", workers=2)
    run = steady(swarm, "count=40", "seconds=0.2")
    started(swarm, 2)
    run.send(signal.SIGSTOP)
    until(lambda: idle(swarm), 30.0, "the client given up")
    ran = len(swarm.probes("start-*"))
    assert swarm.run("hello").finish() == 0
    run.send(signal.SIGCONT)
    report = run.ends_well()
    # Its tasks were cancelled; it is told so of each, once.
    assert_exactly_once(swarm, report, lost=sum(how == "lost" for _, how, *_ in report["ends"]))
    assert any(how == "lost" for _, how, *_ in report["ends"])
    assert len(swarm.probes("start-*")) >= ran
    assert slave.runs
