"""``concurrence jobs``, ``explain``, ``cancel`` and ``logs``: what people ask and do about jobs and tasks."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from concurrence.cli.options import EnvOption, JsonOption, MasterOption, examples

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from concurrence.cli.asking import Asked

JOBS_EPILOG = examples(
    "concurrence jobs",
    "concurrence jobs --all --env swarm",
    "concurrence jobs --json --master admin.toml",
)
EXPLAIN_EPILOG = examples(
    "concurrence explain 0c8d2a41/7",
    "concurrence explain 0c8d2a41",
    "concurrence explain 0c8d2a41/7 --json --env swarm",
)
CANCEL_EPILOG = examples(
    "concurrence cancel 0c8d2a41",
    "concurrence cancel 0c8d2a41/7 0c8d2a41/8 --env swarm",
)
LOGS_EPILOG = examples(
    "concurrence logs 0c8d2a41",
    "concurrence logs 0c8d2a41 --follow --env swarm",
    "concurrence logs 0c8d2a41/7",
)
_FOLLOW_SECONDS = 0.5
_WIDTH = 200  # of tables that go into a file or a pipe


def jobs(
    everything: Annotated[bool, typer.Option("--all", help="Show the jobs that ended last, too.")] = False,
    master: MasterOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show the jobs of a swarm: task systems, and the plain tasks of each client."""
    from concurrence.cli.asking import Asked

    with Asked(master, env, "jobs") as asked:
        found = asked.call("jobs", {"ended": everything})
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    if not found:
        print("no jobs: no client is connected")
        return 0
    show_jobs(found)
    return 0


def show_jobs(found: Sequence[dict[str, Any]]) -> None:
    """Print jobs for people: a table, and below it what they wait for."""
    from rich.console import Console

    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_WIDTH)
    console.print(jobs_table(found))
    waiting = [job for job in found if job["waits_for"]]
    if waiting:
        print()
    for job in waiting:
        mark = "blocked" if job["blocked"] else "waits"
        console.print(f"{job['short']} {mark}: {job['waits_for']}", markup=False, soft_wrap=True)
    if any(job["blocked"] for job in waiting):
        console.print("What to do: concurrence explain JOB", markup=False)


def jobs_table(found: Sequence[dict[str, Any]]) -> Table:
    """The jobs as a table."""
    from rich.table import Table
    from rich.text import Text

    from concurrence.cli.display import human_seconds

    counts = ["queued", "delayed", "running", "finished", "failed", "cancelled"]
    if not any(job["delayed"] for job in found):
        counts.remove("delayed")
    weighted = any(_weight_of(job) != 1.0 for job in found)
    table = Table("id", "name", "client", "state", box=None, pad_edge=False)
    for heading in ("priority", *(("weight",) if weighted else ()), *counts, "age"):
        table.add_column(heading, justify="right")
    if any(progress_of(job) for job in found):
        table.add_column("progress")
    for job in found:
        table.add_row(
            job["short"],
            Text(job["name"]),
            Text(job["client"]),
            job["state"],
            str(job["priority"]) if job["queued"] else "",
            *((f"{_weight_of(job):g}",) if weighted else ()),
            *(f"{job[count]:,}" for count in counts),
            human_seconds(job["age"]),
            *([Text(progress_of(job))] if progress_of(job) else []),
        )
    return table


def _weight_of(job: dict[str, Any]) -> float:
    """That of the client and that of the system within it, together."""
    return float(job["client_weight"] * job["weight"])


def progress_of(job: dict[str, Any]) -> str:
    """How far a job says it is, or how it ended."""
    if not job["total"]:
        return str(job["text"])
    percent = f"{100 * min(1.0, job['done'] / job['total']):.0f}%"
    return f"{percent} {job['text']}".rstrip()


def explain(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK", help="SYSTEM/COUNTER, or SYSTEM alone; the first digits of the system will do."
        ),
    ],
    master: MasterOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> int:
    """Tell how a task or job is, what it waits for, and what to do about it."""
    from concurrence.cli.asking import Asked
    from concurrence.cli.call import printable

    with Asked(master, env, "explain") as asked:
        told = asked.call("explain", {"task": task})
    if as_json:
        print(json.dumps(told, indent=2))
        return 0
    for line in explained(told):
        print(printable(line))
    return 0


def explained(told: dict[str, Any]) -> Iterator[str]:
    """An explanation as lines for people."""
    kind = "job" if told["counter"] is None else "task"
    name = f" {told['name']}" if told["name"] else " plain tasks" if kind == "job" else ""
    client = f" of {told['client']}" if told["client"] else ""
    yield f"{kind} {told['id']}{name}{client}"
    yield f"  {told['state']}: {told['text']}"
    if told["attempt"] > 1:
        yield f"  attempt {told['attempt']}"
    if told["block"]:
        yield f"  waits for: {told['block']['why']}"
    for ahead in told["ahead"]:
        yield f"  before it: job {ahead['system']}, {ahead['queued']:,} queued: {ahead['why']}"
    if told["fix"]:
        yield f"  what to do: {told['fix']}"
    if told["story"]:
        yield "  story:"
        yield from (f"    {line}" for line in _story(told["story"]))


def _story(steps: Sequence[dict[str, Any]]) -> Iterator[str]:
    for step in steps:
        about = [
            f"slave {step['slave']}" if step["slave"] else "",
            f"chunk {step['chunk']}" if step["chunk"] else "",
            f"attempt {step['attempt']}" if step["attempt"] else "",
            step["note"],
        ]
        words = ", ".join(each for each in about if each)
        yield f"{step['ago']:9.3f} s ago  {step['event']}" + (f" ({words})" if words else "")


def cancel(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="JOB_OR_TASK...", help="Jobs as SYSTEM, tasks as SYSTEM/COUNTER; the first digits do."
        ),
    ],
    master: MasterOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> int:
    """Cancel jobs or single tasks; their owners are told that an administrator did it."""
    from concurrence.cli.asking import Asked
    from concurrence.cli.call import printable

    with Asked(master, env, "cancel") as asked:
        done = asked.call("cancel", {"targets": targets})
    if as_json:
        print(json.dumps(done, indent=2))
    else:
        for each in done:
            print(printable(_cancelled(each)))
    return 1 if any(each["is_over"] for each in done) else 0


def _cancelled(done: dict[str, Any]) -> str:
    count = done["cancelled"]
    if "/" in done["id"]:
        return f"task {done['id']} " + ("is cancelled" if count else "had ended already")
    if done["is_over"]:
        return f"job {done['id']} had ended already"
    tasks = f"{count:,} unfinished task{'s' if count != 1 else ''}"
    return f"job {done['id']} ({done['job']}) is cancelled, with {tasks}"


def logs(
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job, as SYSTEM; or one task, as SYSTEM/COUNTER.")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until the job ends or Ctrl-C.")
    ] = False,
    master: MasterOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show what a job's tasks and its task system wrote last, as far as the master keeps it."""
    from concurrence.cli.asking import Asked
    from concurrence.cli.failures import note

    with Asked(master, env, "logs") as asked:
        answer = asked.call("logs", {"job": job})
        _print_lines(answer, as_json=as_json)
        if follow:
            answer = _follow(asked, job, answer, as_json=as_json)
    if follow and answer["ended"]:
        note(f"the job has ended: {answer['how']}" if answer["how"] else "the job has ended")
    elif not answer["next"]:
        note("nothing was written, or it is not kept any more")
    return 0


def _follow(asked: Asked, job: str, answer: dict[str, Any], *, as_json: bool) -> dict[str, Any]:
    """Print what comes, until the job has ended; the last answer."""
    while not answer["ended"]:
        time.sleep(_FOLLOW_SECONDS)
        answer = asked.call("logs", {"job": answer["id"], "after": answer["next"]})
        _print_lines(answer, as_json=as_json)
    return answer


def _print_lines(answer: dict[str, Any], *, as_json: bool) -> None:
    from concurrence.cli.call import printable

    for piece in answer["lines"]:
        if as_json:
            print(json.dumps(piece), flush=True)
            continue
        task = f" task {piece['counter']}" if piece["counter"] is not None else ""
        source = piece["source"] or "task system"
        for line in str(piece["text"]).splitlines():
            print(printable(f"[{source}{task}] {line}"), flush=True)
