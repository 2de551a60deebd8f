"""What notebooks show of a swarm, its futures and their errors: HTML, everything of the author's escaped. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from concurrence.errors import TaskError
from concurrence.nodes.progress import Progress, Standing
from concurrence.tasks.api import SlaveSummary, TaskCounts

MAX_SLAVES = 20
MAX_CHARACTERS = 20_000
"""Of one text: tracebacks and output are bounded where they come from, reprs are not."""

_COLOURS = {"pending": "#888", "finished": "#2a7", "failed": "#c33", "cancelled": "#b80"}


def _escaped(text: str, most: int = MAX_CHARACTERS) -> str:
    return html.escape(text if len(text) <= most else f"{text[:most]} ...")


def _table(rows: Iterable[tuple[str, str]]) -> str:
    """Rows of a name and something that is HTML already."""
    cells = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th><td style="text-align:left">{value}</td></tr>'
        for name, value in rows
    )
    return f"<table>{cells}</table>"


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{html.escape(title)}</summary><pre>{_escaped(text)}</pre></details>" if text else ""


def swarm_html(
    place: str, slaves: Sequence[SlaveSummary], counts: TaskCounts, *, unfinished: int, is_closed: bool
) -> str:
    """A swarm: where it is, who is there, how many tasks are in which state.

    Args:
        place: The master's address, or where else it is.
        slaves: Those that are connected.
        counts: The tasks of this script.
        unfinished: How many tasks and task systems have not ended.
        is_closed: Whether it is over.
    """
    shown = [f"{_escaped(slave.name, 200)} ({slave.workers:,})" for slave in slaves[:MAX_SLAVES]]
    if len(slaves) > MAX_SLAVES:
        shown.append(f"and {len(slaves) - MAX_SLAVES:,} more")
    rows = [("master", _escaped(place))]
    if not is_closed:
        rows.append(("slaves", f"{len(slaves):,}: {', '.join(shown)}" if slaves else "none yet"))
    if slaves and not is_closed:
        rows.append(("workers", f"{sum(slave.workers for slave in slaves):,}"))
    states = [
        f"{unfinished:,} unfinished",
        f"{counts.finished:,} finished",
        f"{counts.failed:,} failed",
        f"{counts.cancelled:,} cancelled",
    ]
    rows.append(("tasks", ", ".join(states)))
    state = f'<span style="color:{_COLOURS["pending"]}">closed</span>' if is_closed else ""
    return f"<div><b>Swarm</b> {state}{_table(rows)}</div>"


def error_html(error: TaskError) -> str:
    """An error of a task: who ran it, its traceback on the worker, and what the task printed."""
    text = f'<pre style="color:{_COLOURS["failed"]}">{_escaped(error.message)}</pre>'
    where = f"<div>slave {_escaped(error.slave, 200)}, attempt {error.attempt}</div>" if error.slave else ""
    hint = f"<div>{_escaped(error.hint)}</div>" if error.hint else ""
    trace = _folded("traceback on the worker", error.remote_traceback)
    return f"<div>{text}{where}{hint}{trace}{_folded('last output', error.output)}</div>"


def future_html(title: str, state: str, result: str, error: TaskError | None) -> str:
    """A future.

    Args:
        title: Its task.
        state: Of the task.
        result: The repr of its result; empty if there is none.
        error: Why it failed.
    """
    shown = f"<pre>{_escaped(result, 1_000)}</pre>" if result else ""
    if error is not None:
        shown = error_html(error)
    return (
        f"<div><b>{_escaped(title, 500)}</b> "
        f'<span style="color:{_COLOURS.get(state, "inherit")}">{html.escape(state)}</span>{shown}</div>'
    )


def standing_html(title: str, standing: Standing, ended: str) -> str:
    """How far something is that ends part by part."""
    text = f"{standing.how_many} {ended}"
    text += f", {standing.failed:,} failed" if standing.failed else ""
    text += ", cancelled" if standing.is_cancelled else ""
    return f"<div><b>{title}</b> {_meter(standing.done, standing.total)} {text}</div>"


def bar_html(progress: Progress) -> str:
    """A progress bar that moves."""
    standing = progress.standing
    return f"<div>{_meter(standing.done, standing.total)} {_escaped(progress.line, 1_000)}</div>"


def ended_bar_html(progress: Progress) -> str:
    """What stays of it: one line."""
    colour = f' style="color:{_COLOURS["failed"]}"' if progress.standing.failed else ' style="opacity:0.7"'
    return f"<div{colour}>{_escaped(progress.last_line, 1_000)}</div>"


def _meter(done: int, total: int | None) -> str:
    if total is None:
        return '<progress style="vertical-align:middle"></progress>'
    return f'<progress style="vertical-align:middle" value="{done}" max="{max(1, total)}"></progress>'
