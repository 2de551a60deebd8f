"""Credit from end to end: very many tasks need no memory, and who does not read holds up nobody."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

import psutil
import pytest
from swarmkit import Program, Swarm, until

pytestmark = pytest.mark.sampled

PROMPT_SECONDS = 20.0  # what ten short tasks take under no circumstances
MEGABYTE = 1_000_000
POLICIES = {
    "push/pull": (),
    "aimed": ("masternode.task_scheduler=GenericTaskScheduler",),
}


@contextmanager
def watched_memory(program: Program) -> Generator[list[int]]:
    """The resident sizes of a process, in bytes, as time passes within this block."""
    process = psutil.Process(program.pid)
    sizes = [process.memory_info().rss]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            sizes.append(process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        over.set()
        thread.join()


def check_few(swarm: Swarm) -> None:
    """Another client's ten tasks are done at once."""
    report = swarm.run("bulk.py:Few").ends_well()
    assert report["errors"] == {}
    assert report["ends"] == {f"few {number}": 1 for number in range(10)}
    assert report["seconds"] < PROMPT_SECONDS


def test_the_tasks_of_a_generator_need_no_memory(swarm: Swarm) -> None:
    master = swarm.master()
    swarm.slave("attic", workers=2)
    with watched_memory(master) as sizes:
        report = swarm.run("bulk.py:Pushing", "bulk.count=300000").ends_well(180.0)
    assert report["errors"] == {}
    assert report["done"] == 300_000
    assert report["most"] < 40_000
    client: list[int] = report["memory"]
    assert client[-1] - client[1] < 30 * MEGABYTE, client
    middle = max(sizes[: len(sizes) // 2])
    assert max(sizes) - middle < 30 * MEGABYTE, (middle, max(sizes))
    assert max(sizes) < 250 * MEGABYTE


@pytest.mark.parametrize("seconds", ["0.001", "0.5"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_million_tasks_of_one_client_do_not_delay_the_ten_of_another(
    swarm: Swarm, policy: str, seconds: str
) -> None:
    swarm.master(*POLICIES[policy])
    swarm.slave("attic", workers=2)
    run = swarm.run("bulk.py:Pushing", "bulk.count=1000000", f"bulk.seconds={seconds}")
    until(lambda: swarm.probes("first"))
    for _ in range(2):
        check_few(swarm)
    assert run.runs
    run.send(signal.SIGINT)
    run.finish()


BOUNDED = ("masternode.delivery_window=8MB", "masternode.lease=60s", "masternode.heartbeat=2s")


def test_a_handler_that_takes_its_time_is_bounded_and_holds_up_nobody(swarm: Swarm) -> None:
    master = swarm.master(*BOUNDED)
    swarm.slave("attic", workers=2)
    with watched_memory(master) as sizes:
        run = swarm.run("bulk.py:Pushing", "bulk.count=8000", "bulk.size=100000", "bulk.pause=8")
        until(lambda: swarm.probes("first"))
        check_few(swarm)
        report = run.ends_well(120.0)
    assert report["errors"] == {}
    assert report["done"] == 8_000
    assert max(sizes) - sizes[0] < 150 * MEGABYTE, (sizes[0], max(sizes))


def test_a_stopped_client_is_bounded_holds_up_nobody_and_goes_on(swarm: Swarm) -> None:
    master = swarm.master(*BOUNDED)
    swarm.slave("attic", workers=2)
    with watched_memory(master) as sizes:
        run = swarm.run("bulk.py:Pushing", "bulk.count=8000", "bulk.size=100000")
        until(lambda: swarm.probes("first"))
        run.send(signal.SIGSTOP)
        for _ in range(3):
            check_few(swarm)
        run.send(signal.SIGCONT)
        report = run.ends_well(120.0)
    assert report["errors"] == {}
    assert report["done"] == 8_000
    assert max(sizes) - sizes[0] < 150 * MEGABYTE, (sizes[0], max(sizes))
