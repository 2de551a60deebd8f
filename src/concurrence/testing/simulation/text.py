"""Reports of simulations as text and as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from enum import Enum
from typing import Any

from msgspec.structs import asdict

from concurrence.testing.simulation.api import Report, Scenario

_FIELDS_OF_TABLE = ("seed", "policy", "makespan", "bound", "used", "fair", "ended", "lost", "faults", "")


def command(scenario: Scenario, *, drawn: bool) -> str:
    """The command that repeats a simulation.

    Args:
        scenario: What was simulated.
        drawn: Whether all of it was drawn from the seed.
    """
    words = ["concurrence", "simulate"]
    differences = scenario.differences()
    if drawn:
        differences = {"policy": scenario.policy}
        words.append("--drawn")
    words += ["--seed", str(scenario.seed)]
    differences.pop("seed", None)
    for name, value in differences.items():
        option = f"--{name.replace('_', '-')}"
        if name == "overrides":
            words += [word for each in scenario.overrides for word in ("--set", each)]
        elif isinstance(value, bool):
            words.append(option if value else f"--no-{name.replace('_', '-')}")
        else:
            words += [option, str(value.value if isinstance(value, Enum) else value)]
    return shlex.join(words)


def lines(scenario: Scenario, report: Report, *, drawn: bool = False) -> list[str]:
    """A report for people."""
    said = [
        (
            f"{scenario.slaves:,} slaves, {scenario.tasks:,} tasks of {scenario.clients:,} clients, "
            f"seed {scenario.seed}, {scenario.policy}"
        ),
        (
            f"makespan    {report.makespan:.4f} s; at least {report.bound:.4f} s by linear programming: "
            f"{report.ratio:.3f} times that"
        ),
        f"utilisation {report.utilisation:.1%}",
        f"fairness    {report.fairness:.4f} (Jain's index of {scenario.clients} clients while all had work)",
        f"tasks       {report.finished:,} finished, {report.failed:,} failed, {report.cancelled:,} cancelled",
        *([f"systems     {report.systems:,} completed"] if scenario.systems else []),
        f"executions  {report.executed:,}, of which {report.lost:,} did not count",
        f"messages    {report.messages:,}, {report.bytes:,} bytes",
        f"simulated   {report.events:,} events, {report.cycles:,} turns of the master",
    ]
    if report.faults:
        said.append("faults      " + ", ".join(f"{count} {name}" for name, count in sorted(report.faults.items())))
    if report.violation:
        said += ["", "the last events:", *report.story]
        said += ["", f"BROKEN: {report.violation}", f"repeat it: {command(scenario, drawn=drawn)}"]
    return said


def table_header() -> str:
    """The first line of a table of several simulations."""
    return _row(_FIELDS_OF_TABLE)


def table_row(report: Report) -> str:
    """One simulation as a line of a table."""
    return _row(
        (
            str(report.seed),
            report.policy,
            f"{report.makespan:.2f}",
            f"{report.bound:.2f}",
            f"{report.utilisation:.0%}",
            f"{report.fairness:.3f}",
            str(report.finished + report.failed + report.cancelled),
            str(report.lost),
            str(sum(report.faults.values())),
            f"BROKEN: {report.violation.splitlines()[0]}" if report.violation else "ok",
        )
    )


def _row(cells: Sequence[str]) -> str:
    widths = (7, 20, 9, 9, 5, 6, 7, 6, 6, 0)
    shown = [
        cell.ljust(width) if width in (20, 0) else cell.rjust(width)
        for cell, width in zip(cells, widths, strict=True)
    ]
    return " ".join(shown).rstrip()


def as_data(scenario: Scenario, report: Report, *, drawn: bool = False) -> dict[str, Any]:
    """A report for programs."""
    data = asdict(report)
    data["ratio"] = report.ratio
    data["scenario"] = {
        name: value.value if isinstance(value, Enum) else value for name, value in asdict(scenario).items()
    }
    data["repeat"] = command(scenario, drawn=drawn)
    return data
