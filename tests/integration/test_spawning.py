"""Tasks that push tasks, and task systems that push task systems, on real swarms: exactly once, whatever dies."""

from __future__ import annotations

import os
import signal
from typing import Any

import psutil
import pytest
from swarmkit import APPS, Program, Swarm, until

pytestmark = pytest.mark.sampled

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


LEAVES = {"{}": 2, "{}.0": 0, "{}.1": 1, "{}.1.0": 0, "{}.leaf": "{}.leaf"}


def generation(name: str, depth: int) -> Any:
    """What a generation of systems has to say."""
    if depth:
        return {letter: generation(name + letter, depth - 1) for letter in "ab"}
    return {
        key.format(name): value.format(name) if isinstance(value, str) else value for key, value in LEAVES.items()
    }


def hosts(swarm: Swarm) -> dict[str, int]:
    """The processes of the systems, by their names."""
    parts = [name.partition(".")[0].split("-") for name in swarm.probes("host-*")]
    return {name: int(pid) for _, name, pid in parts}


@pytest.mark.parametrize("policy", POLICIES)
def test_systems_push_systems_and_are_told_their_ends(swarm: Swarm, policy: str) -> None:
    swarm.master(*POLICIES[policy])
    swarm.slave("attic", workers=2)
    report = swarm.run("spawning.py:Generations").ends_well()
    assert report["result"] == generation("x", 2)
    assert sorted(hosts(swarm)) == ["x", "xa", "xaa", "xab", "xb", "xba", "xbb"]
    assert report["seen"]
    assert set(report["seen"]) <= {f"at {name}" for name in hosts(swarm)}
    until(lambda: not swarm.status().systems)


@pytest.mark.parametrize("dies", ["x", "xa", "xaa", "client"])
def test_whoever_dies_takes_what_it_pushed_along_and_who_pushed_it_is_told(swarm: Swarm, dies: str) -> None:
    swarm.master("masternode.lease=3s", "masternode.heartbeat=500ms")
    swarm.slave("attic", workers=4)
    run = swarm.run("spawning.py:Generations", "spawning.waits=true")
    until(lambda: len(hosts(swarm)) == 7)
    until(lambda: sum(system.running for system in swarm.status().systems) == 4)
    if dies == "client":
        run.send(signal.SIGKILL)
        run.finish()
        until(lambda: not any(psutil.pid_exists(pid) for pid in hosts(swarm).values()))
        swarm.remove_litter()
        return
    os.kill(hosts(swarm)[dies], signal.SIGKILL)
    gone = {name: pid for name, pid in hosts(swarm).items() if name.startswith(dies)}
    until(lambda: not any(psutil.pid_exists(pid) for pid in gone.values()))
    if dies == "x":
        assert "ended before it was complete" in run.ends_well()["system_error"]["message"]
        return
    left = {name: pid for name, pid in hosts(swarm).items() if name not in gone}
    assert all(psutil.pid_exists(pid) for pid in left.values())
    until(lambda: sum(system.running for system in swarm.status().systems) == (2 if dies == "xa" else 3))
    for name in ("xab", "xba", "xbb"):  # and with the last of them their parents end
        if name in left:
            os.kill(left[name], signal.SIGKILL)
    result = run.ends_well()["result"]
    told = result["a"] if dies == "xa" else result["a"]["a"]
    assert "ended before it was complete: was killed by SIGKILL" in told
    assert "ended before it was complete: was killed by SIGKILL" in result["b"]["b"]
