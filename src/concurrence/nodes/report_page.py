"""A run's report as one HTML file: nothing comes from elsewhere, no script, light and dark."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from math import isfinite
from pathlib import Path

from concurrence.nodes.advice import advise
from concurrence.nodes.report_charts import PARTS, law_chart, split_chart
from concurrence.nodes.run_report import RunReport, SlaveShare

MAX_SLAVES = 60
"""Slaves that are shown one by one; the tables and charts add up the others."""

_MEANING = {
    "compute": "in tasks: the author's code",
    "serialise": "packing and unpacking arguments and results, reading chunks, loading code",
    "transfer": "sending results, and waiting while the next chunk or the last result was on its way",
    "starved": "waiting for tasks that were not there: before the first one, or between two",
    "idle": "all that is left: before a worker was up, and after its last task",
}

_STYLE = (Path(__file__).parent / "page" / "report.css").read_text("utf-8")
_FILLS = "".join(f".{part} {{ fill: var(--{part}); background: var(--{part}) }}\n" for part in PARTS)


def report_page(report: RunReport, title: str, outcome: str = "", *, is_good: bool = True) -> str:
    """The page.

    Args:
        report: The run.
        title: What ran.
        outcome: How it ended, in a few words.
        is_good: Whether that is what one wants.
    """
    slaves = _shown(report.slaves)
    advice = advise(report)
    known = report.split.total > 0
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="outcome{"" if is_good else " bad"}">{html.escape(outcome)}</p>' if outcome else "",
        f'<p class="advice">{html.escape(advice[:1].upper() + advice[1:])}.</p>' if advice else "",
        _figures(report),
        _section("Where the workers' time went", split_chart(report, slaves), _split_table(report))
        if known
        else "",
        _section("By Amdahl's law", law_chart(report), _law_words(report)),
        _section("Slaves", _slave_table(slaves, len(report.slaves) - len(slaves))) if slaves else "",
        "" if known else '<p class="soft">No worker told where its time went: the run ended too early.</p>',
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{html.escape(title)}: speed-up report</title>\n<style>{_STYLE}{_FILLS}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _section(title: str, *parts: str) -> str:
    inside = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{html.escape(title)}</h2>\n{inside}\n</section>" if inside else ""


def _figures(report: RunReport) -> str:
    serial, speed_up = report.serial_fraction, report.speed_up
    ends = f"{report.finished:,} / {report.failed:,} / {report.cancelled:,}"
    workers = f"{report.parallelism:.2f} of {report.workers:.3g}" if report.workers else "not known"
    figures = [
        ("time", f"{report.wall:,.2f} s"),
        ("computed", f"{report.split.compute:,.2f} s"),
        ("of it on a core", f"{100 * report.cpu_share:.0f}%" if report.cpu is not None else "not known"),
        ("workers in tasks at once", workers),
        ("speed-up", "not known" if speed_up is None else f"{speed_up:.2f}"),
        ("serial fraction", "not known" if serial is None else f"{serial:.3f}"),
        ("tasks finished / failed / cancelled", ends),
        ("a task computed", f"{1e3 * report.task_seconds:,.3g} ms" if report.ran else "not known"),
        ("a task queued", f"{report.queued:,.3g} s"),
        ("client or task system at work", f"{report.owner:,.2f} s"),
        ("client went on after the last end", f"{report.after:,.2f} s"),
        ("moved", _bytes(report.moved)),
    ]
    return (
        f"<dl>{''.join(f'<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>' for k, v in figures)}</dl>"
    )


def _split_table(report: RunReport) -> str:
    rows = [
        f'<tr><td><span class="key {part}"></span>{part}</td><td>{getattr(report.split, part):,.2f} s</td>'
        f'<td>{100 * report.split.share(part):.1f}%</td><td class="words">{_MEANING[part]}</td></tr>'
        for part in PARTS
    ]
    total = (
        f"<tr><th>workers x time</th><th>{report.split.total:,.2f} s</th><th>100%</th>"
        f'<td class="words">{report.workers:.3g} workers, {report.wall:,.2f} s</td></tr>'
    )
    return f'<div class="scroll"><table>{"".join(rows)}{total}</table></div>'


def _law_words(report: RunReport) -> str:
    serial, limit = report.serial_seconds, report.limit
    if serial is None or limit is None:
        return ""
    most = f"at most {limit:,.1f} times" if isfinite(limit) else "any number of times"
    part = 100 * (report.serial_fraction or 0.0)
    return (
        f'<p class="soft">If {serial:,.2f} s, {part:.0f}% of all, are serial, as this one run suggests with all '
        f"overhead counted as serial, more workers can be {most} as fast as one core that needs no swarm. "
        "Repeated runs tell more: concurrence run amdahl.</p>"
    )


def _slave_table(slaves: Sequence[SlaveShare], left: int) -> str:
    head = ("slave", "workers", "there", "tasks", "utilisation", "CPU", *PARTS, "sent", "received")
    more = f'<p class="soft">And {left:,} more, which are in the sums above.</p>' if left else ""
    return (
        f'<div class="scroll"><table><tr>{"".join(f"<th>{each}</th>" for each in head)}</tr>'
        f"{''.join(_slave_row(slave) for slave in slaves)}</table></div>{more}"
    )


def _slave_row(slave: SlaveShare) -> str:
    cells: Iterable[str] = (
        slave.name,
        f"{slave.workers:,}",
        f"{slave.present:,.1f} s",
        f"{slave.tasks:,}",
        f"{100 * slave.utilisation:.1f}%",
        f"{slave.cpu:,.2f} s",
        *(f"{getattr(slave.split, part):,.2f} s" for part in PARTS),
        _bytes(slave.sent),
        _bytes(slave.received),
    )
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"


def _shown(slaves: Sequence[SlaveShare]) -> list[SlaveShare]:
    """The slaves with the most workers and tasks; of very many the rest is left to the sums."""
    return sorted(slaves, key=lambda slave: (-slave.tasks, slave.name))[:MAX_SLAVES]


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
