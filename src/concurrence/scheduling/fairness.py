"""Fair share between clients, then priority within a client. Pure.

Each client has a virtual time, the seconds of work it was given; who has the least goes next. A client that
comes, or comes back after a pause, starts at the *floor*: what it did not use is not saved up. The floor is the
least virtual time of those that wait for their turn, and never sinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from concurrence.scheduling.ledger.jobs import Job


class FairShare:
    """Chooses whose tasks go next."""

    def __init__(self) -> None:
        self._served: dict[str, float] = {}
        self._turn: dict[int, int] = {}
        self._floor = 0.0
        self._count = 0

    def choose(
        self, jobs: Iterable[Job], eligible: Callable[[Job], bool], acceptable: Callable[[Job], bool] | None = None
    ) -> Job | None:
        """The job to take from next; None if no eligible one that is acceptable has anything queued.

        Args:
            jobs: All jobs.
            eligible: Whether a job may be served now.
            acceptable: Whether it is what is looked for. A client whose jobs are not keeps its turn: the floor
                must not rise over it, or it would wait for as long as there is other work.
        """
        waiting = [job for job in jobs if job.queued and eligible(job)]
        if not waiting:
            return None
        if len(waiting) == 1:
            client = waiting[0].client
            self._floor = self._served[client] = max(self._served.get(client, 0.0), self._floor)
            return waiting[0] if acceptable is None or acceptable(waiting[0]) else None
        clients = {job.client for job in waiting}
        served = [self._served[client] for client in clients if client in self._served]
        self._floor = max(self._floor, min(served, default=0.0))
        for client in clients:
            self._served[client] = max(self._served.get(client, 0.0), self._floor)
        if acceptable is not None:
            waiting = [job for job in waiting if acceptable(job)]
            clients = {job.client for job in waiting}
            if not waiting:
                return None
        client = min(clients, key=lambda each: (self._served[each], each))
        mine = [job for job in waiting if job.client == client]
        return max(mine, key=self._precedence)

    def charge(self, job: Job, seconds: float) -> None:
        """The job was given ``seconds`` of work."""
        self._served[job.client] = self._served.get(job.client, 0.0) + seconds
        self._count += 1
        self._turn[job.system] = self._count

    def served(self, client: str) -> float:
        """The virtual time of a client: who has the least goes next."""
        return max(self._served.get(client, 0.0), self._floor)

    def forget(self, job: Job, *, client_too: bool) -> None:
        """The job is closed; with ``client_too`` its client has no other."""
        self._turn.pop(job.system, None)
        if client_too:
            self._served.pop(job.client, None)

    def _precedence(self, job: Job) -> tuple[int, int]:
        head = job.queue.head()
        return (head.priority if head else 0, -self._turn.get(job.system, 0))
