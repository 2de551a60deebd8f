"""Work that lies where nobody takes it, and tasks that take several workers, with real sockets and processes."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from swarmkit import Swarm, until

pytestmark = pytest.mark.sampled


def check_all(report: Any, count: int) -> None:
    assert report["errors"] == {}
    assert report["results"] == {f"slow {n}": n for n in range(count)}
    assert set(report["ends"].values()) == {1}


def unclaimed(swarm: Swarm) -> float:
    """How many chunks nobody claimed, also of those that were sent to a slave which does not read."""
    return swarm.status().stats["chunks_unclaimed"]


def finished(swarm: Swarm) -> dict[str, int]:
    return {node.name: node.finished for node in swarm.status().nodes if node.kind == "slave"}


class TestUnclaimedWork:
    def test_what_lies_in_the_buffers_of_a_slave_that_dies_runs_elsewhere(self, swarm: Swarm) -> None:
        swarm.master("masternode.lease=30 s")
        attic, _ = swarm.slave("attic"), swarm.slave("cellar")
        attic.send(signal.SIGSTOP)
        run = swarm.run("slow.py:SlowTasks", "slow.count=24", "slow.seconds=1")
        until(lambda: swarm.probes("start-*") and unclaimed(swarm) >= 1, what="a chunk lies at the stopped slave")
        attic.send(signal.SIGKILL)
        check_all(run.ends_well(), 24)

    def test_what_lies_at_a_slave_that_does_not_read_is_pushed_again_and_its_copy_is_fenced(
        self, swarm: Swarm
    ) -> None:
        swarm.master("masternode.lease=60 s")
        attic, _ = swarm.slave("attic"), swarm.slave("cellar")
        attic.send(signal.SIGSTOP)
        run = swarm.run("slow.py:SlowTasks", "slow.count=24", "slow.seconds=0.1")
        check_all(run.ends_well(), 24)
        assert finished(swarm) == {"attic": 0, "cellar": 24}
        attic.send(signal.SIGCONT)
        # It finds old copies of chunks in its buffers, is told that they do not count, and is as good as new.
        again = swarm.run("slow.py:SlowTasks", "slow.count=24", "slow.seconds=0.3")
        check_all(again.ends_well(), 24)
        until(lambda: sum(finished(swarm).values()) == 48, what="all that counts is counted")
        assert finished(swarm)["attic"] > 0
        assert unclaimed(swarm) == 0


@pytest.mark.parametrize("policy", ["ZMQTaskScheduler", "GenericTaskScheduler"])
def test_beside_a_task_that_takes_two_workers_nothing_else_runs(swarm: Swarm, policy: str) -> None:
    swarm.master(f"masternode.task_scheduler={policy}")
    swarm.slave("attic", workers=2)
    report = swarm.run("wide.py:WideTasks").ends_well()
    assert report["errors"] == {}
    times: dict[str, tuple[float, float]] = report["results"]
    assert len(times) == 45
    for name, (began, ended) in times.items():
        if name.startswith("wide"):
            beside = [other for other, (a, b) in times.items() if other != name and a < ended and b > began]
            assert not beside, f"{name} ran beside {beside}"
