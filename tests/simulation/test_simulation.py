"""The simulator: the same seed tells the same story, promises hold, and it notices when they do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from concurrence.cli.main import app
from concurrence.component import Component
from concurrence.errors import UsageError
from concurrence.scheduling import owner_events, slave_events, system_events
from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.generic import GenericTaskScheduler
from concurrence.scheduling.ledger.ledger import Ledger
from concurrence.scheduling.pushpull import ZMQTaskScheduler
from concurrence.scheduling.registry import Node
from concurrence.testing.simulation import exchanges
from concurrence.testing.simulation.api import Durations, Scenario
from concurrence.testing.simulation.sweep import drawn, simulate, sweep
from concurrence.testing.simulation.text import as_data, command, lines
from concurrence.testing.simulation.workload import CORES, GPU, Group, SlavePlan, Workload

POLICIES = ["ZMQTaskScheduler", "GenericTaskScheduler"]
LIST = Path(__file__).with_name("broken_seeds.txt")
BROKEN = [line.split("#")[0].split() for line in LIST.read_text("utf-8").splitlines() if line[:1].isdigit()]
Components = Sequence[type[Component]]


def call(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["simulate", *words], env={"COLUMNS": "200", "TERM": "dumb"})
    return result.exit_code, result.stdout + result.stderr


def _nothing(*_: Any) -> None:
    """Does not do what it should."""


@pytest.mark.parametrize("line", BROKEN, ids=" ".join)
def test_what_once_broke_holds(components: Components, line: list[str]) -> None:
    seed, policy, *others = line
    scenario = drawn(int(seed), policy)
    if "small" in others:
        scenario = replace(scenario, payload=0, bandwidth=0.0)
    assert simulate(scenario, components).violation == ""


@pytest.mark.parametrize("policy", POLICIES)
class TestSameSeed:
    def test_in_processes_that_hash_differently(self, policy: str) -> None:
        words = [sys.executable, "-m", "concurrence.cli.main", "simulate", "--json", "--policy", policy]
        for more in (["--drawn", "--seeds", "5..9"], ["--tasks", "200", "--clients", "3", "--labels", "0.3"]):
            said = {
                subprocess.run(
                    [*words, *more],
                    env={**os.environ, "PYTHONHASHSEED": hash_seed},
                    capture_output=True,
                    check=True,
                    timeout=100,
                ).stdout
                for hash_seed in ("1", "2")
            }
            assert len(said) == 1

    def test_with_and_without_the_codec(self, components: Components, policy: str) -> None:
        scenario = drawn(7, policy)
        with_codec = simulate(scenario, components)
        without = simulate(replace(scenario, codec=False), components)
        assert with_codec.bytes > without.bytes
        assert replace(with_codec, bytes=0) == replace(without, bytes=0)

    def test_in_several_processes_too(self, components: Components, policy: str) -> None:
        scenarios = [drawn(seed, policy) for seed in range(20, 24)]
        assert list(sweep(scenarios, components, jobs=2)) == list(sweep(scenarios, components))


@pytest.mark.parametrize("policy", POLICIES)
class TestFigures:
    def test_without_faults_each_task_is_executed_once(self, components: Components, policy: str) -> None:
        report = simulate(Scenario(slaves=4, tasks=300, spread=1.0, policy=policy), components)
        assert report.violation == ""
        assert report.finished == 300
        assert report.executed - report.lost == 300
        assert report.bound <= report.makespan < 3 * report.bound
        assert 0.3 < report.utilisation <= 1.0
        assert report.messages > 300

    def test_equal_tasks_on_equal_slaves_are_near_the_bound(self, components: Components, policy: str) -> None:
        scenario = Scenario(
            slaves=4, tasks=400, spread=1.0, workers=1, seconds=0.05, durations=Durations.EQUAL, policy=policy
        )
        report = simulate(scenario, components)
        assert report.ratio < 1.15, lines(scenario, report)

    def test_clients_get_equal_shares(self, components: Components, policy: str) -> None:
        scenario = Scenario(tasks=600, clients=3, durations=Durations.EQUAL, policy=policy, seconds=0.02)
        assert simulate(scenario, components).fairness > 0.9


@pytest.mark.parametrize("policy", POLICIES)
class TestSlowLines:
    """Large messages that take several leases on their way."""

    @staticmethod
    def scenario(policy: str, leases: float, **fields: Any) -> Scenario:
        size, lease = 800_000, 4.0
        return Scenario(
            slaves=3, tasks=60, clients=2, kinds=2, seconds=0.05, policy=policy, lease=lease, payload=size,
            bandwidth=size / lease / leases, **fields,
        )  # fmt: skip

    @pytest.mark.parametrize("leases", [0.3, 3.0])
    def test_nobody_is_given_up(
        self, components: Components, policy: str, leases: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given_up: list[str] = []

        def note(_: SwarmState, node: Node, *__: Any) -> None:
            given_up.append(node.name)

        monkeypatch.setattr(slave_events, "slave_lost", note)
        monkeypatch.setattr(system_events, "owner_lost", note)
        scenario = self.scenario(policy, leases)
        report = simulate(scenario, components)
        assert report.violation == ""
        assert report.finished == 60
        assert given_up == []
        assert report.lost == 0, "and nothing is given out again while it is under way"

    def test_whole_messages_would_have_them_given_up(
        self, components: Components, policy: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exchanges, "WHOLE_BYTES", 1 << 40)
        assert simulate(self.scenario(policy, 3.0), components).finished == 0


class TestBound:
    """The linear program, for swarms whose optimum is known."""

    def bound(self, components: Components, **fields: Any) -> float:
        return simulate(Scenario(durations=Durations.EQUAL, check_every=0, **fields), components).bound

    def test_one_worker(self, components: Components) -> None:
        assert self.bound(components, slaves=1, workers=1, tasks=10, spread=1.0, seconds=0.5) == pytest.approx(5.0)

    def test_workers_share(self, components: Components) -> None:
        assert self.bound(components, slaves=8, workers=1, tasks=80, spread=1.0, seconds=0.5) == pytest.approx(5.0)

    def test_no_task_is_divided(self, components: Components) -> None:
        assert self.bound(components, slaves=8, workers=1, tasks=1, spread=1.0, seconds=0.5) == pytest.approx(0.5)

    @staticmethod
    def mixed(plain: int, gpu: int, wide: int) -> Workload:
        """So many tasks of a second that need nothing, a label, and two workers."""
        work = Workload(Scenario(tasks=plain + gpu + wide, seconds=1.0, durations=Durations.EQUAL), Random(1))
        ends = (plain, plain + gpu, plain + gpu + wide)
        work.clients[0].groups = [
            Group(first, end, resources=needs)
            for first, end, needs in zip((0, *ends), ends, ({}, GPU, CORES), strict=False)
            if first < end
        ]
        return work

    def test_what_needs_a_label_runs_where_it_is(self) -> None:
        slaves = [SlavePlan(2, 1.0, 0.0, GPU), SlavePlan(2, 1.0, 0.0), SlavePlan(1, 2.0, 0.0)]
        assert self.mixed(60, 0, 0).bound(slaves) == pytest.approx(60 / 6)
        assert self.mixed(0, 60, 0).bound(slaves) == pytest.approx(60 / 1)
        assert self.mixed(50, 10, 0).bound(slaves) == pytest.approx(60 / 6)
        assert self.mixed(30, 30, 0).bound(slaves) == pytest.approx(30 / 1)

    def test_what_needs_two_workers_takes_them(self) -> None:
        slaves = [SlavePlan(4, 1.0, 0.0), SlavePlan(1, 4.0, 0.0)]
        assert self.mixed(0, 0, 10).bound(slaves) == pytest.approx(20 / 4)
        assert self.mixed(30, 0, 10).bound(slaves) == pytest.approx(50 / 8)


class TestNotices:
    """Broken code, and what is said of it."""

    def test_more_than_the_credit(self, components: Components, monkeypatch: pytest.MonkeyPatch) -> None:
        def dispatch(self: GenericTaskScheduler, swarm: SwarmState, now: float) -> None:
            for job in swarm.ledger.jobs.values():
                while job.queued and (slaves := swarm.registry.slaves()):
                    swarm.direct(swarm.take(job, 1, now), slaves[0])

        monkeypatch.setattr(GenericTaskScheduler, "dispatch", dispatch)
        report = simulate(Scenario(tasks=50, policy="GenericTaskScheduler"), components)
        assert "which announced a credit of" in report.violation
        assert report.story

    def test_a_policy_that_gives_nothing_out(
        self, components: Components, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ZMQTaskScheduler, "dispatch", _nothing)
        scenario = Scenario(slaves=2, tasks=10, patience=20.0, seed=3)
        report = simulate(scenario, components)
        assert "no task ended for 20 s" in report.violation
        assert "10 queued" in report.violation
        said = "\n".join(lines(scenario, report))
        assert "repeat it: concurrence simulate --seed 3 --slaves 2 --tasks 10 --patience 20.0" in said
        assert "PushTasks" in said

    def test_a_result_that_counts_twice(self, components: Components, monkeypatch: pytest.MonkeyPatch) -> None:
        tell_owner = slave_events.tell_owner

        def twice(*arguments: Any) -> None:
            tell_owner(*arguments)
            tell_owner(*arguments)

        monkeypatch.setattr(slave_events, "tell_owner", twice)
        assert "twice" in simulate(Scenario(tasks=10), components).violation

    def test_a_task_that_is_lost(self, components: Components, monkeypatch: pytest.MonkeyPatch) -> None:
        # What a slave had that is gone is forgotten, instead of being queued again.
        monkeypatch.setattr(slave_events, "slave_lost", _nothing)
        scenario = Scenario(slaves=4, tasks=100, seconds=1.0, faults=True, fault_rate=4.0)
        assert any(simulate(replace(scenario, seed=seed), components).violation for seed in range(5))

    def test_a_death_that_is_charged_to_a_neighbour(
        self, components: Components, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lose = Ledger.lose

        def unjust(self: Ledger, chunk: int, running: int | None, *more: Any) -> Any:
            assignment = self.assignments.get(chunk)
            for record in assignment.pending.values() if assignment is not None else ():
                record.deaths = self.max_attempts
            return lose(self, chunk, running, *more)

        monkeypatch.setattr(Ledger, "lose", unjust)
        scenario = Scenario(slaves=4, tasks=100, faults=True, fault_rate=8.0)
        found = [simulate(replace(scenario, seed=seed), components).violation for seed in range(5)]
        assert any("is said to have killed 3 workers" in each for each in found), found

    def test_an_exception(self, components: Components, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any) -> None:
            raise KeyError("nobody thought of that")

        monkeypatch.setattr(owner_events, "cancel", fail)
        scenario = Scenario(slaves=4, tasks=200, faults=True, fault_rate=8.0, seconds=0.5)
        found = [simulate(replace(scenario, seed=seed), components).violation for seed in range(5)]
        assert any("nobody thought of that" in each for each in found)


class TestCommand:
    def test_a_report(self) -> None:
        code, out = call("--tasks", "50", "--slaves", "3")
        assert code == 0
        assert "50 finished, 0 failed, 0 cancelled" in out
        assert "by linear programming" in out

    def test_json(self) -> None:
        code, out = call("--tasks", "50", "--json", "--set", "generictaskscheduler.strategy=RoundRobinStrategy")
        told = json.loads(out)
        assert code == 0
        assert told["finished"] == 50
        assert told["scenario"]["overrides"] == ["generictaskscheduler.strategy=RoundRobinStrategy"]

    def test_a_range_is_a_table(self) -> None:
        code, out = call("--drawn", "--seeds", "1..3")
        assert code == 0
        assert "3 seeds, 0 broken" in out
        assert out.count(" ok\n") == 3

    def test_a_broken_promise_is_a_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ZMQTaskScheduler, "dispatch", _nothing)
        code, out = call("--drawn", "--seeds", "1..2")
        assert code == 1
        assert "repeat it: concurrence simulate --drawn --seed 1 --policy ZMQTaskScheduler" in out
        code, out = call("--tasks", "10", "--patience", "5")
        assert code == 1
        assert "BROKEN: no task ended" in out

    @pytest.mark.parametrize(
        "words", [["--seeds", "7..x"], ["--seeds", "9..1"], ["--durations", "odd"], ["--policy", "Nobody"]]
    )
    def test_what_cannot_be_simulated(self, words: list[str]) -> None:
        code, out = call("--tasks", "10", *words)
        assert code == 2, out
        assert words[1] in out

    def test_more_clients_than_tasks(self, components: Components) -> None:
        with pytest.raises(UsageError):
            simulate(Scenario(tasks=2, clients=3), components)

    def test_the_command_that_repeats_it(self, components: Components) -> None:
        scenario = Scenario(seed=5, codec=False, faults=True, overrides=("a.b=c",), durations=Durations.HEAVY)
        words = "concurrence simulate --seed 5 --set a.b=c --durations heavy --faults --no-codec"
        assert command(scenario, drawn=False) == words
        assert as_data(scenario, simulate(Scenario(tasks=2), components))["repeat"] == words
