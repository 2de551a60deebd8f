"""The samples that burn CPU time: benchmark on every kind of cluster, and amdahl with its table and plots."""

from __future__ import annotations

import re
import signal

import pytest
from samplekit import Cluster, on_every_cluster
from swarmkit import Program, Swarm, until

from concurrence import available_cores

pytestmark = pytest.mark.sampled

BURNT = re.compile(r"([\d,]+) tasks burnt ([\d.]+) s of CPU time in ([\d.]+) s: ([\d.]+) times")


def check_burnt(run: Program, tasks: int, seconds: float) -> None:
    """It burnt at least so much CPU time, and says how fast that was."""
    found = BURNT.search(run.output)
    assert found, str(run)
    assert int(found[1]) == tasks
    assert tasks * seconds <= float(found[2]) + 0.01 < 20 * tasks * seconds
    assert float(found[4]) == pytest.approx(float(found[2]) / float(found[3]), abs=0.02, rel=0.05)
    assert f"tasks: {tasks} finished, 0 failed, 0 cancelled" in run.output


@on_every_cluster
@pytest.mark.parametrize("form", ["tasks", "system"])
def test_benchmark_on_every_cluster(swarm: Swarm, cluster: Cluster, form: str) -> None:
    sets = ("benchmark.num_tasks=40", "benchmark.time_per_task=0.05", f"benchmark.form={form}")
    run = cluster.run(swarm, "benchmark", *sets, middle=5)
    check_burnt(run, 40, 0.05)
    assert "split: " in run.output


def test_benchmark_watches_the_cores_and_draws_them(swarm: Swarm) -> None:
    pytest.importorskip("matplotlib")
    sets = ("benchmark.num_tasks=40", "benchmark.time_per_task=0.05", "benchmark.plot=cpu.png")
    run = swarm.run("benchmark", *sets, workers=2)
    assert run.finish() == 0, str(run)
    check_burnt(run, 40, 0.05)
    found = re.search(r"CPU usage of (\d+) cores? through the middle 80% of the run: ([\d.]+)%", run.output)
    assert found, str(run)
    assert int(found[1]) == available_cores()
    assert 5 <= float(found[2]) <= 100
    assert (swarm.folder / "client" / "cpu.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["tasks", "system"])
def test_a_swarm_keeps_all_cores_busy_through_the_middle_of_a_run(swarm: Swarm, form: str) -> None:
    """What the seed promised; other programs on the machine only add to it, so that this never fails for them."""
    run = swarm.command("run", "benchmark", "--form", form)
    assert run.finish(240) == 0, str(run)
    found = re.search(r"CPU usage of \d+ cores? through the middle 80% of the run: ([\d.]+)%", run.output)
    assert found, str(run)
    assert float(found[1]) >= 95, str(run)
    assert "below 95%" not in run.output


def test_benchmark_says_what_is_wrong_before_it_runs(swarm: Swarm) -> None:
    run = swarm.run("benchmark", "benchmark.plot=none/cpu.png", workers=1)
    assert run.finish() == 2, str(run)
    assert "the plot cannot be written" in run.output
    assert "tasks:" not in run.output


def test_amdahl_measures_simulates_and_fits(swarm: Swarm) -> None:
    pytest.importorskip("matplotlib")
    words = "--up-to 2 --repeats 2 --work 0.4 --serial 0.25 --simulate 8 --plot curve"
    run = swarm.command("run", "amdahl", *words.split())
    assert run.finish(120) == 0, str(run)
    assert "15 tasks of 20 ms and 0.1 s serial: P = 0.7500; 2 runs each" in run.output
    rows = [line.split() for line in run.output.splitlines() if re.match(r" +\*?\d+ ", line)]
    assert [row[0] for row in rows] == ["1", "2", "*4", "*8"]
    for row in rows[:2]:
        shares = [float(cell.removesuffix("%")) for cell in row[-4:]]
        assert sum(shares) == pytest.approx(100, abs=0.3)
        assert shares[0] > 5
        assert float(row[1]) >= 0.1 + 0.3 / int(row[0])  # nobody is faster than the law for P = 0.75
    assert [row[2] for row in rows[2:]] == ["simulated", "simulated"]
    assert 1 < float(rows[2][3]) < float(rows[3][3]) < 4
    # On a machine whose cores others use two workers may well be slower than one.
    law = r"Amdahl:  (P = [01]\.\d{4}, 95% interval [01]\.\d{4} to [01]\.\d{4}; limit|slower with more workers)"
    assert re.search(law, run.output), str(run)
    assert "note:    2 runs each are few" in run.output
    assert "(2 of 4 numbers simulated" in run.output
    assert "Gunther: contention " in run.output
    folder = swarm.folder / "client"
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "curve.svg").read_text("utf-8")[:1000]


def test_amdahl_says_what_is_wrong_before_it_runs(swarm: Swarm) -> None:
    for setting, words in (
        ("amdahl.serial=1.5", "a part is from 0 to 1"),
        ("amdahl.work=0", "more than 0"),
        ("amdahl.plot=none/curve", "the plot cannot be written"),
    ):
        run = swarm.command("run", "amdahl", "--set", setting)
        assert run.finish() == 2, str(run)
        assert words in run.output
    for words in (["--workers", "2"], ["--inline"], ["--report", "out.html"]):
        run = swarm.command("run", "amdahl", *words)
        assert run.finish() == 2, str(run)
        assert "Amdahl is no client of a swarm" in run.output


def test_ctrl_c_ends_amdahl_and_its_swarm(swarm: Swarm) -> None:
    run = swarm.command("run", "amdahl", "--work", "2", "--repeats", "500")
    until(lambda: len(run.children()) >= 4 or not run.runs, 60, "master, slave, template and worker")
    run.send(signal.SIGINT)
    assert run.finish() == 130, str(run)
    assert "Traceback" not in run.output
