"""Tasks that push tasks, and task systems that push task systems, on real swarms: exactly once, whatever dies."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from swarmkit import APPS, Program, Swarm, until

POLICIES = {
    "push/pull": (),
    "aimed": ("masternode.task_scheduler=GenericTaskScheduler",),
}


def tree(name: str, size: int) -> list[str]:
    """The names of a whole tree, leaves too."""
    names = [name, *([f"{name}.leaf"] if size == 2 else [])]
    for smaller in range(size):
        names += tree(f"{name}.{smaller}", smaller)
    return names


def check_tree(report: Any, size: int) -> None:
    assert report["errors"] == {}
    assert report["ends"] == dict.fromkeys(tree("trunk", size), 1)
    assert report["own"] == len(report["ends"])
    assert report["finished_here"] == sum(not name.endswith("leaf") for name in report["ends"])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_tree_grows_and_every_task_of_it_ends_once(swarm: Swarm, policy: str) -> None:
    swarm.master(*POLICIES[policy])
    swarm.slave("attic", workers=2)
    check_tree(swarm.run("spawning.py:Growing", "spawning.size=9").ends_well(), 9)
    check_tree(swarm.run("spawning.py:Growing", "spawning.size=1").ends_well(), 1)


def script(swarm: Swarm, app: str) -> Program:
    """Run an application as the main script, at the master."""
    master = str(swarm.connect("client"))
    return swarm.start(str(APPS / "spawning.py"), app, CONCURRENCE_APPLICATION__MASTER=master)


def test_children_of_a_main_script_are_of_its_own_classes(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    check_tree(script(swarm, "Growing").ends_well(), 7)
    result = script(swarm, "Foresting").ends_well()["result"]
    names = [*tree("a", 5), *tree("b", 5)]
    assert result["ends"] == dict.fromkeys(names, 1)
    assert result["own"] == result["finished_here"] == sum(not name.endswith("leaf") for name in names)


def test_the_children_of_an_attempt_whose_worker_died_go_with_it(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    run = swarm.run("spawning.py:Growing", "spawning.size=6", "spawning.deadly=5.3")
    check_tree(run.ends_well(), 6)
    assert swarm.probes("died.*") == ["died.trunk.5.3"]


def test_a_tree_outlives_the_death_of_a_slave(swarm: Swarm) -> None:
    swarm.master("masternode.lease=3s", "masternode.heartbeat=500ms")
    attic, _ = swarm.slave("attic", workers=2), swarm.slave("cellar", workers=2)
    run = swarm.run("spawning.py:Growing", "spawning.size=13")
    until(lambda: any(node.finished > 200 for node in swarm.status().nodes if node.name == "attic"))
    attic.send(signal.SIGKILL)
    check_tree(run.ends_well(), 13)
