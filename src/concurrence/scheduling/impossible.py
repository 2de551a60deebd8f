"""Tasks that no connected slave can ever run: their clients are told, and perhaps the tasks fail. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from concurrence.scheduling import needs, notices
from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.ledger.records import TaskState
from concurrence.scheduling.load import Needs
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.scheduling.slave_events import tell_fault
from concurrence.wire import faults
from concurrence.wire.messages import REFUSED

TELL_SECONDS = 1.0
"""Clients are told after so long: slaves that are started together do not come all at once."""


def look(swarm: SwarmState, now: float) -> None:
    """Tell clients of tasks that no slave will ever get, and why; once until that changes. Some of them fail.

    Without any slave tasks wait; see :func:`concurrence.scheduling.notices.tell_lonely`.
    """
    slaves = swarm.registry.slaves()
    working = swarm.registry.working()
    seen: dict[Needs, str] = {}
    for job in swarm.ledger.jobs.values():
        if not job.queued and not job.impossible:
            continue  # most jobs of many clients
        if not job.queued and not job.impossible:
            continue
        found = _impossible(job, slaves, working, seen) if working else {}
        for gone in [each for each in job.impossible if each not in found]:
            del job.impossible[gone]
        for what, why in found.items():
            since, is_told = job.impossible.setdefault(what, (now, False))
            if not is_told and now - since >= TELL_SECONDS:
                job.impossible[what] = (since, True)
                _tell(swarm, job, what, why, slaves)
            limits = swarm.limits
            is_for_ever = bool(what) and not any(slave.offers(what) for slave in slaves)
            if limits.impossible_fails and is_for_ever and now - since >= limits.impossible_patience:
                _fail(swarm, job, what, why, slaves)


def _impossible(
    job: Job, slaves: Sequence[SlaveNodeRecord], working: Sequence[SlaveNodeRecord], seen: dict[Needs, str]
) -> dict[Needs, str]:
    """What queued tasks of a job need and nobody offers, and why; with nothing: what the strategy refuses.

    Args:
        job: The job.
        slaves: All connected slaves.
        working: Those that take work.
        seen: What was found out about these slaves already; empty texts for what is possible.
    """
    found: dict[Needs, str] = {}
    for what in job.queue.needs():
        why = seen.get(what)
        if why is None:
            why = seen[what] = _why(what, slaves, working)
        if why:
            found[what] = why
    if job.refusal and job.queued and not found:
        found[()] = job.refusal
    return found


def _why(what: Needs, slaves: Sequence[SlaveNodeRecord], working: Sequence[SlaveNodeRecord]) -> str:
    if any(slave.offers(what) for slave in working):
        return ""
    able = [slave for slave in slaves if slave.offers(what)]
    if able:
        return f"needs {needs.needs_text(what)}, which only slaves that drain offer: {needs.names_of(able)}"
    return needs.why_nobody(slaves, what)


def _tell(swarm: SwarmState, job: Job, what: Needs, why: str, slaves: Sequence[SlaveNodeRecord]) -> None:
    counters, name = _queued(swarm, job, what)
    if not counters:
        return
    text = f"WARNING {name} {why}; {notices.who_waits(len(counters))}"
    if what and not any(slave.offers(what) for slave in slaves):
        text = f"{text}. {needs.fix_for(slaves, what)}"
        if swarm.limits.impossible_fails:
            text = f"{text} They fail if that takes longer than {swarm.limits.impossible_patience:g} s."
    notices.tell_client(swarm, job, text)


def _fail(swarm: SwarmState, job: Job, what: Needs, why: str, slaves: Sequence[SlaveNodeRecord]) -> None:
    """What waits of it fails, with the reason and what to do."""
    counters, name = _queued(swarm, job, what)
    ended, _ = swarm.ledger.cancel(job, counters, REFUSED)
    if ended is not None:
        hint = needs.fix_for(slaves, what)
        tell_fault(swarm, job, ended, faults.Fault(faults.KIND_IMPOSSIBLE, f"{name} {why}", hint=hint))


def _queued(swarm: SwarmState, job: Job, what: Needs) -> tuple[list[int], str]:
    """The queued tasks with these needs, all for none, and the name of the first one's function."""
    runs = [run for run in job.queue.runs() if not what or run.spec.resources == what]
    counters = [record.counter for run in runs for record in run.records if record.state == TaskState.QUEUED]
    return counters, swarm.functions.name(runs[0].spec.function) if runs else ""
