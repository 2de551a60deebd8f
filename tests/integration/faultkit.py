"""What the tests of real faults share: what must hold whatever was lost, and how to strike at the right moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from relay import Relay
from swarmkit import Program, Swarm, until

POLICIES = ("ZMQTaskScheduler", "GenericTaskScheduler")
"""Both, for tests in which they differ."""

_SLOW = pytest.mark.slow
FIRST_POLICY = ("ZMQTaskScheduler", pytest.param("GenericTaskScheduler", marks=_SLOW))
SECOND_POLICY = (pytest.param("ZMQTaskScheduler", marks=_SLOW), "GenericTaskScheduler")
"""Both, but only one of them in the fast tier."""

QUICK_LEASE = ("masternode.lease=2s", "masternode.heartbeat=500ms")


def policy(name: str) -> str:
    """The setting that chooses a policy."""
    return f"masternode.task_scheduler={name}"


def assert_exactly_once(swarm: Swarm, report: dict[str, Any], *, runs: int = 1, **kinds: int) -> None:
    """Every task ended once and was told once, and none ran more often than its losses explain.

    Args:
        swarm: Where it happened.
        report: That of the application ``steady.py``.
        runs: How often the code of one task may have come to its end.
        kinds: How many may have ended otherwise than well, as in ``exception=3``; exactly so many.
    """
    names = Counter(name for name, *_ in report["ends"])
    assert names == Counter(f"step {n}" for n in range(report["count"])), "some were told twice, or never"
    hows = Counter(how for _, how, *_ in report["ends"])
    assert hows == Counter({"finished": report["count"] - sum(kinds.values()), **kinds})
    executed = Counter(name.split(".")[0] for name in swarm.probes("end-*"))
    assert max(executed.values(), default=0) <= runs, executed
    assert all(
        executed[f"end-{name.removeprefix('step ')}"] for name, how, *_ in report["ends"] if how == "finished"
    )


def steady(swarm: Swarm, *settings: str, connect: Path | None = None) -> Program:
    """Start the application that records everything; what an earlier one left is forgotten."""
    for path in swarm.probe.iterdir():
        path.unlink()
    words = [f"steady.{setting}" for setting in settings]
    return swarm.run("steady.py:Steady", *words, connect=connect)


def started(swarm: Swarm, count: int = 1) -> None:
    """Wait until so many tasks have begun."""
    until(lambda: len({name.split(".")[0] for name in swarm.probes("start-*")}) >= count, what=f"{count} began")


def worker_of(swarm: Swarm, n: int) -> int:
    """The process that executes a step that has begun."""
    return int(until(lambda: (swarm.probe / f"worker-{n}").exists() and (swarm.probe / f"worker-{n}").read_text()))


def gone(*processes: psutil.Process, seconds: float = 20.0) -> None:
    """Wait until they have ended."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    assert not alive, alive


def idle(swarm: Swarm) -> bool:
    """Whether no client is known and no slave has anything to do."""
    status = swarm.status()
    return not status.systems and not any(node.kind == "client" or node.busy_chunks for node in status.nodes)


def memory(program: Program) -> int:
    """Bytes that a process has for itself."""
    return int(psutil.Process(program.pid).memory_full_info().uss)


def port_of(swarm: Swarm, role: str = "slave") -> int:
    """The port of the master's compute channel."""
    return int(swarm.credentials(role).address.rpartition(":")[2])


@contextmanager
def relayed(swarm: Swarm, role: str = "slave") -> Generator[Relay]:
    """A relay before the port that nodes of a role connect to; ``connect_through`` leads through it."""
    relay = Relay(port_of(swarm, role))
    try:
        yield relay
    finally:
        relay.close()
