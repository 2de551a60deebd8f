"""``concurrence simulate``: a swarm in virtual time, scheduled by the code that runs in production."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from concurrence.cli.options import EnvOption, JsonOption, SetOption, examples

if TYPE_CHECKING:
    from pathlib import Path

    from concurrence.env.environment import Environment
    from concurrence.testing.simulation.api import Report, Scenario

EPILOG = examples(
    "concurrence simulate --slaves 20 --tasks 5000",
    "concurrence simulate --slaves 20 --tasks 5000 --policy GenericTaskScheduler --json",
    "concurrence simulate --slaves 50 --workers 8 --durations heavy --seconds 2 --seeds 1..20",
    "concurrence simulate --faults --clients 3 --labels 0.2 --seed 7",
    "concurrence simulate --drawn --seeds 1..1000 --jobs 2",
)
_PROGRESS_SECONDS = 2.0

Seeds: TypeAlias = Annotated[
    str | None, typer.Option(metavar="FIRST..LAST", help="A range of seeds instead; prints a table.")
]
CheckEvery: TypeAlias = Annotated[
    int, typer.Option(min=0, help="Check the ledger so much more seldom; 0: check nothing.")
]


def simulate(
    slaves: Annotated[int, typer.Option(min=1, help="Slaves at the beginning.")] = 10,
    tasks: Annotated[int, typer.Option(min=1, help="Tasks of all clients together.")] = 1_000,
    seed: Annotated[int, typer.Option(help="Decides everything that is random.")] = 1,
    seeds: Seeds = None,
    policy: Annotated[str, typer.Option(help="The task scheduler.")] = "ZMQTaskScheduler",
    settings: SetOption = None,
    clients: Annotated[int, typer.Option(min=1, help="Clients that push tasks.")] = 1,
    kinds: Annotated[int, typer.Option(min=1, max=4, help="Functions that the tasks of a client are of.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Most workers of a slave; each has 1 at least.")] = 4,
    alike: Annotated[bool, typer.Option("--alike", help="Every slave has that many workers.")] = False,
    spread: Annotated[float, typer.Option(min=1.0, help="How many times faster the fastest slave is.")] = 4.0,
    blind: Annotated[bool, typer.Option("--blind", help="Slaves register no speed score.")] = False,
    durations: Annotated[str, typer.Option(help="Of tasks: equal, mixed or heavy (tailed).")] = "mixed",
    seconds: Annotated[float, typer.Option(help="Mean time of a task on the slowest slave.")] = 0.1,
    systems: Annotated[int, typer.Option(min=0, help="Most task systems that a client pushes.")] = 0,
    weighted: Annotated[bool, typer.Option("--weighted", help="Clients and systems have weights.")] = False,
    labels: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of tasks with labels or cores.")] = 0.0,
    faults: Annotated[bool, typer.Option("--faults", help="Things go wrong.")] = False,
    fault_rate: Annotated[float, typer.Option(min=0.0, help="Faults a second, for each ten slaves.")] = 1.0,
    latency: Annotated[float, typer.Option(min=0.0, help="Seconds one way, at the least.")] = 0.0005,
    bandwidth: Annotated[float, typer.Option(min=0.0, help="Bytes a second of each link; 0: any number.")] = 0.0,
    payload: Annotated[int, typer.Option(min=0, help="Bytes of ballast of large tasks, one in ten.")] = 0,
    lease: Annotated[float, typer.Option(min=0.5, help="Seconds of silence until a node is given up.")] = 10.0,
    silent: Annotated[bool, typer.Option("--no-heartbeats", help="Nodes give no signs of life.")] = False,
    bare: Annotated[bool, typer.Option("--no-codec", help="Messages are not really encoded.")] = False,
    check_every: CheckEvery = 1,
    cycle_seconds: Annotated[float, typer.Option(min=0.0, help="What a turn of the master takes.")] = 0.0001,
    message_seconds: Annotated[float, typer.Option(min=0.0, help="What it needs for a message.")] = 0.00005,
    patience: Annotated[float, typer.Option(min=0.0, help="Seconds in which a task must end.")] = 0.0,
    drawn: Annotated[bool, typer.Option("--drawn", help="Draw a small faulty swarm from the seed.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share a range of seeds.")] = 1,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> int:
    """Let a swarm work in virtual time, with the schedulers and the bookkeeping that run in production.

    Prints how long it takes, against the least time that any schedule could take, and checks every promise on the
    way. The exit code is 1 if one is broken; then the last events are shown, and the command that repeats it. The
    same seed gives the same output. See docs/simulation.md.
    """
    chosen = _seeds(seeds) if seeds is not None else [seed]
    fields: dict[str, Any] = {
        "slaves": slaves, "tasks": tasks, "overrides": tuple(settings or ()), "clients": clients, "kinds": kinds,
        "workers": workers, "alike": alike, "spread": spread, "blind": blind, "durations": durations,
        "seconds": seconds, "systems": systems, "weighted": weighted, "labels": labels, "faults": faults,
        "fault_rate": fault_rate, "latency": latency, "bandwidth": bandwidth, "payload": payload,
        "lease": lease, "heartbeats": not silent, "codec": not bare,
        "check_every": check_every, "cycle_seconds": cycle_seconds, "message_seconds": message_seconds,
        "patience": patience,
    }  # fmt: skip
    scenarios = _scenarios(chosen, policy, None if drawn else fields)
    with _environment(env) as environment:
        components = _components(environment)
        if seeds is None:
            return _run_one(scenarios[0], components, drawn=drawn, as_json=as_json)
        return _run_all(scenarios, components, jobs, drawn=drawn, as_json=as_json)


def _scenarios(seeds: list[int], policy: str, fields: dict[str, Any] | None) -> list[Scenario]:
    from concurrence.testing.simulation.api import Durations, Scenario
    from concurrence.testing.simulation.sweep import drawn

    if fields is None:
        return [drawn(seed, policy) for seed in seeds]
    fields["durations"] = Durations(_one_of(fields["durations"], [each.value for each in Durations]))
    return [Scenario(seed=seed, policy=policy, **fields) for seed in seeds]


def _environment(path: Path | None) -> Environment:
    from concurrence.env.environment import Environment
    from concurrence.nodes.running import open_environment

    return open_environment(path) if path is not None else Environment.ephemeral()


def _components(environment: Environment) -> list[Any]:
    from concurrence.cli.failures import note_broken
    from concurrence.testing.simulation.sweep import components_of

    note_broken(environment.plugin_failures)
    return components_of(environment)


def _one_of(text: str, known: list[str]) -> str:
    if text not in known:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(known)}", param_hint="--durations")
    return text


def _seeds(text: str) -> list[int]:
    first, separator, last = text.partition("..")
    try:
        found = list(range(int(first), int(last if separator else first) + 1))
    except ValueError:
        found = []
    if not found:
        raise typer.BadParameter(f"{text!r} is no range of seeds like 1..100", param_hint="--seeds")
    return found


def _run_one(scenario: Scenario, components: list[Any], *, drawn: bool, as_json: bool) -> int:
    from concurrence.testing.simulation.sweep import simulate as run
    from concurrence.testing.simulation.text import as_data, lines

    report = run(scenario, components, _Progress() if sys.stderr.isatty() else None)
    if as_json:
        print(json.dumps(as_data(scenario, report, drawn=drawn), indent=2))
    else:
        print("\n".join(lines(scenario, report, drawn=drawn)))
    return 1 if report.violation else 0


def _run_all(scenarios: list[Scenario], components: list[Any], jobs: int, *, drawn: bool, as_json: bool) -> int:
    from concurrence.testing.simulation.sweep import sweep
    from concurrence.testing.simulation.text import as_data, command, table_header, table_row

    broken: list[tuple[Scenario, Report]] = []
    data: list[dict[str, Any]] = []
    if not as_json:
        print(table_header(), flush=True)
    for scenario, report in zip(scenarios, sweep(scenarios, components, jobs), strict=True):
        if report.violation:
            broken.append((scenario, report))
        if as_json:
            data.append(as_data(scenario, report, drawn=drawn))
        else:
            print(table_row(report), flush=True)
    if as_json:
        print(json.dumps(data, indent=2))
    else:
        print(f"{len(scenarios)} seeds, {len(broken)} broken")
        for scenario, _ in broken:
            print(f"repeat it: {command(scenario, drawn=drawn)}")
    return 1 if broken else 0


class _Progress:
    """A line on the terminal now and then."""

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def __call__(self, ended: int, tasks: int, now: float) -> None:
        """Show how far it is, unless that was shown a moment ago."""
        if time.monotonic() - self._shown >= _PROGRESS_SECONDS:
            self._shown = time.monotonic()
            print(f"{ended:,} of {tasks:,} tasks after {now:.1f} s of virtual time", file=sys.stderr)
