"""Task systems on a real swarm: drained as room comes, heard, cancelled, and what goes wrong in them."""

from __future__ import annotations

from typing import Any

import psutil
import pytest
from swarmkit import Swarm, until


@pytest.mark.slow
def test_a_generator_is_drained_only_as_room_comes(swarm: Swarm) -> None:
    master = swarm.master()
    swarm.slave("attic", workers=2)
    memory: list[int] = []
    run = swarm.run("systems.py:Flooding")
    process = psutil.Process(master.pid)

    def ended() -> bool:
        memory.append(process.memory_info().rss)
        return not run.runs

    until(ended, 90.0)
    result = run.ends_well()["result"]
    assert result["sum"] == sum(range(1, 200_001))
    assert result["most"] < 40_000
    host: list[int] = result["memory"]
    assert max(host[2:]) - host[1] < 30e6, host
    middle = memory[len(memory) // 3 :]
    assert max(middle) - middle[0] < 60e6, memory
    assert max(memory) < 250e6


def test_a_system_may_do_all_that_it_is_offered(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    run = swarm.run("systems.py:Chaining")
    report = run.ends_well()
    assert report["result"] == {
        "values": list(range(1, 11)),
        "cancelled": 1,
        "slaves": ["attic"],
        "counts": [12, 11, 0, 1],
    }
    assert report["progress"]
    assert report["progress"] == sorted(report["progress"])
    assert report["progress"][-1] == [10.0, "at 10"]
    lines = run.output.splitlines()
    talk = [line for line in lines if "task line" in line]
    assert [int(line.rpartition(" ")[2]) for line in talk] == list(range(20))
    assert all(line.startswith("[attic ") for line in talk)
    assert any("a warning of the task" in line and line.startswith("[attic ") for line in lines)
    assert any("the system begins" in line and line.startswith("[") for line in lines)
    assert any("a warning of the system" in line and line.startswith("[") for line in lines)


def test_an_early_end_stops_what_runs(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    run = swarm.run("systems.py:EndingEarly")
    report = run.ends_well(30.0)
    assert report["result"] < 1_000_000
    assert swarm.probes("pid-*")
    # A task that ends when it is asked to costs no worker.
    until(lambda: not any(node.busy_chunks for node in swarm.status().nodes), what="the endless tasks end")
    assert len(swarm.run("slow.py:SlowTasks", "slow.seconds=0").ends_well()["results"]) == 8


PLACES = ("init_system", "generate_tasks", "generator", "task_finished", "is_complete", "gather_result")


def test_one_that_takes_longer_than_it_may_ends_with_its_tasks(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic")
    run = swarm.run("slow.py:SlowSystem", "slow.count=3", "slow.seconds=600", "slow.limit=3")
    error = run.ends_well()["system_error"]
    assert error["kind"] == "timeout"
    assert "OneSlowSystem took longer than its time-out of 3 s" in error["message"]
    until(lambda: not any(node.busy_chunks for node in swarm.status().nodes), what="what ran has ended")


def test_whatever_a_system_raises_reaches_the_client(swarm: Swarm) -> None:
    where = " ".join([*PLACES, "result", "exit", "os._exit", "large", "nowhere"])
    report = swarm.run(
        "systems.py:Breaking", f"broken.where={where}", "transport.max_frame=1MiB", workers=1
    ).ends_well()
    failures: dict[str, dict[str, Any]] = report["failures"]
    assert report["successes"] == ["nowhere"]
    for place in PLACES:
        failure = failures.pop(place)
        assert f"ArithmeticError: broken in {place}" in failure["message"]
        assert failure["kind"] == "exception"
        assert "systems.py" in failure["traceback"]
        assert "self._check(" in failure["traceback"]
        assert "ArithmeticError" in failure["cause"]
    assert "lock" in failures["result"]["message"]
    assert "code 6" in failures["os._exit"]["message"]
    assert "SystemExit" in failures["exit"]["message"]
    assert "too large" in failures["large"]["message"]
