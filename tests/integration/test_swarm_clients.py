"""Clients of plain tasks: they wait for room where they may, are told where they may not, and cancel."""

from __future__ import annotations

import pytest
from swarmkit import Swarm

pytestmark = pytest.mark.sampled

QUICK_LEASE = ("masternode.lease=4s", "masternode.heartbeat=500ms")


def test_pushing_outside_handlers_waits_for_room(swarm: Swarm) -> None:
    report = swarm.run("plain.py:OneByOne", workers=2).ends_well()
    assert report["done"] == 100_000
    assert report["done_while_pushing"] >= 100_000 - 65_536


def test_handlers_push_further_tasks_and_generators(swarm: Swarm) -> None:
    report = swarm.run("plain.py:FromHandlers", workers=2).ends_well()
    assert report["done"] == 63_000
    assert report["generated"] == 60_000


def test_a_handler_that_pushes_without_end_is_told_the_cure(swarm: Swarm) -> None:
    report = swarm.run("plain.py:WithoutEnd", workers=2).ends_well()
    assert "generator" in report["text"]
    assert "push_tasks" in report["text"]
    assert 10_000 < report["pushed"] <= 65_536
    assert report["finished"] == report["pushed"] + 1


@pytest.mark.slow
def test_a_slow_handler_does_not_make_the_client_look_dead(swarm: Swarm) -> None:
    swarm.master(*QUICK_LEASE)
    swarm.slave("attic")
    report = swarm.run("plain.py:Dawdling", "dawdling.seconds=5").ends_well()
    assert report["events"] == []
    assert report["results"] == {f"add {n}": n + 1 for n in range(60)}
    assert set(report["ends"].values()) == {1}


def test_cancelled_tasks_end_once_and_stop(swarm: Swarm) -> None:
    report = swarm.run("plain.py:Cancelling", workers=2).ends_well()
    assert set(report["errors"]) == {f"endless {n}" for n in range(5)}
    assert {error["class"] for error in report["errors"].values()} == {"TaskCancelled"}
    assert {error["kind"] for error in report["errors"].values()} == {"cancelled"}
    assert set(report["ends"].values()) == {1}


def test_what_a_handler_raises_ends_the_run_with_its_traceback(swarm: Swarm) -> None:
    run = swarm.run("plain.py:Raising", workers=1)
    assert run.finish() == 1
    assert "LookupError: raised in the handler" in run.output
    assert "plain.py" in run.output
    assert "concurrence/nodes" not in run.output
    swarm.check_nothing_left()


def test_a_small_window_of_the_master_is_kept_to(swarm: Swarm) -> None:
    settings = ("masternode.task_window=500",)
    report = swarm.run("plain.py:FromHandlers", *settings, workers=2).ends_well()
    assert report["done"] == 63_000


def test_two_slaves_share_the_work_and_labels_lead_to_one(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic")
    swarm.slave("cellar", "slavenode.labels=gpu=2,camera")
    report = swarm.run("routing.py:Routed").ends_well()
    assert report["errors"] == {}
    where: dict[str, list[str]] = report["where"]
    assert set(where["plain"]) == {"attic", "cellar"}
    assert set(where["gpu"]) == {"cellar"}
    assert set(where["camera"]) == {"cellar"}


def test_a_task_that_no_slave_can_run_waits_for_one_and_holds_up_no_other_client(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic")
    run = swarm.run("routing.py:Routed")
    run.wait_for("ended plain")
    assert len(swarm.run("slow.py:SlowTasks", "slow.seconds=0").ends_well()["results"]) == 8
    assert "ended gpu" not in run.output
    swarm.slave("cellar", "slavenode.labels=gpu=2,camera")
    report = run.ends_well()
    assert report["errors"] == {}
    assert set(report["where"]["gpu"]) == {"cellar"}


def test_an_application_with_nothing_to_do_ends_however_late_it_says_so(swarm: Swarm) -> None:
    swarm.run("plain.py:Nothing", workers=1).ends_well()
