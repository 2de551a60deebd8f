"""Strangers at the ports of a running master, over either transport: a run beside them does not notice."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress

import psutil
import pytest
from swarmkit import Program, Swarm, until

FLAT_BYTES = 60_000_000
"""How much more memory a master may have under attack; half-open connections cost it some kilobytes each."""


@pytest.fixture(params=["ZMQTransport", "TCPTransport"])
def swarm_transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def noise(chance: random.Random) -> bytes:
    """What nobody who means well would send."""
    kinds: list[Callable[[], bytes]] = [
        lambda: chance.randbytes(chance.randrange(1, 5_000)),
        lambda: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        lambda: b"\xff\0\0\0\0\0\0\0\1\x7f\3\1CURVE" + bytes(15) + b"\0" + chance.randbytes(100),
        lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(300),
        lambda: b"concurrence-tcp\x01\x01" + chance.randbytes(64),
        lambda: b"\xff" * 64,
    ]
    return chance.choice(kinds)()


@contextmanager
def attacking(ports: list[int], half_open: int) -> Generator[Callable[[], int]]:
    """Send noise to ports all the time, and hold so many connections that say nothing; how many were tried."""
    stops = threading.Event()
    tried = [0]

    def attack() -> None:
        chance = random.Random(5)
        while not stops.wait(0.002):
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", chance.choice(ports)), 5.0) as one,
            ):
                one.settimeout(1.0)
                one.sendall(noise(chance))
                tried[0] += 1

    with ExitStack() as stack:
        for number in range(half_open):
            with suppress(OSError):
                stack.enter_context(socket.create_connection(("127.0.0.1", ports[number % len(ports)]), 20.0))
        thread = threading.Thread(target=attack)
        thread.start()
        try:
            yield lambda: tried[0]
        finally:
            stops.set()
            thread.join()


def ports_of(master: Program) -> list[int]:
    """Where a master listens."""
    connections = psutil.Process(master.pid).net_connections("tcp")
    return sorted({each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN})


def attacked(swarm: Swarm, half_open: int, attempts: int) -> None:
    master = swarm.master("api.enabled=no")  # the HTTP port has tests of its own
    swarm.slave("attic", workers=2)
    ports = ports_of(master)
    assert len(ports) == 2, "the compute channel and the work queue"
    before = psutil.Process(master.pid).memory_info().rss
    with attacking(ports, half_open) as tried:
        began = time.monotonic()
        report = swarm.run("slow.py:SlowTasks", "slow.count=40", "slow.seconds=0.05").ends_well()
        assert report["errors"] == {}
        assert set(report["ends"].values()) == {1}
        until(lambda: tried() >= attempts, 300.0, f"{attempts} attempts since {began}")
        until(lambda: "rejected 127.0.0.1 at tcp://127.0.0.1" in master.output)
        assert [node.name for node in swarm.status().nodes if node.kind == "slave"] == ["attic"]
    assert psutil.Process(master.pid).memory_info().rss - before < FLAT_BYTES
    assert "Traceback" not in master.output
    assert "lost" not in master.output


def test_noise_and_silent_connections(swarm: Swarm) -> None:
    attacked(swarm, half_open=60, attempts=200)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_five_thousand_silent_connections(swarm: Swarm) -> None:
    attacked(swarm, half_open=5_000, attempts=3_000)
