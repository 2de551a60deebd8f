"""Thousands of connections, and few open files: what there is room for works, what there is not is told why."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from faultkit import assert_exactly_once, memory, port_of, steady
from swarmkit import Program, Swarm, until

pytestmark = pytest.mark.sampled

CROWD = Path(__file__).parent / "crowd.py"


@contextmanager
def files(soft: int, hard: int | None = None) -> Generator[None]:
    """What is started meanwhile may have so many open files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def within(limit: int, *words: str) -> list[str]:
    """A command line that runs a command of Concurrent with at most so many open files."""
    code = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2); "
        "os.execv(sys.executable, [sys.executable, '-m', 'concurrence.cli.main', *sys.argv[2:]])"
    )
    return ["-c", code, str(limit), *words]


def small_master(swarm: Swarm, limit: int) -> Program:
    master = swarm.start(*within(limit, "master", "--env", "env", "--port", "0"), folder="master")
    swarm.adopt(master)
    master.wait_for("Ctrl-C")
    return master


class Crowd:
    """The clients of a process of their own."""

    def __init__(self, swarm: Swarm, count: int) -> None:
        words = [sys.executable, str(CROWD), str(swarm.connect("client")), str(count)]
        self._log = swarm.folder / "crowd.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)

    @property
    def said(self) -> dict[str, Any]:
        """Its last word."""
        lines = [line for line in self._log.read_text().splitlines() if line.startswith("{")]
        assert self.process.poll() is None, self._log.read_text()
        return json.loads(lines[-1]) if lines else {"welcomed": 0, "refused": {}}

    def vanish(self) -> None:
        """All at once, without a word."""
        self.process.kill()
        self.process.wait(30.0)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30.0)


@contextmanager
def crowd(swarm: Swarm, count: int) -> Generator[Crowd]:
    made = Crowd(swarm, count)
    try:
        yield made
    finally:
        made.close()


def cpu_seconds(program: Program) -> float:
    times = psutil.Process(program.pid).cpu_times()
    return times.user + times.system


def clients(swarm: Swarm) -> int:
    return sum(node.kind == "client" for node in swarm.status().nodes)


@pytest.mark.parametrize("count", [300, pytest.param(5_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_a_crowd_of_clients_is_welcome_and_leaves_nothing(swarm: Swarm, count: int) -> None:
    with files(256):  # the master raises it as far as it may
        master = swarm.master(f"masternode.lease={10 + count // 250}s")
    swarm.slave("attic")
    before = memory(master)
    with crowd(swarm, count) as made:
        until(lambda: made.said["welcomed"] == count, 60.0 + count / 20, f"a crowd, but {made.said}")
        assert clients(swarm) == count
        run = steady(swarm, "count=20", "seconds=0.02")
        assert_exactly_once(swarm, run.ends_well())
        assert (memory(master) - before) / count < 64_000
        assert psutil.Process(master.pid).num_fds() > count
        made.vanish()
    until(lambda: clients(swarm) == 0, 90.0, "no clients")
    until(lambda: psutil.Process(master.pid).num_fds() < 80, 30.0, "closed connections")
    assert memory(master) - before < 20e6 + 60_000 * count  # the allocator keeps what libzmq had


def test_clients_beyond_the_open_files_are_refused_and_told_why(swarm: Swarm) -> None:
    master = small_master(swarm, 128)
    swarm.slave("attic")
    with crowd(swarm, 80) as made:
        until(lambda: sum(made.said["refused"].values()) + made.said["welcomed"] == 80, 60.0, "80 answers")
        assert 40 <= made.said["welcomed"] < 80
        (text,) = made.said["refused"]
        assert "as many as its limit of open files allows" in text
        refused = steady(swarm, "count=1")
        assert refused.finish() != 0
        assert "as many as its limit of open files allows" in refused.output
        assert "ulimit -n" in refused.output
        assert clients(swarm) == made.said["welcomed"]  # whoever asks how it is comes in
    until(lambda: clients(swarm) == 0, 40.0, "no clients")
    run = steady(swarm, "count=5", "seconds=0")
    assert_exactly_once(swarm, run.ends_well())
    assert master.runs


def test_connections_that_say_nothing_cost_neither_files_nor_processor(swarm: Swarm) -> None:
    master = small_master(swarm, 64)
    swarm.slave("attic")
    run = steady(swarm, "count=40", "seconds=0.1")
    run.wait_for("ended 1")
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", port_of(swarm)), 20.0))
        until(lambda: "open files" in master.output, what="a word about it")
        began, used = time.monotonic(), cpu_seconds(master)
        assert_exactly_once(swarm, run.ends_well())  # who was there before is not disturbed
        until(lambda: time.monotonic() > began + 2.0)
        assert cpu_seconds(master) - used < 0.5 * (time.monotonic() - began)
    until(lambda: psutil.Process(master.pid).num_fds() < 40, 30.0, "closed connections")
    assert_exactly_once(swarm, steady(swarm, "count=5", "seconds=0").ends_well())


@pytest.mark.parametrize("limit", [64, 512])
def test_few_open_files_are_enough_for_a_small_swarm(swarm: Swarm, limit: int) -> None:
    small_master(swarm, limit)
    words = ["slave", "--master", str(swarm.connect("slave")), "--workers", "2", "--name", "attic"]
    slave = swarm.start(*within(limit, *words), folder="attic")
    swarm.adopt(slave)
    slave.wait_for("registered with the master")
    assert_exactly_once(swarm, steady(swarm, "count=20", "seconds=0.01").ends_well())


def test_too_few_open_files_are_an_error_that_says_how_many_it_takes(swarm: Swarm) -> None:
    master = swarm.start(*within(40, "master", "--env", "env", "--port", "0"), folder="master")
    assert master.finish() == 2, str(master)
    assert "a master needs 64 open files, and this process may have 40" in master.output
    assert "ulimit -n 64" in master.output
    swarm.master()
    words = ["slave", "--master", str(swarm.connect("slave")), "--workers", "16"]
    slave = swarm.start(*within(64, *words), folder="attic")
    assert slave.finish() == 2, str(slave)
    assert "a slave with 16 workers needs 96 open files, and this process may have 64" in slave.output
    assert "--workers" in slave.output
