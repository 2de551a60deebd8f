"""The speed-up report: its parts sum up, and its one sentence of advice names what costs most."""

from __future__ import annotations

import pytest
from msgspec.structs import replace as changed

from concurrence.cli.display import report_lines, summary_lines
from concurrence.nodes.advice import advise
from concurrence.nodes.display import RunSummary
from concurrence.nodes.report_charts import law_chart
from concurrence.nodes.run_report import RunReport, SlaveShare, Split, make_report
from concurrence.wire.messages import SlaveUsage, Usage

SUMMARY = RunSummary(wall=10.0, busy=14.0, finished=100, failed=1, cancelled=2, moved=5_000)
ATTIC = SlaveUsage("attic", 2, 10.0, 60, 10, 14.0, 1.0, 0.5, 0.25, 0.75, 1.5, 3_000, 2_000, 14.0)


def usage(*rows: SlaveUsage, seconds: float = 10.0, systems: float = 0.0) -> Usage:
    return Usage(1, seconds, 300.0, 100, systems, list(rows))


def run(**shares: float) -> RunReport:
    """Ten seconds of two workers, of which the parts have these shares and computing has the rest."""
    parts = {part: 20.0 * share for part, share in shares.items()}
    split = Split(compute=20.0 - sum(parts.values()), **parts)
    return RunReport(10.0, 1_000, 0, 0, 1_000_000, split, (SlaveShare("attic", 2, 10.0, 1_000, split),), 1_000)


def test_all_parts_are_workers_times_wall() -> None:
    report = make_report(SUMMARY, usage(ATTIC))
    assert report.split.total == pytest.approx(2 * 10.0)
    assert report.split.compute == pytest.approx(13.0)
    assert report.split.serialise == pytest.approx(1.5)
    assert report.split.transfer == pytest.approx(1.0)
    assert report.split.starved == pytest.approx(1.5)
    assert report.split.idle == pytest.approx(3.0)
    assert (report.workers, report.parallelism) == pytest.approx((2.0, 1.3))
    assert report.queued == pytest.approx(3.0)
    assert (report.slaves[0].utilisation, report.slaves[0].sent) == (pytest.approx(0.65), 3_000)


def test_a_slave_counts_while_it_is_there_and_one_started_for_the_run_from_its_beginning() -> None:
    late = SlaveUsage("attic", 2, 4.0, 60, 10, 6.0)
    assert make_report(SUMMARY, usage(late)).split.total == pytest.approx(8.0)
    private = make_report(SUMMARY, usage(late), is_private=True)
    assert private.split.total == pytest.approx(20.0)
    assert private.slaves[0].late == pytest.approx(6.0)


def test_the_clients_time_is_longer_than_the_masters_and_what_it_did_after_it_is_told_apart() -> None:
    row = SlaveUsage("attic", 2, 8.0, 60, 10, 6.0)
    report = make_report(SUMMARY, usage(row, seconds=8.0), after=2.0)
    assert report.split.total == pytest.approx(20.0)
    assert (report.wall, report.after) == pytest.approx((10.0, 2.0))


def test_what_workers_claim_beyond_the_wall_time_is_no_negative_idle_time() -> None:
    report = make_report(SUMMARY, usage(SlaveUsage("attic", 1, 10.0, 60, 10, 14.0)))
    assert report.split.idle == 0
    assert report.split.total == pytest.approx(14.0)


def test_without_an_answer_only_the_summary_is_known() -> None:
    report = make_report(SUMMARY, None, owner=1.0)
    assert (report.finished, report.split.total, report.serial_fraction) == (100, 0.0, None)
    assert advise(report) == ""
    assert report_lines(report) == []


def test_the_serial_fraction_is_that_of_a_run_that_obeys_the_law() -> None:
    # One second serial and 4 parallel: 5 on one worker, 2 on four.
    split = Split(compute=4.0, starved=4.0)
    assert RunReport(2.0, 1, 0, 0, 0, split).serial_fraction == pytest.approx(0.2)
    assert RunReport(2.0, 1, 0, 0, 0, Split(compute=2.0)).serial_fraction is None  # one worker
    assert RunReport(2.0, 1, 0, 0, 0, Split(idle=8.0)).serial_fraction is None
    assert RunReport(1.0, 1, 0, 0, 0, Split(compute=4.0)).serial_fraction == 0.0


def test_good_use_is_called_so_with_the_limit_of_the_law() -> None:
    report = run(idle=0.02)
    assert "workers computed 98% of the time" in advise(report)
    assert report.limit == pytest.approx(19.6 / 0.2)  # 0.2 s are not half of 19.6
    assert "up to 98 times one core" in advise(report)
    alone = changed(report, wall=20.0)
    assert "more workers would make it faster" in advise(alone)


@pytest.mark.parametrize(
    ("workers", "tasks", "idle", "words"),
    [
        (2, 2, 0.0, "with 2 tasks more workers make it no faster: cut the work into more"),
        (1, 1, 0.0, "with 1 task more workers make it no faster"),
        (8, 8, 0.02, "with 8 tasks more workers make it no faster"),
        (2, 3, 0.0, "with 3 workers at most: one for each task"),
        (2, 20, 0.02, "with 20 workers at most"),  # the law alone would say 98 times
        (1, 2, 0.0, "more workers would make it faster"),
        (2, 1_000, 0.0, "almost in proportion"),
    ],
)
def test_more_workers_than_tasks_are_not_called_faster(workers: int, tasks: int, idle: float, words: str) -> None:
    whole = 10.0 * workers
    split = Split(compute=whole * (1 - idle), idle=whole * idle)
    report = RunReport(10.0, tasks, 0, 0, 1_000, split, ran=tasks)
    assert words in advise(report)


def test_who_had_no_core_was_not_sped_up() -> None:
    """Eight workers on two cores take four times as long for each task: that is no speed-up of 6.7."""
    split = Split(compute=67.0, idle=13.0)
    report = RunReport(10.0, 1_000, 0, 0, 1_000, split, ran=1_000, cpu=20.0, cpu_share=0.3)
    assert (report.workers, report.parallelism) == pytest.approx((8.0, 6.7))
    assert (report.work, report.speed_up, report.serial_fraction, report.limit) == (None, None, None, None)
    assert report.speed_up_at(8) is None
    assert "tasks had a core for 30% of the time" in advise(report)
    assert "faster" not in advise(report)
    assert "serial fraction" not in report_lines(report)[0]
    summary = RunSummary(wall=10.0, busy=67.0, finished=1_000, failed=0, cancelled=0, moved=1_000)
    assert (
        summary_lines(summary, 8, report)[1] == "time:  10.00 s, 67.00 s in tasks, 20.00 s of CPU with 8 workers"
    )


def test_a_speed_up_is_of_cpu_time_and_the_same_wherever_it_is_told() -> None:
    row = SlaveUsage("attic", 2, 10.0, 60, 10, 14.0, 1.0, 0.5, 0.25, 0.75, 1.5, 3_000, 2_000, 12.6)
    report = make_report(SUMMARY, usage(row))
    assert (report.cpu, report.slaves[0].cpu) == (12.6, 12.6)
    assert report.work == pytest.approx(13.0 * 0.9)
    assert report.speed_up == pytest.approx(1.17)
    assert report.speed_up_at(report.workers) == pytest.approx(1.17)
    assert summary_lines(SUMMARY, 2, report)[1].endswith(
        "14.00 s in tasks, 12.60 s of CPU, speed-up 1.17 with 2 workers"
    )
    assert "this run: 1.17" in law_chart(report)
    # Of the ten seconds 4.15 are not half of the work.
    assert report.serial_seconds == pytest.approx(4.15)
    assert report.limit == pytest.approx(11.7 / 4.15)
    assert report.serial_fraction == pytest.approx(4.15 / (4.15 + 11.7))
    assert report.speed_up_at(1e9) == pytest.approx(report.limit)


def test_threads_of_a_task_make_its_worker_no_more_than_one() -> None:
    report = make_report(SUMMARY, usage(changed(ATTIC, cpu=70.0)))
    assert (report.cpu_share, report.speed_up) == pytest.approx((1.0, 1.3))


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (changed(run(idle=0.5, transfer=0.3), ran=200_000), ("tasks take 20 us each", "map")),
        (changed(run(transfer=0.6), moved=1_000 * 1_000_000), ("60% of the time moved data", "1.0 MB", "share()")),
        (run(serialise=0.4), ("40% of the time", "packing", "arrays or bytes")),
        (run(transfer=0.4), ("40% of the time", "under way", "push more at once")),
        (changed(run(starved=0.4), owner=9.0), ("waited for the client 40%", "own code ran 90%", "in handlers")),
        (run(starved=0.4), ("waited for the client 40%", "push tasks earlier")),
        (changed(run(idle=0.4), ran=6, finished=6), ("40% of the time", "6 tasks for 2 workers", "more")),
        (run(idle=0.4), ("longest tasks first",)),
        (run(idle=0.3, starved=0.1), ("40% of the time",)),  # what the line above it calls idle
        (run(idle=0.1, transfer=0.1), ("computed 80%", "no other part stands out")),
    ],
)
def test_advice_names_what_costs_most_and_the_cure(report: RunReport, words: tuple[str, ...]) -> None:
    assert all(word in advise(report) for word in words), advise(report)


def test_slaves_that_ran_nothing_are_named() -> None:
    idle = SlaveShare("cellar", 4, 10.0, 0, Split(idle=40.0))
    report = run()
    report = changed(report, slaves=(*report.slaves, idle), split=Split(compute=20.0, idle=40.0))
    assert "1 of 2 slaves ran nothing (cellar)" in advise(report)


def test_a_swarm_that_was_long_in_coming_is_said_to_be() -> None:
    report = run(idle=0.4)
    late = SlaveShare("attic", 2, 10.0, 1_000, report.split, late=3.5)
    assert "took 3.5 s to start" in advise(changed(report, slaves=(late,)))


def test_the_lines_of_a_run_are_short() -> None:
    report = make_report(SUMMARY, usage(ATTIC))
    lines = report_lines(report)
    assert lines[0] == (
        "split: 65% compute, 8% serialise, 5% transfer, 22% idle; 3.00 s queued; "
        f"serial fraction {report.serial_fraction:.2g}"
    )
    assert lines[1].startswith("note:  ")
    assert len(lines) == 2


def test_shares_of_nothing_are_nothing() -> None:
    assert Split().share("compute") == 0.0
