"""Fair share between clients, then priority within a client, then fair share between its systems. Pure.

Each client has a virtual time, the seconds of work it was given, divided by its weight; who has the least goes
next. A client that comes, or comes back after a pause, starts at the *floor*: what it did not use is not saved up.
The floor is the least virtual time of those that wait for their turn, and never sinks. The systems of a client
have virtual times in the same way, which count between those whose next tasks have the same priority.

Clients are in a heap by their virtual time, so that those without work cost nothing, and those with work little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush

from concurrence.scheduling.ledger.jobs import Job

_COMPACT = 1_024  # entries of the heap that may be out of date, however few clients wait


class FairShare:
    """Chooses whose tasks go next, among the jobs that were entered."""

    def __init__(self) -> None:
        self._served: dict[str, float] = {}
        self._of_systems: dict[int, float] = {}
        self._turn: dict[int, int] = {}
        self._floor = 0.0
        self._count = 0
        self._jobs: dict[str, dict[int, Job]] = {}  # by client; those that had work when they were looked at last
        self._due: dict[str, float] = {}  # clients in the heap, with their virtual time
        self._heap: list[tuple[float, str]] = []  # and entries that are out of date
        self._aside: set[int] = set()  # jobs that are not to be chosen in this round
        self._resting: set[str] = set()  # clients that have nothing else to be chosen in this round
        self._barred: set[str] = set()  # clients that may not be served now

    def enter(self, jobs: Iterable[Job]) -> None:
        """Jobs have something queued; those that were entered before keep their place."""
        for job in jobs:
            mine = self._jobs.setdefault(job.client, {})
            if job.system not in mine:
                least = min((self._of_systems.get(each, 0.0) for each in mine), default=0.0)
                self._of_systems[job.system] = max(self._of_systems.get(job.system, 0.0), least)
                mine[job.system] = job
            if job.client not in self._due and job.client not in self._resting:
                self._barred.discard(job.client)
                self._raise_floor()
                self._join(job.client)

    def choose(self, eligible: Callable[[Job], bool]) -> Job | None:
        """The job to take from next; None if no eligible one has anything queued.

        Args:
            eligible: Whether a job may be served now. A client without any such job is passed over until
                :meth:`admit`.
        """
        while self._heap:
            served, client = self._heap[0]
            if self._due.get(client) != served:
                heappop(self._heap)
                continue
            self._floor = max(self._floor, served)
            job = self._job_of(client, eligible)
            if job is not None:
                return job
            heappop(self._heap)
            del self._due[client]
        return None

    def charge(self, job: Job, seconds: float, weight: float = 1.0) -> None:
        """The job was given ``seconds`` of work.

        Args:
            job: The job.
            seconds: How many.
            weight: How much more than others its client may have, as 2 for twice as much.
        """
        self._of_systems[job.system] = self._of_systems.get(job.system, 0.0) + seconds / job.weight
        served = self._served[job.client] = self._served.get(job.client, self._floor) + seconds / weight
        self._count += 1
        self._turn[job.system] = self._count
        if job.client in self._due:
            self._due[job.client] = served
            heappush(self._heap, (served, job.client))
            if len(self._heap) > _COMPACT + 2 * len(self._due):
                self._heap = [(due, client) for client, due in self._due.items()]
                heapify(self._heap)

    def served(self, client: str) -> float:
        """The virtual time of a client: who has the least goes next."""
        return self._due.get(client, max(self._served.get(client, 0.0), self._floor))

    def served_system(self, job: Job) -> float:
        """The virtual time of a system among those of its client, between tasks of the same priority."""
        return self._of_systems.get(job.system, 0.0)

    def set_aside(self, job: Job) -> None:
        """Do not choose this job again in this round: nobody can take what it has next."""
        self._aside.add(job.system)

    def end_round(self) -> None:
        """All jobs may be chosen again."""
        if not self._aside:
            return
        self._aside.clear()
        for client in sorted(self._resting):
            # It waited for its turn all the time: what others were given meanwhile is nothing that it lost.
            self._wait(client, self._served.get(client, self._floor))
        self._resting.clear()

    def admit(self, client: str | None = None) -> None:
        """A client may be eligible again; with None, everybody may."""
        if client is None:
            for each in sorted(self._barred):
                self._join(each)
            self._barred.clear()
        elif client in self._barred:
            self._barred.discard(client)
            self._join(client)

    def forget(self, job: Job, *, client_too: bool) -> None:
        """The job is closed; with ``client_too`` its client has no other."""
        self._turn.pop(job.system, None)
        self._of_systems.pop(job.system, None)
        self._aside.discard(job.system)
        self._jobs.get(job.client, {}).pop(job.system, None)
        if client_too:
            for kept in (self._served, self._jobs, self._due):
                kept.pop(job.client, None)
            self._resting.discard(job.client)
            self._barred.discard(job.client)

    def _raise_floor(self) -> None:
        """Up to where those are that wait now: whoever comes does not go before them."""
        while self._heap:
            served, client = self._heap[0]
            if self._due.get(client) == served:
                if any(job.queued for job in self._jobs[client].values()):
                    self._floor = max(self._floor, served)
                return
            heappop(self._heap)

    def _join(self, client: str) -> None:
        """A client comes, or comes back: what it did not use is not saved up."""
        self._wait(client, max(self._served.get(client, 0.0), self._floor))

    def _wait(self, client: str, served: float) -> None:
        self._served[client] = self._due[client] = served
        heappush(self._heap, (served, client))

    def _job_of(self, client: str, eligible: Callable[[Job], bool]) -> Job | None:
        """The client's job whose turn it is; if it has none, the client is where it waits for that."""
        jobs = self._jobs[client]
        for system in [system for system, job in jobs.items() if not job.queued]:
            del jobs[system]
        if not jobs:
            del self._jobs[client]
            return None
        there = [job for job in jobs.values() if job.system not in self._aside]
        mine = [job for job in there if eligible(job)]
        if mine:
            return mine[0] if len(mine) == 1 else max(mine, key=self._precedence)
        (self._resting if len(there) < len(jobs) else self._barred).add(client)
        return None

    def _precedence(self, job: Job) -> tuple[int, float, int]:
        head = job.queue.head()
        served, turn = self._of_systems.get(job.system, 0.0), self._turn.get(job.system, 0)
        return (head.priority if head else 0, -served, -turn)
