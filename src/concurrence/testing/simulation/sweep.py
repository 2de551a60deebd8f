"""Many simulations, one after the other or several at a time; and swarms that are drawn from their seed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from random import Random

from msgspec.structs import replace

from concurrence.component import Component, ComponentManager
from concurrence.scheduling.api import ITaskScheduler, ITaskScheduleStrategy
from concurrence.testing.simulation.api import Durations, Report, Scenario
from concurrence.testing.simulation.simulator import Progress, Simulator

_SLOW_SHARE = 0.2  # of swarms with large tasks on slow lines
_PAYLOAD = 800_000  # more than may be under way at a time


def components_of(manager: ComponentManager) -> list[type[Component]]:
    """The policies and strategies that a manager knows, those of plug-ins too."""
    return [cls for cls in manager.registered() if issubclass(cls, (ITaskScheduler, ITaskScheduleStrategy))]


def simulate(
    scenario: Scenario, components: Sequence[type[Component]], progress: Progress | None = None
) -> Report:
    """Let a swarm do its work in virtual time.

    Args:
        scenario: The swarm and its work.
        components: The policies and strategies that can be chosen: :func:`components_of` an environment.
        progress: Told now and then how far it is.

    Raises:
        UsageError: The scenario cannot be simulated, or names an unknown component.
        ConfigError: An override is wrong.
    """
    return Simulator(scenario, components, progress).run()


def sweep(scenarios: Sequence[Scenario], components: Sequence[type[Component]], jobs: int = 1) -> Iterator[Report]:
    """Simulate several swarms.

    Args:
        scenarios: Which.
        components: See :func:`simulate`.
        jobs: How many processes do it.

    Yields:
        What each did, in the same order.

    Raises:
        EOFError: One of the processes died; it has said why on standard error.
    """
    if jobs == 1 or len(scenarios) == 1:
        yield from (simulate(scenario, components) for scenario in scenarios)
        return
    context = multiprocessing.get_context("spawn")
    ends: list[Connection] = []
    processes: list[SpawnProcess] = []
    try:
        for number in range(min(jobs, len(scenarios))):
            mine, theirs = context.Pipe(duplex=False)
            processes.append(
                context.Process(target=_run_share, args=(theirs, scenarios[number::jobs], components))
            )
            processes[-1].start()
            theirs.close()
            ends.append(mine)
        for number in range(len(scenarios)):
            yield ends[number % jobs].recv()
    finally:
        for process, end in zip(processes, ends, strict=False):
            end.close()
            process.terminate()
            process.join()


def _run_share(end: Connection, scenarios: Sequence[Scenario], components: Sequence[type[Component]]) -> None:
    for scenario in scenarios:
        end.send(simulate(scenario, components))


def drawn(seed: int, policy: str) -> Scenario:
    """A small swarm of which everything is drawn from the seed, and in which things go wrong.

    Args:
        seed: The seed.
        policy: The task scheduler.
    """
    random = Random(f"{seed} scenario")
    lines = Random(f"{seed} lines")  # of their own, so that they change nothing else
    strategies = ("GenericTaskScheduleStrategy",) * 3 + ("LeastLoadedStrategy", "RoundRobinStrategy")
    strategy = random.choice(strategies)
    clients = random.choice((1, 1, 2, 3))
    scenario = Scenario(
        slaves=random.randint(1, 6),
        tasks=random.choice((20, 60, 150)) + clients,
        seed=seed,
        policy=policy,
        overrides=(f"generictaskscheduler.strategy={strategy}",) if policy == "GenericTaskScheduler" else (),
        clients=clients,
        kinds=random.randint(1, 3),
        workers=random.randint(1, 3),
        spread=random.choice((1.0, 4.0, 20.0)),
        blind=random.random() < 0.3,
        durations=random.choice(tuple(Durations)),
        seconds=random.choice((0.0002, 0.01, 0.1, 0.5)),
        labels=random.choice((0.0, 0.3)),
        faults=True,
        fault_rate=random.choice((0.3, 1.0, 4.0)),
        latency=random.choice((0.0002, 0.01, 0.1)),
        lease=random.choice((1.5, 4.0, 10.0)),
        systems=random.choice((0, 0, 1, 3)),
        weighted=random.random() < 0.3,
    )
    if lines.random() >= _SLOW_SHARE:
        return scenario
    # What is large takes so many leases on its way.
    return replace(scenario, payload=_PAYLOAD, bandwidth=_PAYLOAD / scenario.lease / lines.choice((0.3, 1.5, 3.0)))
