"""The methods of a master's API that tell of jobs and tasks, and cancel them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from concurrence.errors import NotFound, UsageError
from concurrence.scheduling import explaining, owner_events
from concurrence.scheduling.core import MasterCore
from concurrence.scheduling.explaining import Explanation
from concurrence.scheduling.job_views import PLAIN_TASKS, JobView, job_views, names_of_all
from concurrence.scheduling.naming import Target, find_target, short_ids
from concurrence.scheduling.past import Piece
from concurrence.scheduling.slave_views import slave_rows
from concurrence.transport.remote import ApiRequest, ApiService, jsonremote

MAX_TARGETS = 10_000
"""Jobs and tasks that one call may cancel."""


class JobMethods:
    """What people ask and do about jobs and tasks.

    Args:
        core: What the master knows of the swarm.
        now: Tells its time.
    """

    def __init__(self, core: MasterCore, now: Callable[[], float]) -> None:
        self._core = core
        self._now = now

    def register(self, service: ApiService) -> None:
        """Offer all of them."""
        self._register_views(service)
        self._register_changes(service)

    def _register_views(self, service: ApiService) -> None:
        @jsonremote(service)
        def jobs(request: ApiRequest, ended: bool = False) -> list[JobView]:
            """List the task systems and the plain tasks of each client: how they are, and what they wait for.

            Args:
                ended: Whether to list the jobs that ended last, too.

            Returns:
                No more than 2,000, those with something to do first.
            """
            return job_views(self._core.swarm, self._now(), with_ended=ended)

        @jsonremote(service)
        def explain(request: ApiRequest, task: str) -> dict[str, Any]:
            """Tell how a task or job is, what it waits for and what to do.

            Args:
                task: A job by its id, the first digits of it, or its name; a task is ``JOB/NUMBER``.

            Returns:
                ``state``, ``text`` and ``name``; ``block`` (what it waits for), ``before`` and ``ahead`` (what
                goes first), ``fix`` (what to do), ``slave``, ``chunk``, ``attempt``, and the ``story`` of a task.

            Raises:
                NotFound: There is no such job or task.
                UsageError: Several jobs are called so.
            """
            return self._explain(self._find(task))

        @jsonremote(service)
        def logs(request: ApiRequest, job: str, after: int = 0) -> dict[str, Any]:
            """Tell what a job's tasks and its task system wrote last, as far as it is kept.

            Args:
                job: A job or task, as ``explain`` takes it.
                after: The ``next`` of the last answer, to hear only what is new.

            Returns:
                ``lines``, each with ``number``, ``text``, ``counter`` of the task, ``stream``, ``source`` and
                ``ago`` in seconds; ``next``; whether the job has ``ended``, and ``how``.

            Raises:
                NotFound: There is no such job.
                UsageError: Several jobs are called so.
            """
            return self._logs(self._find(job), after)

        @jsonremote(service)
        def top(request: ApiRequest) -> dict[str, Any]:
            """Tell what ``concurrence top`` shows: the slaves and the jobs, as they are now.

            Returns:
                ``master``, ``uptime`` in seconds, ``scheduler``, ``slaves``, and the ``jobs`` of ``jobs``.
            """
            return self._top()

    def _register_changes(self, service: ApiService) -> None:
        @jsonremote(service)
        def cancel(request: ApiRequest, targets: list[str]) -> list[dict[str, Any]]:
            """Cancel jobs and tasks; their owners are told who did it.

            Args:
                targets: Each as ``explain`` takes it; 10,000 at most.

            Returns:
                Of each its ``id``, its ``job`` by name, how many tasks were ``cancelled``, and whether it
                ``is_over`` already.

            Raises:
                NotFound: One of them is not there; nothing is cancelled.
                UsageError: Several jobs are called so, or the number of targets is wrong.
            """
            if not targets or len(targets) > MAX_TARGETS:
                raise UsageError(f"one to {MAX_TARGETS:,} jobs and tasks can be cancelled at once")
            found = [self._find(target) for target in targets]  # all, before anything is cancelled
            by = f"an administrator at {request.address}"
            return [self._cancel(target, by) for target in found]

    def _top(self) -> dict[str, Any]:
        core, now = self._core, self._now()
        return {
            "master": core.master,
            "uptime": core.uptime(now),
            "scheduler": type(core.scheduler).__name__,
            "slaves": slave_rows(core.swarm, now),
            "jobs": job_views(core.swarm, now),
        }

    def _find(self, text: str) -> Target:
        return find_target(text, names_of_all(self._core.swarm))

    def _explain(self, target: Target) -> dict[str, Any]:
        swarm, now = self._core.swarm, self._now()
        job = swarm.ledger.jobs.get(target.system)
        ended = swarm.past.ended_job(target.system)
        if job is not None and target.counter is not None:
            told = explaining.explain_task(swarm, job, target.counter, now)
        elif job is not None:
            told = explaining.explain_job(swarm, job, now)
        else:
            assert ended is not None, "a job that can be named is there or has ended"
            told = explaining.explain_ended(swarm, ended, target.counter, now)
        return _plain(told, short_ids(names_of_all(swarm)))

    def _cancel(self, target: Target, by: str) -> dict[str, Any]:
        swarm = self._core.swarm
        job = swarm.ledger.jobs.get(target.system)
        answer: dict[str, Any] = {"id": _id_of(target), "job": PLAIN_TASKS, "cancelled": 0, "is_over": job is None}
        if job is None:
            return answer
        answer["job"] = job.name or PLAIN_TASKS
        if target.counter is None and job.function:
            answer["cancelled"] = len(job.tasks)
            owner_events.cancel_system(swarm, job, by)
        elif target.counter is None:
            answer["cancelled"] = owner_events.cancel_everything(swarm, job, by)
        else:
            if target.counter >= job.next_counter:
                raise NotFound(f"there is no task {_id_of(target)}", hint="See: concurrence jobs")
            answer["cancelled"] = owner_events.cancel_tasks(swarm, job, [target.counter], by)
            answer["is_over"] = not answer["cancelled"]
        swarm.changed = True
        return answer

    def _logs(self, target: Target, after: int) -> dict[str, Any]:
        swarm, now = self._core.swarm, self._now()
        pieces = swarm.past.log(target.system).since(after)
        if target.counter is not None:
            pieces = [piece for piece in pieces if piece.counter == target.counter]
        job = swarm.ledger.jobs.get(target.system)
        ended = swarm.past.ended_job(target.system)
        return {
            "id": _id_of(target),
            "lines": [_piece(piece, now) for piece in pieces],
            "next": pieces[-1].number if pieces else after,
            "ended": job is None,
            "how": ended.how if job is None and ended is not None else "",
        }


def _id_of(target: Target) -> str:
    return f"{target.system:016x}" + (f"/{target.counter}" if target.counter is not None else "")


def _piece(piece: Piece, now: float) -> dict[str, Any]:
    plain = msgspec.structs.asdict(piece)
    plain["ago"] = max(0.0, now - plain.pop("at"))
    return plain


def _plain(told: Explanation, shorts: dict[int, str]) -> dict[str, Any]:
    """An explanation as JSON has it: ids as text, because JSON's numbers are exact only up to 53 bits."""
    plain: dict[str, Any] = msgspec.to_builtins(told)
    system = told.system
    plain["id"] = _id_of(Target(system, told.counter))
    plain["system"] = f"{system:016x}"
    for each, ahead in zip(plain["ahead"], told.ahead, strict=True):
        each["system"] = shorts[ahead.system]
    return plain
