"""What is simulated, and what came of it: plain data."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct

from concurrence.errors import UsageError


class Durations(StrEnum):
    """How long tasks take, around their mean."""

    EQUAL = "equal"
    """All the same."""
    MIXED = "mixed"
    """Log-normal: half of them take less than 0.61 of the mean, one in a hundred more than six times the mean."""
    HEAVY = "heavy"
    """Pareto: most are short, and a few take up to a hundred times the mean."""


class Scenario(Struct, frozen=True, kw_only=True):
    """A swarm and what happens to it; everything that is not said here follows from the seed.

    Attributes:
        slaves: How many there are at the beginning.
        tasks: How many tasks all clients push together.
        seed: Decides everything that is random.
        policy: The task scheduler, a component's name.
        overrides: Texts ``section.name=value``, as in ``generictaskscheduler.strategy=LeastLoadedStrategy``.
        clients: How many clients there are, all from the beginning.
        kinds: How many functions the tasks of a client are of, each with a mean of its own.
        workers: The largest number of workers of a slave; each has one at least.
        alike: Whether every slave has that many.
        spread: How many times faster the fastest slave is than the slowest.
        blind: Whether slaves register no speed score.
        durations: How the durations of tasks are distributed.
        seconds: The mean time of a task on a slave of speed 1.
        systems: Most task systems that a client pushes, beside its tasks and with tasks of their own; they push
            others.
        weighted: Whether clients and systems have weights that differ.
        labels: Share of the slaves that have a label, and of the tasks that need it or several cores.
        faults: Whether things go wrong.
        fault_rate: Faults in a second of virtual time, for each ten slaves.
        latency: One way, in seconds; what each link adds to it is up to twice as much.
        bandwidth: Bytes a second that pass each link in each direction; 0 for any number.
        payload: Bytes of ballast of large tasks: one in ten takes it as an argument, another one returns it. Then
            every message is encoded, and what is larger than 32 KiB travels in pieces.
        lease: Seconds of silence after which a node is given up.
        heartbeats: Whether nodes give signs of life; without them nobody is given up.
        cycle_seconds: What one turn of the master's loop costs.
        message_seconds: What one message costs the master.
        codec: Whether every message is encoded and decoded.
        check_every: The ledger is checked after so many turns of the master's loop, times one for each 200 tasks
            in it, because that takes longer the more there are; 0 for never, and then nothing else is checked.
        patience: Seconds of virtual time in which some task must end; 0 for what fits the tasks.
    """

    slaves: int = 10
    tasks: int = 1_000
    seed: int = 1
    policy: str = "ZMQTaskScheduler"
    overrides: tuple[str, ...] = ()
    clients: int = 1
    kinds: int = 1
    workers: int = 4
    alike: bool = False
    spread: float = 4.0
    blind: bool = False
    durations: Durations = Durations.MIXED
    seconds: float = 0.1
    systems: int = 0
    weighted: bool = False
    labels: float = 0.0
    faults: bool = False
    fault_rate: float = 1.0
    latency: float = 0.0005
    bandwidth: float = 0.0
    payload: int = 0
    lease: float = 10.0
    heartbeats: bool = True
    cycle_seconds: float = 0.0001
    message_seconds: float = 0.00005
    codec: bool = True
    check_every: int = 1
    patience: float = 0.0

    def check(self) -> Scenario:
        """This scenario, if it can be simulated.

        Raises:
            UsageError: A number is out of its range; the text names it.
        """
        least = {
            "slaves": 1, "tasks": 1, "clients": 1, "kinds": 1, "workers": 1, "spread": 1.0, "lease": 0.5,
            "check_every": 0, "systems": 0, "labels": 0.0, "latency": 0.0, "cycle_seconds": 0.0,
            "message_seconds": 0.0, "patience": 0.0, "fault_rate": 0.0, "bandwidth": 0.0, "payload": 0,
        }  # fmt: skip
        for name, low in least.items():
            if getattr(self, name) < low:
                text = f"a swarm with {name} = {getattr(self, name)} cannot be simulated"
                raise UsageError(text, hint=f"Use {low} or more.")
        if self.seconds <= 0 or self.labels > 1 or self.clients > self.tasks or self.kinds > MAX_KINDS:
            raise UsageError(
                "this swarm cannot be simulated",
                hint="Tasks take more than 0 seconds, a share is at most 1, each client has a task, and there are "
                f"at most {MAX_KINDS} kinds.",
            )
        return self

    def differences(self) -> dict[str, object]:
        """What is not as by default, for the command that repeats it."""
        default = msgspec.structs.asdict(Scenario())
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value != default[name]}


MAX_KINDS = 4


class Report(Struct, frozen=True, kw_only=True):
    """What a simulated swarm did.

    Attributes:
        seed: Its seed.
        policy: Its task scheduler.
        violation: Which promise was broken, and what was known of it; empty if none was.
        story: The last events before that.
        makespan: Seconds from the first push until the last task ended.
        bound: No schedule on these slaves takes less: the linear program's optimum, from the true speeds.
        utilisation: Share of the workers' time that went into tasks whose result counted.
        fairness: Jain's index of what clients got by their weights while all of them had work: 1 if equal, 1/n if
            one got all.
        finished: Tasks that finished.
        failed: Tasks that failed, all with good reason.
        cancelled: Tasks that were cancelled.
        systems: Task systems that completed.
        messages: Messages on all links with the master.
        bytes: Their size; without the codec that of their bodies.
        executed: Executions of tasks, complete or not.
        lost: Executions that did not count: cut short by a death, or their result came too late.
        faults: How often each thing went wrong.
        events: Events that were simulated.
        cycles: Turns of the master's loop.
    """

    seed: int
    policy: str
    violation: str = ""
    story: tuple[str, ...] = ()
    makespan: float = 0.0
    bound: float = 0.0
    utilisation: float = 0.0
    fairness: float = 1.0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    systems: int = 0
    messages: int = 0
    bytes: int = 0
    executed: int = 0
    lost: int = 0
    faults: dict[str, int] = {}
    events: int = 0
    cycles: int = 0

    @property
    def ratio(self) -> float:
        """How many times longer than the bound it took."""
        return self.makespan / self.bound if self.bound > 0 else 0.0


class Violation(AssertionError):
    """A promise was broken: a defect of Concurrent, or of the simulation."""
