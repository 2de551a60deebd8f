"""Tasks that do whatever a task can do to its worker, through the whole swarm: each ends once."""

from __future__ import annotations

from typing import Any

import psutil
import pytest
from swarmkit import Program, Swarm, until

LIMITS = ("taskmanager.memory_limit=250MB", "taskmanager.max_processes=20")
MEBI = 1024 * 1024


def check_squares(report: Any, count: int) -> None:
    assert [report["results"].get(f"square {n}") for n in range(count)] == [n * n for n in range(count)]


def resident(*programs: Program) -> int:
    return sum(psutil.Process(program.pid).memory_info().rss for program in programs)


def check_idle(swarm: Swarm) -> None:
    """Nothing is under way any more, and every worker is there."""
    until(lambda: not any(node.busy_chunks for node in swarm.status().nodes), what="idle slaves")


def test_each_wild_task_ends_once_with_its_reason_and_hurts_no_other(swarm: Swarm) -> None:
    master = swarm.master()
    slave = swarm.slave("attic", *LIMITS, "taskmanager.kill_grace=3s", workers=3)
    before = resident(master, slave)
    report = swarm.run("wild.py:Wild").ends_well(100.0)
    check_squares(report, 300)
    assert set(report["ends"].values()) == {1}
    assert len(report["ends"]) == 311
    errors: dict[str, dict[str, Any]] = report["errors"]
    assert {name: errors[name]["kind"] for name in sorted(errors)} == {
        "eat_memory": "worker",
        "hang_and_clean_up": "timeout",
        "hang_deaf": "timeout",
        "hold_the_gil": "timeout",
        "raise_own_class": "exception",
        "segfault_in_a_thread": "worker",
        "start_children": "worker",
        "start_grandchildren": "worker",
    }
    assert "memory_limit" in errors["eat_memory"]["message"]
    assert "peak memory" in errors["eat_memory"]["message"]
    assert "max_processes" in errors["start_children"]["message"]
    assert "code 5" in errors["start_grandchildren"]["message"]
    assert "SIGSEGV" in errors["segfault_in_a_thread"]["message"]
    assert "known here only" in errors["raise_own_class"]["message"]
    assert "was interrupted" in errors["hang_and_clean_up"]["message"]
    assert "worker was killed" in errors["hang_deaf"]["message"]
    assert {
        name: len(swarm.probes(f"{name}.*")) for name in ("memory", "bomb", "daemons", "thread")
    } == dict.fromkeys(("memory", "bomb", "daemons", "thread"), 3), "each was given to three workers"
    for name in ("memory", "bomb", "daemons", "thread"):
        assert len(swarm.probes(f"{name}.*")) == 3, f"{name} was given to three workers"
    for name in ("deaf", "gil", "polite-cleaned"):
        assert len(swarm.probes(f"{name}.*")) == 1, name
    check_idle(swarm)
    children = [int(name.partition("-")[2]) for name in swarm.probes("child-*") + swarm.probes("daemon-*")]
    assert children
    until(lambda: not any(psutil.pid_exists(pid) for pid in children), what="no process that a task had started")
    assert resident(master, slave) - before < 60 * MEBI


def test_a_fork_bomb_is_ended_at_its_time_out_with_all_that_it_started(swarm: Swarm) -> None:
    swarm.master()
    slave = swarm.slave("attic", workers=2)
    report = swarm.run("wild.py:ForkBomb").ends_well()
    check_squares(report, 50)
    assert set(report["ends"].values()) == {1}
    assert report["errors"]["fork_bomb"]["kind"] == "timeout"
    assert "worker was killed" in report["errors"]["fork_bomb"]["message"]
    bombs = [int(name.partition("-")[2]) for name in swarm.probes("forked-*")]
    assert len(bombs) > 7, "it had gone off"
    until(lambda: not any(psutil.pid_exists(pid) for pid in bombs), 30.0, "nothing of it is left")
    check_idle(swarm)
    until(lambda: len(slave.children()) == 3, what="a template and two workers, and no more")


@pytest.mark.parametrize("app", ["Cancelling", "CancellingSystem"])
def test_cancelling_ends_what_runs_and_what_waits(swarm: Swarm, app: str) -> None:
    swarm.master()
    swarm.slave("attic", workers=3)
    report = swarm.run(f"wild.py:{app}").ends_well()
    assert set(report["ends"].values()) == {1}
    if app == "Cancelling":
        check_squares(report, 50)
        assert {report["errors"][f"hang {n}"]["class"] for n in range(6)} == {"TaskCancelled"}
    else:
        assert report["system_error"]["kind"] == "cancelled"
    began = swarm.probes("polite-began.*")
    # Cleaned up after themselves, and not killed: by the handler's answer the workers may still be at it.
    until(lambda: len(swarm.probes("polite-cleaned.*")) == len(swarm.probes("polite-began.*")))
    assert len(began) >= 2
    check_idle(swarm)


def test_large_results_arrive_and_leave_no_memory_behind(swarm: Swarm) -> None:
    master, slave = swarm.master(), swarm.slave("attic", workers=2)
    before = resident(master, slave)
    report = swarm.run("wild.py:LargeResults").ends_well(100.0)
    check_squares(report, 50)
    assert report["errors"] == {}
    assert [report["results"][f"large {n}"] for n in range(3)] == [100_000_000] * 3
    assert set(report["ends"].values()) == {1}
    check_idle(swarm)
    until(lambda: resident(master, slave) - before < 120 * MEBI, what="no more memory than for one result")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_result_of_a_gigabyte(swarm: Swarm) -> None:
    frame = "transport.max_frame=1100MB"
    master, slave = swarm.master(frame), swarm.slave("attic", frame, workers=2)
    before = resident(master, slave)
    run = swarm.run("wild.py:LargeResults", frame, "large.count=1", "large.megabytes=1000")
    report = run.ends_well(300.0)
    check_squares(report, 50)
    assert report["results"]["large 0"] == 1_000_000_000
    check_idle(swarm)
    until(lambda: resident(master, slave) - before < 200 * MEBI, what="its memory is given back")
