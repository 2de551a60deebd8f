"""The policy for heterogeneous swarms with real processes, and pairs of policy and manager that do not fit."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from swarmkit import Swarm, until

from concurrence.samples.mandelbrot_kernel import View, palette, render_sequential, rows_of
from concurrence.samples.png import write_png

SCHEDULER = "masternode.task_scheduler=GenericTaskScheduler"
MANAGER = "slavenode.task_manager=GenericTaskManager"
VIEW = View(160, 96, 20)
PICTURE = tuple(f"mandelbrot.{each}" for each in ("width=160", "height=96", "factor=4", "output=picture.png"))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sequential") / "picture.png"
    write_png(path, rows_of(VIEW, render_sequential(VIEW)), palette("fire", VIEW.iterations))
    return path.read_bytes()


def picture(folder: Path) -> bytes:
    return (folder / "client" / "picture.png").read_bytes()


def check_all(report: Any, count: int) -> None:
    assert report["errors"] == {}
    assert report["results"] == {f"slow {n}": n for n in range(count)}
    assert set(report["ends"].values()) == {1}


def finished(swarm: Swarm) -> dict[str, int]:
    """How many tasks each slave has finished."""
    return {node.name: node.finished for node in swarm.status().nodes if node.kind == "slave"}


@pytest.mark.parametrize("shape", ["system-optimized", "batch-plain"])
@pytest.mark.parametrize("manager", [(MANAGER,), ()], ids=["generic manager", "default manager"])
def test_a_private_swarm_draws_the_picture(
    swarm: Swarm, expected: bytes, shape: str, manager: tuple[str, ...]
) -> None:
    run = swarm.run("mandelbrot", *PICTURE, f"mandelbrot.shape={shape}", SCHEDULER, *manager, workers=2)
    assert run.finish() == 0, str(run)
    assert picture(swarm.folder) == expected
    swarm.check_nothing_left()


def test_one_thread_draws_it_too(swarm: Swarm, expected: bytes) -> None:
    words = [word for setting in (*PICTURE, SCHEDULER) for word in ("--set", setting)]
    run = swarm.command("run", "mandelbrot", "--inline", *words)
    assert run.finish() == 0, str(run)
    assert picture(swarm.folder) == expected


def test_a_killed_worker_is_replaced_and_its_task_runs_again(swarm: Swarm) -> None:
    swarm.master(SCHEDULER)
    swarm.slave("attic", MANAGER, workers=2)
    run = swarm.run("slow.py:SlowTasks", "slow.count=4", "slow.seconds=1")
    until(lambda: swarm.probes("pid-0"))
    os.kill(int((swarm.probe / "pid-0").read_text()), signal.SIGKILL)
    check_all(run.ends_well(), 4)
    assert len(swarm.probes("start-0.*")) == 2
    for n in (1, 2, 3):
        assert len(swarm.probes(f"start-{n}.*")) == 1


def test_the_work_of_a_killed_slave_is_done_by_another(swarm: Swarm) -> None:
    swarm.master(SCHEDULER)
    attic, _ = swarm.slave("attic", MANAGER), swarm.slave("cellar", MANAGER)
    run = swarm.run("slow.py:SlowTasks", "slow.count=12", "slow.seconds=0.4")
    until(lambda: len(swarm.probes("start-*")) >= 4)
    before = attic.children()
    attic.send(signal.SIGKILL)
    _, alive = psutil.wait_procs(before, timeout=30.0)
    assert not alive
    check_all(run.ends_well(), 12)
    # A task may have ended on a killed worker before its result could leave.
    assert 12 <= len(swarm.probes("end-*")) <= 14


def test_a_slow_slave_gets_its_part(swarm: Swarm) -> None:
    swarm.master(SCHEDULER)
    swarm.slave("slow", MANAGER)
    swarm.slave("fast", MANAGER)
    report = swarm.run("uneven.py:UnevenTasks").ends_well()
    assert set(report["ends"].values()) == {1}
    assert report["where"]["slow"] + report["where"]["fast"] == 200
    # About a fifth; nearer to a half the busier the machine is, which delays short tasks most.
    assert 10 <= report["where"]["slow"] <= 90


def test_what_waits_is_taken_back_for_a_slave_that_joins(swarm: Swarm) -> None:
    swarm.master(SCHEDULER)
    swarm.slave("attic", MANAGER)
    run = swarm.run("slow.py:SlowTasks", "slow.count=2", "slow.seconds=600")
    until(lambda: swarm.probes("start-*"))
    swarm.slave("cellar", MANAGER)
    until(lambda: len(swarm.probes("start-*")) == 2, what="the waiting task starts at the other slave")
    assert not swarm.probes("end-*"), "both run at the same time"
    (swarm.probe / "release").touch()
    check_all(run.ends_well(), 2)
    assert len(swarm.probes("start-*")) == 2
    assert finished(swarm) == {"attic": 1, "cellar": 1}


class TestWhatDoesNotFit:
    def test_a_slave_that_does_not_pull_ends_with_both_options_named(self, swarm: Swarm) -> None:
        swarm.master()
        env = swarm.folder / "env-slave"
        assert swarm.command("env", "create", str(env)).finish() == 0
        words = ["--env", str(env), "--master", str(swarm.connect("slave")), "--workers", "1", "--set", MANAGER]
        slave = swarm.command("slave", *words, folder="attic")
        assert slave.finish() == 2, str(slave)
        assert '[slavenode] task_manager = "ZMQTaskManager"' in slave.output
        assert '[masternode] task_scheduler = "GenericTaskScheduler"' in slave.output
        # Nothing that it may have been sent is lost.
        swarm.slave("cellar")
        check_all(swarm.run("slow.py:SlowTasks", "slow.count=4", "slow.seconds=0").ends_well(), 4)

    def test_a_private_swarm_says_so_and_ends(self, swarm: Swarm) -> None:
        run = swarm.run("slow.py:SlowTasks", MANAGER, workers=1)
        assert run.finish() == 2, str(run)
        assert '[slavenode] task_manager = "ZMQTaskManager"' in run.output
        swarm.check_nothing_left()
