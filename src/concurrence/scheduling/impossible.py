"""Tasks that no connected slave can ever run: their clients are told, and perhaps the tasks fail. Pure."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from concurrence.scheduling import needs, notices
from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.ledger.records import TaskState
from concurrence.scheduling.load import Needs
from concurrence.scheduling.slave_events import tell_fault
from concurrence.wire import faults
from concurrence.wire.messages import REFUSED

TELL_SECONDS = 1.0
"""Clients are told after so long: slaves that are started together do not come all at once."""


class Verdict(NamedTuple):
    """Whether any slave runs tasks with certain needs.

    Attributes:
        why: Why none does; empty if one does.
        is_for_ever: Whether no connected slave ever will, as it is.
    """

    why: str
    is_for_ever: bool = False


_POSSIBLE = Verdict("")


class Impossible:
    """Looks for tasks that no slave runs. What was found out of some needs holds until a slave comes or goes."""

    def __init__(self) -> None:
        self._verdicts: dict[Needs, Verdict] = {}
        self._version = (-1, -1)
        self._is_anybody_there = False

    def look(self, swarm: SwarmState, now: float) -> None:
        """Tell clients of tasks that no slave will ever get, and why; once until that changes. Some of them fail.

        Without any slave tasks wait; see :func:`concurrence.scheduling.notices.tell_lonely`.
        """
        version = (swarm.registry.version, swarm.roster.version)
        if version != self._version:
            self._version = version
            self._verdicts.clear()
            self._is_anybody_there = any(not slave.is_draining for slave in swarm.registry.slaves())
        patience = _patience(swarm)
        for job in swarm.ledger.jobs.values():
            if not job.queued and not job.impossible:
                continue  # most jobs of many clients
            found = self._impossible(swarm, job) if self._is_anybody_there else {}
            for gone in [each for each in job.impossible if each not in found]:
                del job.impossible[gone]
            for what, verdict in found.items():
                since, is_told = job.impossible.setdefault(what, (now, False))
                if verdict.is_for_ever and now - since >= patience:
                    _fail(swarm, job, what, verdict)
                elif not is_told and now - since >= TELL_SECONDS:
                    job.impossible[what] = (since, True)
                    _tell(swarm, job, what, verdict)

    def _impossible(self, swarm: SwarmState, job: Job) -> dict[Needs, Verdict]:
        """What queued tasks of a job need and nobody offers; with nothing: what the strategy refuses."""
        found: dict[Needs, Verdict] = {}
        for what in job.queue.needs():
            verdict = self._verdicts.get(what)
            if verdict is None:
                verdict = self._verdicts[what] = _judge(swarm, what)
            if verdict.why:
                found[what] = verdict
        if job.refusal and job.queued and not found:
            found[()] = Verdict(job.refusal)
        return found


def _patience(swarm: SwarmState) -> float:
    """Seconds after which tasks fail that no slave can ever run; infinite if they wait."""
    if swarm.limits.alone is not None:
        return 0.0
    return swarm.limits.impossible_patience if swarm.limits.impossible_fails else inf


def _judge(swarm: SwarmState, what: Needs) -> Verdict:
    slaves = swarm.registry.slaves()
    if swarm.roster.offers(what):
        return _POSSIBLE
    able = [slave for slave in slaves if slave.offers(what)]
    if any(not slave.is_draining for slave in able):
        return _POSSIBLE
    if able:
        names = needs.names_of(able)
        return Verdict(f"needs {needs.needs_text(what)}, which only slaves that drain offer: {names}")
    return Verdict(needs.why_nobody(slaves, what), is_for_ever=True)


def _tell(swarm: SwarmState, job: Job, what: Needs, verdict: Verdict) -> None:
    counters, name = _queued(swarm, job, what)
    if not counters:
        return
    text = f"WARNING {name} {verdict.why}; {notices.who_waits(len(counters))}"
    if verdict.is_for_ever:
        text = f"{text}. {needs.fix_for(swarm.registry.slaves(), what)}"
        if swarm.limits.impossible_fails:
            text = f"{text} They fail if that takes longer than {swarm.limits.impossible_patience:g} s."
    notices.tell_client(swarm, job, text)


def _fail(swarm: SwarmState, job: Job, what: Needs, verdict: Verdict) -> None:
    """What waits of it fails, with the reason and what to do."""
    counters, name = _queued(swarm, job, what)
    ended, _ = swarm.ledger.cancel(job, counters, REFUSED)
    if ended is not None:
        hint = needs.fix_for(swarm.registry.slaves(), what, swarm.limits.alone)
        tell_fault(swarm, job, ended, faults.Fault(faults.KIND_IMPOSSIBLE, f"{name} {verdict.why}", hint=hint))


def _queued(swarm: SwarmState, job: Job, what: Needs) -> tuple[list[int], str]:
    """The queued tasks with these needs, all for none, and the name of the first one's function."""
    runs = [run for run in job.queue.runs() if not what or run.spec.resources == what]
    counters = [record.counter for run in runs for record in run.records if record.state == TaskState.QUEUED]
    return counters, swarm.functions.name(runs[0].spec.function) if runs else ""
