"""Task systems, weights and drains in the simulator: they happen, and it notices when they go wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from concurrence.component import Component
from concurrence.scheduling import owners, system_events
from concurrence.scheduling.api import SwarmState
from concurrence.testing.simulation.api import Durations, Report, Scenario
from concurrence.testing.simulation.simulator import Simulator
from concurrence.testing.simulation.sweep import drawn, simulate

POLICIES = ["ZMQTaskScheduler", "GenericTaskScheduler"]
Components = Sequence[type[Component]]
SYSTEMS = Scenario(slaves=4, tasks=120, clients=2, systems=3, seconds=0.02)
FAULTY = replace(SYSTEMS, faults=True, fault_rate=6.0, seconds=0.2)


def reports(scenario: Scenario, components: Components, count: int = 6) -> list[Report]:
    return [simulate(replace(scenario, seed=seed), components) for seed in range(1, 1 + count)]


def violations(scenario: Scenario, components: Components, count: int = 6) -> list[str]:
    """What is found wrong, with some seeds."""
    return [report.violation for report in reports(scenario, components, count) if report.violation]


def _one(*_: Any) -> float:
    """The same for all."""
    return 1.0


def _nothing(*_: Any, **__: Any) -> None:
    """Does not do what it should."""


@pytest.mark.parametrize("policy", POLICIES)
class TestTheyHappen:
    def test_all_systems_complete_and_so_do_those_that_they_push(
        self, components: Components, policy: str
    ) -> None:
        simulator = Simulator(replace(SYSTEMS, policy=policy), components)
        plans = simulator.world.workload.systems
        assert any(plan.children for plan in plans.values())
        report = simulator.run()
        assert report.violation == ""
        assert report.systems == len(plans)
        assert all(plan.is_pushed for plan in plans.values())
        assert report.finished == sum(tasks.count for tasks in simulator.world.workload.all)
        assert not simulator.swarm.hosts

    def test_faults_befall_them_all(self, components: Components, policy: str) -> None:
        told: Counter[str] = Counter()
        for report in reports(replace(FAULTY, policy=policy), components, 12):
            assert report.violation == ""
            told.update(report.faults)
        assert {"slave drained", "host killed", "host busy", "system cancelled", "cancelled"} <= told.keys(), told

    def test_some_of_those_that_are_drawn_have_them(self, policy: str) -> None:
        scenarios = [drawn(seed, policy) for seed in range(20)]
        assert any(each.systems for each in scenarios)
        assert any(each.weighted for each in scenarios)

    def test_clients_get_what_their_weights_say(
        self, components: Components, policy: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scenario = Scenario(
            slaves=2, workers=1, tasks=600, clients=3, durations=Durations.EQUAL, seconds=0.02, policy=policy,
            weighted=True, seed=2,
        )  # fmt: skip
        weights = [client.weight for client in Simulator(scenario, components).world.workload.clients]
        assert max(weights) >= 4 * min(weights)
        assert simulate(scenario, components).fairness > 0.95
        monkeypatch.setattr(SwarmState, "weight_of", _one)
        assert simulate(scenario, components).fairness < 0.8


class TestNotices:
    """Broken code, and what is said of it."""

    def test_an_end_that_is_not_told(self, components: Components, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(system_events, "deliver_end", _nothing)
        (found, *_) = violations(replace(SYSTEMS, patience=20.0), components, 2)
        assert "no task ended for 20 s" in found
        assert "['system " in found

    def test_the_end_of_another_one(self, components: Components, monkeypatch: pytest.MonkeyPatch) -> None:
        deliver_end = owners.deliver_end
        kept: list[Any] = []

        def mixed_up(swarm: Any, owner: Any, system: int, status: int, frames: Any) -> None:
            kept.append(frames)
            deliver_end(swarm, owner, system, status, kept[-2] if len(kept) > 1 else frames)

        monkeypatch.setattr(system_events, "deliver_end", mixed_up)
        assert any("has the result (" in each for each in violations(SYSTEMS, components, 3))

    def test_a_system_that_fails_for_no_reason(
        self, components: Components, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def push(swarm: Any, owner: Any, parcel: Any) -> None:
            push_system(swarm, owner, parcel)
            system_events.host_exited(swarm, parcel.message.system, "nobody knows why")

        push_system = system_events.push_system
        monkeypatch.setattr(system_events, "push_system", push)
        assert any("failed for no reason" in each for each in violations(SYSTEMS, components, 3))
