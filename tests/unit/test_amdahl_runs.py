"""What the samples amdahl and benchmark make of measurements: differences of reports, tables, CPU usage."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from concurrence import ComponentManager, RunReport, Split, UsageError
from concurrence.samples.amdahl_law import fit_amdahl, fit_usl, usl
from concurrence.samples.amdahl_runs import (
    Job,
    Run,
    between,
    beyond,
    counts,
    in_turns,
    measured_and_last,
    simulated,
)
from concurrence.samples.amdahl_table import (
    busy_lines,
    few_lines,
    header,
    law_lines,
    measured_row,
    simulated_row,
    usl_lines,
)
from concurrence.samples.benchmark_tasks import Burn, burn
from concurrence.samples.cpu_usage import Sample, middle_share, read_counters, usage_line
from concurrence.samples.plot_files import SpeedUps, check_plot_file, speed_up_plot, usage_plot
from concurrence.scheduling.pushpull import ZMQTaskScheduler

JOB = Job(tasks=90, seconds=0.02, serial=0.2)
ALONE = Run(2.0, 0.9, 1.8, 0.01, 0.02, 0.17, 0.2)


def test_burning_takes_cpu_time_and_says_how_much() -> None:
    assert 0.01 <= burn(0.01) < 1.0
    assert 0.01 <= Burn(1, 0.01)() < 1.0


def test_the_job_knows_its_parallel_part() -> None:
    assert JOB.parallel == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1, [1]),
        (2, [1, 2]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (11, [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]),
        (24, [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24]),
    ],
)
def test_which_numbers_of_workers_are_measured(most: int, expected: list[int]) -> None:
    assert counts(most) == expected


def test_which_are_simulated() -> None:
    assert beyond(2, 16) == [4, 8, 16]
    assert beyond(16, 16) == []
    assert beyond(3, 64) == [4, 8, 16, 32, 64]
    assert beyond(2, 0) == []
    assert beyond(2, 6) == [4, 6]


def test_a_run_is_the_difference_of_two_reports() -> None:
    before = RunReport(1.0, 4, 0, 0, 10, Split(0.5, 0.1, 0.1, 0.1, 1.0), ran=4, queued=0.1, owner=0.05)
    after = RunReport(4.0, 14, 0, 0, 40, Split(3.5, 0.2, 0.3, 0.6, 3.0), ran=14, queued=0.5, owner=0.35)
    run = between(before, after, 2.0, 2)
    assert run.compute == pytest.approx(3.0)
    assert run.serialise == pytest.approx(0.1)
    assert run.transfer == pytest.approx(0.2)
    assert run.idle == pytest.approx(2 * 2.0 - 3.3)
    assert run.serial == pytest.approx(0.3)
    assert run.queued == pytest.approx((0.5 * 14 - 0.1 * 4) / 10)
    assert sum(run.share(part) for part in ("compute", "serialise", "transfer", "idle")) == pytest.approx(1)


def test_the_table() -> None:
    rows = [header(), measured_row(2, [ALONE, ALONE], 3.0), simulated_row(16, 6.0, 3.0)]
    assert len({len(row) for row in rows}) == 1
    assert rows[1].split() == [
        "2",
        "2.000",
        "2.000-2.000",
        "1.50",
        "0.75",
        "0.900s",
        "90.0%",
        "0.5%",
        "1.0%",
        "8.5%",
    ]
    assert rows[2].split()[:5] == ["*16", "0.500", "simulated", "6.00", "0.38"]


def test_what_the_laws_say_is_told() -> None:
    fit = fit_amdahl({1: [2.0, 2.0, 2.0], 2: [1.1, 1.1, 1.1]})
    text = "\n".join(law_lines(fit, JOB, {1: 1.0, 2: 1.818}))
    assert "P = 0.9000, 95% interval 0.9000 to 0.9000; limit 1/(1-P) = 10.0" in text
    assert "S(2) = 1.82; the law says 1.82, the job alone 1.82" in text
    assert "interval" not in law_lines(fit_amdahl({1: [2.0], 2: [1.1]}), JOB, {2: 1.8})[0]
    assert "fastest with" in usl_lines(fit_usl({1: 1.0, 2: 1.9, 4: 3.0, 8: 3.5}), 4, 0)[0]
    assert "simulated" not in usl_lines(fit_usl({1: 1.0, 2: 1.9, 4: 3.0, 8: 3.5}), 4, 0)[0]
    assert "never slower" in usl_lines(fit_usl({1: 1.0, 2: 2.0, 4: 4.0, 8: 8.0}), 4, 0)[0]
    assert "fastest with 1 worker" in usl_lines(fit_usl({1: 1.0, 2: 0.8, 4: 0.6, 8: 0.3}), 4, 0)[0]


def test_a_law_that_rests_on_the_simulator_says_so() -> None:
    (line,) = usl_lines(fit_usl({1: 1.0, 2: 1.7, 4: 2.8, 8: 4.1}), 2, 2)
    assert line.endswith("(2 of 4 numbers simulated)")


def test_times_outside_of_the_law_are_told_and_not_calculated_with() -> None:
    faster = "\n".join(law_lines(fit_amdahl({1: [2.0, 2.0], 2: [0.985, 0.985]}), JOB, {1: 1.0, 2: 2.03}))
    assert "faster than the law allows" in faster
    assert "-0" not in faster
    slower = "\n".join(law_lines(fit_amdahl({1: [2.0, 2.0], 2: [2.4, 2.4]}), JOB, {1: 1.0, 2: 0.83}))
    assert "slower with more workers than with one: the law knows no such thing" in slower
    assert "-0" not in slower


def test_an_interval_of_few_runs_or_of_a_law_that_does_not_fit_is_marked() -> None:
    bad = fit_amdahl({n: [2.0 / usl(0.05, 0.02, n) * scatter for scatter in (0.999, 1.001)] for n in range(1, 7)})
    assert any("does not fit" in line for line in law_lines(bad, JOB, {1: 1.0, 6: 3.0}))
    good = fit_amdahl({1: [2.0, 2.0, 2.0], 2: [1.1, 1.1, 1.1]})
    assert not any("does not fit" in line for line in law_lines(good, JOB, {1: 1.0, 2: 1.8}))
    assert few_lines(5) == []
    assert "2 runs each" in few_lines(2)[0]


def test_each_run_has_a_swarm_of_its_own_and_the_numbers_take_turns() -> None:
    told: list[tuple[int, int]] = []
    made: list[int] = []

    def one(workers: int) -> Run:
        made.append(workers)
        return ALONE._replace(seconds=float(len(made)))

    runs = in_turns(one, [1, 2, 4], 2, lambda workers, number: told.append((workers, number)))
    assert made == [1, 2, 4, 1, 2, 4]
    assert told == [(1, 1), (2, 1), (4, 1), (1, 2), (2, 2), (4, 2)]
    assert {n: [run.seconds for run in some] for n, some in runs.items()} == {1: [1, 4], 2: [2, 5], 4: [3, 6]}


@pytest.mark.parametrize(
    ("up_to", "cores", "simulate", "expected"),
    [
        (0, 2, 16, (2, 16)),
        (8, 2, 0, (2, 8)),  # asked for, and there are no cores for them
        (8, 2, 16, (2, 16)),
        (32, 2, 16, (2, 32)),
        (2, 4, 0, (2, 0)),
        (0, 4, 0, (4, 0)),
        (3, 1, 16, (1, 16)),
    ],
)
def test_no_more_workers_are_measured_than_there_are_cores(
    up_to: int, cores: int, simulate: int, expected: tuple[int, int]
) -> None:
    assert measured_and_last(up_to, cores, simulate) == expected


def test_cores_that_others_use_too_are_told() -> None:
    assert busy_lines({1: [ALONE]}, JOB) == []
    slow = ALONE._replace(compute=3.6)
    assert "with 2 workers a task took 2.0 times its CPU time" in busy_lines({1: [ALONE], 2: [slow]}, JOB)[0]


def test_a_simulated_swarm_obeys_the_law_as_far_as_its_tasks_can_be_shared_out() -> None:
    manager = ComponentManager()
    manager.register(ZMQTaskScheduler)
    fast = simulated(manager, "ZMQTaskScheduler", [ALONE], JOB, 3)
    assert 2.3 < fast < 2.5  # the law: 2.5 for P = 0.9; messages take time
    with pytest.raises(UsageError):
        simulated(manager, "NoScheduler", [ALONE], JOB, 2)


# --- the CPU usage ---

STAT = """cpu  30 0 10 60 0 0 0 0 0 0
cpu0 10 0 5 35 0 0 0 0 0 0
cpu1 20 0 5 20 5 0 0 0 4 0
cpu10 1 1 1 1 1 1 1 1 0 0
intr 12345 0 0
"""


def test_the_counters_of_the_wanted_cores_are_read() -> None:
    assert read_counters(STAT, {0, 1}) == {0: (15, 50), 1: (25, 50)}
    assert read_counters(STAT, {10}) == {10: (6, 8)}


def test_the_middle_of_a_run_is_what_counts() -> None:
    samples = [Sample(float(at), {0: 0.0 if at in (0, 10) else 1.0, 1: 0.9}) for at in range(11)]
    assert middle_share(samples) == pytest.approx(0.95)
    assert middle_share([]) is None


@pytest.mark.parametrize(
    ("share", "cores", "workers", "ending"),
    [
        (0.96, 2, 2, "of 2 cores through the middle 80% of the run: 96.0%"),
        (0.90, 2, 2, "90.0%; below 95%"),
        (0.90, 2, 8, "90.0%; below 95%"),
        (0.49, 2, 1, "49.0%; 1 worker cannot use all of them"),
        (0.49, 2, None, "49.0%; these are the client's, and not those of the slaves"),
        # A quota of one core on a machine of two: whoever uses the other one is not told apart.
        (0.49, 1, 1, "of 1 core through the middle 80% of the run: 98.0%, with what others on the machine used"),
    ],
)
def test_cores_are_called_badly_used_only_where_the_work_could_use_them(
    share: float, cores: int, workers: int | None, ending: str
) -> None:
    samples = [Sample(float(at), {0: share, 1: share}) for at in range(11)]
    line = usage_line(samples, cores, workers)
    assert line is not None
    assert line.endswith(ending)
    assert usage_line([], 2, 2) is None


# --- plots ---


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plots_are_drawn(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib")
    usage, curve = tmp_path / f"cpu.{ending}", tmp_path / f"curve.{ending}"
    usage_plot(usage, [Sample(float(at), {0: 0.5, 1: 1.0}) for at in range(5)])
    times = {1: [2.0, 2.1], 2: [1.1, 1.2]}
    everything = SpeedUps(times, {1: 1.0, 2: 1.8}, {4: 3.0, 8: 4.5})
    speed_up_plot(curve, everything, fit_amdahl(times), fit_usl({1: 1.0, 2: 1.8, 4: 3.0, 8: 4.5}))
    speed_up_plot(curve, everything, fit_amdahl({1: [2.0], 2: [1.0]}), None)
    for file in (usage, curve):
        assert file.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")
        assert file.stat().st_size > 5_000


def test_a_place_for_a_plot_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_plot_file(tmp_path / "a.png", "benchmark.plot")
    with pytest.raises(UsageError, match=r"\.png or \.svg"):
        check_plot_file(tmp_path / "a.gif", "benchmark.plot")
    with pytest.raises(UsageError, match="cannot be written"):
        check_plot_file(tmp_path / "none" / "a.png", "benchmark.plot")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match="folder"):
        check_plot_file(tmp_path / "folder.png", "benchmark.plot")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="not installed") as caught:
        check_plot_file(tmp_path / "a.png", "benchmark.plot")
    assert "concurrence[samples]" in caught.value.hint
    assert list(tmp_path.glob(".plot-*")) == []
