"""Lines on which one message takes longer than a lease: nobody is given up, and nothing is sent twice."""

from __future__ import annotations

import pytest
from faultkit import POLICIES, assert_exactly_once, idle, policy, relayed, steady
from relay import IN, OUT
from swarmkit import Swarm, until

pytestmark = pytest.mark.sampled

RATE = 1_000_000
LEASE = ("masternode.lease=3s", "masternode.heartbeat=500ms")
SIZE = 7_000_000
"""Takes more than two leases, and is more than may be under way, so that the rest waits for answers."""


@pytest.fixture(params=["ZMQTransport", "TCPTransport"])
def swarm_transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("scheduler", POLICIES)
def test_messages_that_take_longer_than_the_lease_arrive_once(swarm: Swarm, scheduler: str) -> None:
    swarm.master(policy(scheduler), *LEASE)
    with relayed(swarm, "slave") as to_slave, relayed(swarm, "client") as to_client:
        slave = swarm.slave("attic", workers=2, connect=swarm.connect_through(to_slave.port, "slave"))
        until(lambda: swarm.status().nodes)
        for relay in (to_slave, to_client):
            relay.rate = RATE
        # A result comes back while an argument goes there: both ways of both lines are busy at a time.
        words = ("count=2", "seconds=0", f"size={SIZE}", f"weight={SIZE}")
        run = steady(swarm, *words, connect=swarm.connect_through(to_client.port, "client"))
        until(lambda: to_client.passed[IN] > SIZE / 4, what="the argument is under way")
        assert swarm.run("hello").finish() == 0, "others are served meanwhile"
        report = run.ends_well()
        assert_exactly_once(swarm, report)
        assert report["events"] == []
        assert slave.output.count("registered with the master") == 1
        for relay in (to_slave, to_client):
            for direction in (IN, OUT):
                assert SIZE <= relay.passed[direction] < 1.3 * SIZE, "sent once"
        until(lambda: idle(swarm))
