"""All tasks of a simulation: what they take, what becomes of them, and what really happened to each."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from random import Random

from msgspec import Struct

from concurrence.testing.simulation.api import Durations, Scenario

COMPLETES, FAILS, FAILS_ONCE, KILLS, KILLS_ONCE, HANGS = range(6)
"""What a task does: the first that is common, all others are the author's fault."""

_SHARES = ((FAILS, 0.02), (FAILS_ONCE, 0.05), (KILLS, 0.01), (KILLS_ONCE, 0.03), (HANGS, 0.02))
_TIMEOUT_MEANS = 10.0
_WEIGHTS = (0.5, 1.0, 1.0, 4.0)
_GRANDCHILDREN = 0.2  # share of the systems that were pushed by systems which push one more
_PUSHED_WITHIN = 2.0  # times what the tasks of a system take one after the other
_SIGMA = 1.0
_ALPHA = 1.5
_LARGEST = 100.0
GPU: Mapping[str, float] = {"gpu": 1.0}
CORES: Mapping[str, float] = {"cpu": 2.0}


_LARGE_EVERY = 10


def is_large_argument(scenario: Scenario, number: int) -> bool:
    """Whether a task takes ballast."""
    return scenario.payload > 0 and number % _LARGE_EVERY == 0


def is_large_result(scenario: Scenario, number: int) -> bool:
    """Whether a task returns ballast."""
    return scenario.payload > 0 and number % _LARGE_EVERY == _LARGE_EVERY // 2


def transfer_seconds(scenario: Scenario) -> float:
    """What one line takes for the ballast of all tasks, on both of its ways."""
    if not scenario.bandwidth:
        return 0.0
    return 4.0 * scenario.payload * (scenario.tasks // _LARGE_EVERY + scenario.clients) / scenario.bandwidth


class Group(Struct, frozen=True):
    """Tasks of one client that are alike in everything but what they take.

    Attributes:
        first: The number of the first one.
        end: The number behind the last one.
        kind: Which function they are of.
        priority: As tasks have it.
        max_retries: As tasks have it.
        timeout: As tasks have it; None for no limit.
        resources: As tasks have them.
    """

    first: int
    end: int
    kind: int = 0
    priority: int = 0
    max_retries: int = 0
    timeout: float | None = None
    resources: Mapping[str, float] = {}


class SlavePlan(Struct, frozen=True):
    """A machine: its workers, what it offers, and how fast it is in truth and by its own account."""

    workers: int
    speed: float
    score: float
    labels: Mapping[str, float] = {}


class ClientTasks:
    """The tasks of one client, by number.

    Args:
        system: The system id of its plain tasks.
        count: How many.

    Attributes:
        seconds: What each takes on a slave of speed 1.
        fates: What each does.
        tries: How often each ran to an end of its own, good or bad.
        deaths: How many workers died while it was running.
        completed: How often each ran to its end.
        ended: Whether its end was told.
        cancelled: Which ones the client wanted to be cancelled.
        served: Seconds of the tasks whose end was told; with those of its systems.
        weight: How much more than others the client may have.
        client: Those of the client itself, if these are of one of its systems.
        systems: The task systems that the client pushes.
    """

    def __init__(self, system: int, count: int) -> None:
        self.system = system
        self.count = count
        self.seconds = array("d")
        self.groups: list[Group] = []
        self.fates = bytearray(count)
        self.tries = bytearray(count)
        self.deaths = bytearray(count)
        self.completed = bytearray(count)
        self.ended = bytearray(count)
        self.cancelled: set[int] = set()
        self.served = 0.0
        self.weight = 1.0
        self.client = self
        self.systems: list[SystemPlan] = []
        self.left = count

    def group_of(self, number: int) -> Group:
        """The group of a task."""
        return next(group for group in self.groups if number < group.end)

    def outcome(self, number: int) -> int:
        """What a task does if it runs now."""
        fate = self.fates[number]
        if fate == FAILS_ONCE:
            return COMPLETES if self.tries[number] else FAILS
        if fate == KILLS_ONCE:
            return COMPLETES if self.tries[number] else KILLS
        return fate

    def note(self, counts: bytearray, number: int) -> None:
        """Count something that happened to a task."""
        if counts[number] < 255:
            counts[number] += 1


class SystemPlan:
    """What a task system does, and what befell it.

    Args:
        number: Its number among all systems of a simulation.
        work: Its tasks.
        first: How many of them it pushes at the beginning; for each that ends it pushes one of the others.
        weight: See :class:`~concurrence.tasks.api.ITaskSystem`.
        after: Seconds after which its client pushes it.

    Attributes:
        children: The systems that it pushes, one at the beginning, the others as tasks end.
        is_pushed: Whether it was pushed.
        is_cancelled: Whether its client cancelled it.
        was_lost: Whether its host was killed, or fell silent for too long.
    """

    def __init__(self, number: int, work: ClientTasks, first: int, weight: float, after: float) -> None:
        self.number = number
        self.work = work
        self.first = first
        self.weight = weight
        self.after = after
        self.children: list[SystemPlan] = []
        self.is_pushed = self.is_cancelled = self.was_lost = False

    @property
    def name(self) -> str:
        """What people see."""
        return f"system {self.number}"


class Workload:
    """The tasks of all clients.

    Args:
        scenario: How many, and of what sort.
        random: What they are drawn from.
    """

    def __init__(self, scenario: Scenario, random: Random) -> None:
        self.clients: list[ClientTasks] = []
        self._scenario = scenario
        self._random = random
        for number in range(scenario.clients):
            count = scenario.tasks // scenario.clients + (number < scenario.tasks % scenario.clients)
            self.clients.append(self._make(count))
        self.systems: dict[int, SystemPlan] = {}
        if scenario.weighted:
            for client in self.clients:
                client.weight = random.choice(_WEIGHTS)
        if scenario.systems:
            for client in self.clients:
                self._add_systems(client)
        self.all = [*self.clients, *(plan.work for plan in self.systems.values())]
        self.by_system = {tasks.system: tasks for tasks in self.all}
        self.longest = max(max(tasks.seconds) for tasks in self.all)
        groups = [group for tasks in self.all for group in tasks.groups]
        self.longest_hang = max((group.timeout or 0.0) * (group.max_retries + 1) for group in groups)

    def _add_systems(self, client: ClientTasks) -> None:
        """Systems for a client, some of which push others."""
        random, scenario = self._random, self._scenario
        for _ in range(random.randint(0, scenario.systems)):
            plan = self._plan_system(client)
            client.systems.append(plan)
            for _ in range(random.choice((0, 0, 1, 2))):
                plan.children.append(self._plan_system(client))
                if random.random() < _GRANDCHILDREN:
                    plan.children[-1].children.append(self._plan_system(client))

    def _plan_system(self, client: ClientTasks) -> SystemPlan:
        random = self._random
        work = self._make(random.randint(1, max(1, client.count // 4)))
        work.client = client
        weight = random.choice(_WEIGHTS) if self._scenario.weighted else 1.0
        after = random.random() * _PUSHED_WITHIN * work.count * self._scenario.seconds
        plan = SystemPlan(len(self.systems) + 1, work, random.randint(1, work.count), weight, after)
        self.systems[work.system] = plan
        return plan

    def _make(self, count: int) -> ClientTasks:
        random, scenario = self._random, self._scenario
        tasks = ClientTasks(random.getrandbits(62) + 1, count)
        means = [scenario.seconds * (1.0 if scenario.kinds == 1 else 4.0 ** (random.random() * 2 - 1))
                 for _ in range(scenario.kinds)]  # fmt: skip
        is_varied = scenario.kinds > 1 or scenario.labels > 0 or scenario.faults
        first = 0
        while first < count:
            size = random.randint(1, max(2, count // 8)) if is_varied else count
            group = self._group(first, min(count, first + size), means)
            tasks.groups.append(group)
            first = group.end
            mean = means[group.kind]
            tasks.seconds.extend(self._duration(mean) for _ in range(group.first, group.end))
            if scenario.faults:
                self._choose_fates(tasks, group)
        return tasks

    def _group(self, first: int, end: int, means: Sequence[float]) -> Group:
        random, scenario = self._random, self._scenario
        kind = random.randrange(scenario.kinds)
        needs: Mapping[str, float] = {}
        if random.random() < scenario.labels:
            needs = GPU if random.random() < 0.5 or scenario.workers < 2 else CORES
        if not scenario.faults:
            return Group(first, end, kind, resources=needs)
        timeout = _TIMEOUT_MEANS * means[kind] if random.random() < 0.3 else None
        return Group(first, end, kind, random.choice((0, 0, 1, 2)), random.randrange(3), timeout, needs)

    def _duration(self, mean: float) -> float:
        random = self._random
        if self._scenario.durations is Durations.EQUAL:
            return mean
        if self._scenario.durations is Durations.MIXED:
            return mean * random.lognormvariate(-_SIGMA * _SIGMA / 2, _SIGMA)
        return mean * min(_LARGEST, random.paretovariate(_ALPHA)) * (_ALPHA - 1) / _ALPHA

    def _choose_fates(self, tasks: ClientTasks, group: Group) -> None:
        for number in range(group.first, group.end):
            drawn = self._random.random()
            for fate, share in _SHARES:
                drawn -= share
                if drawn < 0:
                    tasks.fates[number] = fate if fate != HANGS or group.timeout is not None else COMPLETES
                    break

    def plan_slaves(self) -> list[SlavePlan]:
        """The machines at the beginning; somebody offers what tasks need."""
        return [self.plan_slave(number) for number in range(self._scenario.slaves)]

    def plan_slave(self, number: int) -> SlavePlan:
        """A machine."""
        random, scenario = self._random, self._scenario
        needs_label = scenario.labels > 0 and (number == 0 or random.random() < scenario.labels)
        workers = random.randint(min(2, scenario.workers) if needs_label else 1, scenario.workers)
        if scenario.alike:
            workers = scenario.workers
        speed = scenario.spread ** random.random()
        score = 0.0 if scenario.blind else 50.0 * speed * random.lognormvariate(0.0, 0.1)
        return SlavePlan(workers, speed, score, dict(GPU) if needs_label else {})

    # --- the bound ---

    def bound(self, slaves: Sequence[SlavePlan]) -> float:
        """The least time in which these machines can do all tasks, if tasks could be divided at will.

        That is a linear program: how much of each class of work each slave does, so that the last one to end ends
        soonest. What a slave can do at once of some classes is a polymatroid; so the optimum is the largest, over
        all sets of classes, of the work in the set by the rate at which all slaves together can do such work. No
        task is divided, so the longest one on the fastest slave is a bound too.
        """
        work: dict[tuple[tuple[str, float], ...], float] = {}
        longest = 0.0
        for needs, seconds, most in self._classes():
            key = tuple(sorted(needs.items()))
            work[key] = work.get(key, 0.0) + seconds * needs.get("cpu", 1.0)
            able = [slave.speed for slave in slaves if _rate(slave, [key]) > 0]
            longest = max(longest, most / max(able)) if able else longest
        best = longest
        for size in range(1, len(work) + 1):
            for some in combinations(work, size):
                rate = sum(slave.speed * _rate(slave, some) for slave in slaves)
                if rate > 0:
                    best = max(best, sum(work[each] for each in some) / rate)
        return best

    def _classes(self) -> Iterator[tuple[Mapping[str, float], float, float]]:
        for tasks in self.all:
            for group in tasks.groups:
                seconds = tasks.seconds[group.first : group.end]
                yield group.resources, sum(seconds), max(seconds)


def _rate(slave: SlavePlan, classes: Sequence[tuple[tuple[str, float], ...]]) -> float:
    """How many workers of a slave can be at work of these classes at once."""
    total = 0.0
    for needs in map(dict, classes):
        cores = needs.pop("cpu", 1.0)
        if cores > slave.workers:
            continue
        most = min((slave.labels.get(name, 0.0) // amount for name, amount in needs.items()), default=float("inf"))
        total += most * cores
    return min(float(slave.workers), total)
