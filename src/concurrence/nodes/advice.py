"""One sentence of advice from a run's report: what to change so that it gets faster. Pure."""

from __future__ import annotations

from concurrence.nodes.run_report import RunReport, SlaveShare

SHORT_TASK = 0.001
"""Seconds below which a task costs more than it computes, on any network."""

WORTH_SAYING = 0.2
"""A part of the workers' time below this share is not worth a change."""

GOOD = 0.85
"""With this share of their time in the author's code, workers are used well."""

_LARGE_BYTES = 64 * 1024  # of arguments and results of one task
_FEW_ROUNDS = 4  # tasks per worker, below which the last ones decide how long it takes
_PROPORTION = 100  # times the workers that there are
_MANY_ROUNDS = 100  # the same, from which on it is what they cost that counts


def advise(report: RunReport) -> str:
    """What to do about this run, in one sentence; empty if there is nothing to go by.

    Args:
        report: The run.
    """
    split = report.split
    if not report.ran or split.total <= 0 or report.wall <= 0:
        return ""
    if report.work is None and split.share("compute") >= WORTH_SAYING:
        return _waited(report)
    if split.share("compute") >= GOOD:
        return _well_used(report)
    lost = {
        "moved": split.share("serialise", "transfer"),
        "starved": split.share("starved"),
        "idle": split.share("idle"),
    }
    worst = max(lost, key=lambda part: lost[part])
    is_tiny = report.task_seconds < SHORT_TASK and report.ran >= _MANY_ROUNDS * report.workers
    if is_tiny and split.share("compute") < 0.5:
        return f"tasks take {_duration(report.task_seconds)} each: give each more to do, or let map pack them"
    if lost[worst] < WORTH_SAYING:
        return f"workers computed {_percent(split.share('compute'))} of the time, and no other part stands out"
    if worst == "moved":
        return _moved(report, lost[worst])
    return _starved(report, lost[worst]) if worst == "starved" else _idle(report)


def _waited(report: RunReport) -> str:
    """Of the other parts nothing can be said: who waits for a core is slow in all that it does."""
    return (
        f"tasks had a core for {_percent(report.cpu_share)} of the time that they took: they waited for "
        "something, or there are more workers than cores, or other programs use those; so no speed-up can be told"
    )


def _well_used(report: RunReport) -> str:
    text = f"workers computed {_percent(report.split.share('compute'))} of the time"
    if report.ran < report.workers + 1:
        many = f"{report.ran:,} task{'s' if report.ran != 1 else ''}"
        return f"{text}; with {many} more workers make it no faster: cut the work into more"
    limit = report.limit
    if limit is None:
        return f"{text}: more workers would make it faster"
    is_short = report.ran < _FEW_ROUNDS * report.workers
    if limit > _PROPORTION * report.workers and not is_short:
        return f"{text}: with more of them it gets faster almost in proportion"
    if limit > report.ran or is_short:
        return f"{text}: with more of them it gets faster, with {report.ran:,} workers at most: one for each task"
    return f"{text}: with more of them it gets faster, by Amdahl's law up to {limit:,.0f} times one core"


def _moved(report: RunReport, share: float) -> str:
    each = report.moved / report.ran
    if each >= _LARGE_BYTES:
        return (
            f"{_percent(share)} of the time moved data, {each / 1e6:,.1f} MB a task: share() what many tasks use, "
            "and return only what is needed"
        )
    if report.split.serialise > report.split.transfer:
        return (
            f"{_percent(share)} of the time went into packing and unpacking: pass arrays or bytes instead of many "
            "small objects"
        )
    return (
        f"tasks of {_duration(report.task_seconds)} were under way {_percent(share)} of the time: give each "
        "more to do, or push more at once"
    )


def _starved(report: RunReport, share: float) -> str:
    at_work = report.owner / report.wall
    text = f"the swarm waited for the client {_percent(share)} of the time"
    if at_work >= share / 2:
        return (
            f"{text}, whose own code ran {_percent(at_work)} of it: do less in handlers, iterables and task "
            "systems, and more in tasks"
        )
    return f"{text}: push tasks earlier, and more at once"


def _idle(report: RunReport) -> str:
    unused = [slave for slave in report.slaves if not slave.tasks and slave.workers]
    if 2 * _seconds(unused) > report.split.idle:
        names = ", ".join(slave.name for slave in unused[:3]) + (", ..." if len(unused) > 3 else "")
        count = len(report.slaves)
        return f"{len(unused)} of {count} slaves ran nothing ({names}): there were too few tasks for them"
    # The same figure as the line above it in a terminal, where both are called idle.
    text = f"workers had nothing to do {_percent(report.split.share('starved', 'idle'))} of the time"
    if 2 * sum(slave.workers * slave.late for slave in report.slaves) > report.split.idle:
        late = max(slave.late for slave in report.slaves)
        return f"{text}: the swarm took {_duration(late)} to start; longer runs and masters that stay fare better"
    if report.ran < _FEW_ROUNDS * report.workers:
        return (
            f"{text}: {report.ran:,} task{'s' if report.ran != 1 else ''} for {_workers(report)} "
            "are too few; cut the work into more"
        )
    return f"{text}, mostly before the first task or after their last: push the longest tasks first, or cut them"


def _workers(report: RunReport) -> str:
    count = f"{report.workers:.0f}"
    return f"{count} worker{'s' if count != '1' else ''}"


def _seconds(slaves: list[SlaveShare]) -> float:
    return sum(slave.workers * slave.present for slave in slaves)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-4 else f"{1e6 * seconds:.3g} us"
