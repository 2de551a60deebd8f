"""Objects that many tasks use travel once to each slave, and are unpickled once in each worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from relay import Relay
from swarmkit import APPS, Program, Swarm

SIZE = 8_000_000
ONE_COPY = 2 * SIZE
LOOKS = {f"look {n}": n + SIZE for n in range(200)}
TOTAL = sum(LOOKS.values())


@contextmanager
def counted(swarm: Swarm) -> Generator[Relay]:
    relay = Relay(urlsplit(swarm.credentials("slave").address).port or 0)
    try:
        yield relay
    finally:
        relay.close()


def unpickled(swarm: Swarm) -> Counter[str]:
    """How often each process unpickled the text."""
    return Counter(name.split(".")[0] for name in swarm.probes("unpickled-*"))


def looks_well(run: Program) -> dict[str, Any]:
    report = run.ends_well()
    assert report["errors"] == {}
    assert report["results"] == LOOKS
    return report


def test_one_copy_to_each_slave_and_one_object_in_each_worker(swarm: Swarm) -> None:
    swarm.master()
    with counted(swarm) as one, counted(swarm) as other, counted(swarm) as client:
        for name, relay in (("attic", one), ("cellar", other)):
            swarm.slave(name, workers=2, connect=swarm.connect_through(relay.port, "slave"))
        looks_well(swarm.run("sharing.py:Looks", connect=swarm.connect_through(client.port, "client")))
        for relay in (one, other, client):
            passed = sum(relay.passed.values())
            assert ONE_COPY < passed < 1.2 * ONE_COPY, (one.passed, other.passed, client.passed)
    times = unpickled(swarm)
    assert 1 <= len(times) <= 4
    assert set(times.values()) == {1}


def test_the_workers_that_take_the_place_of_dead_ones_have_it(swarm: Swarm) -> None:
    run = swarm.run("sharing.py:Looks", "test.deadly=3", workers=2)
    looks_well(run)
    times = unpickled(swarm)
    assert len(times) >= 4
    assert set(times.values()) == {1}
    assert len(swarm.probes("died-*")) == 3


def test_a_task_system_hands_it_on(swarm: Swarm) -> None:
    report = swarm.run("sharing.py:LooksOfASystem", workers=2).ends_well()
    assert report["result"] == [TOTAL, []]
    times = unpickled(swarm)
    assert 1 <= len(times) <= 2, "neither the master nor the system's host unpickles it"
    assert set(times.values()) == {1}


@pytest.mark.parametrize("app", ["Inline", "LooksOfASystem"])
def test_inline_it_works_as_well(swarm: Swarm, app: str) -> None:
    report = swarm.command("run", f"{APPS / 'sharing.py'}:{app}", "--inline", INLINE="1").ends_well()
    if app == "Inline":
        assert report["results"] == {"get 0": 10, "get 1": 20, "get 2": 30}
    else:
        assert report["result"] == [TOTAL, []]


def test_a_new_slave_has_it_too(swarm: Swarm) -> None:
    swarm.master()
    first = swarm.slave("attic", workers=1)
    run = swarm.run("sharing.py:Looks", "test.count=200")
    first.process.kill()
    first.process.wait()
    swarm.slave("cellar", workers=1)
    looks_well(run)


def test_what_is_not_used_any_more_is_forgotten(swarm: Swarm) -> None:
    master = swarm.master()
    slave = swarm.slave("attic", workers=1)
    run = swarm.run("sharing.py:Rounds")
    report = run.ends_well()
    assert report["errors"] == {}
    assert len(report["results"]) == 48
    for program in (master, slave):
        # All twelve together have 288 MB.
        assert peak_memory(program) < 220_000_000, "everything was kept"


def peak_memory(program: Program) -> int:
    (line,) = [line for line in Path(f"/proc/{program.pid}/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) * 1024
