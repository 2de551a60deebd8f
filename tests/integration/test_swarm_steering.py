"""The samples that steer by what comes back, on real swarms of every kind."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from duplicate_tree import make_tree, sequential_duplicates
from samplekit import Cluster, on_every_cluster
from swarmkit import Swarm, until

from concurrence.samples.evolve_kernel import signs
from concurrence.samples.evolve_tasks import World

pytestmark = pytest.mark.sampled

SEARCH = tuple(f"search.{each}" for each in ("cities=36", "seed=1", "budget=100", "compare=false"))
SHORTEST = 5638
"""Of the round trips in that problem; the unit tests hold such searches against an independent solver."""


@on_every_cluster
def test_the_search_proves_the_shortest_round_trip(swarm: Swarm, cluster: Cluster) -> None:
    run = cluster.run(swarm, "search", *SEARCH, middle=3)
    assert f"a round trip of {SHORTEST}, proven to be the shortest" in run.output


@on_every_cluster
def test_islands_without_migrants_give_the_same_wherever_they_evolve(swarm: Swarm, cluster: Cluster) -> None:
    world = World(24, islands=5, size=6, generations=12, migrates=False, seed=2, seconds=600.0, epochs=6)
    best: list[tuple[int, int]] = []
    for number in range(world.islands):
        island = world.settle(number)
        for epoch in range(world.epochs):
            island = world.evolve(island, number, epoch)
        best.append(island.best)
    run = cluster.run(swarm, "evolve", *settings_of(world), middle=3)
    lines = run.output.splitlines()
    assert any(
        line.startswith(f"energy {min(best)[0]} ") and line.endswith(signs(min(best)[1], 24)) for line in lines
    )
    assert "30 epochs on 5 islands, 0 migrants" in run.output
    assert "the same options give the same again" in run.output


@on_every_cluster
def test_islands_with_migrants_get_to_the_lowest_energy(swarm: Swarm, cluster: Cluster) -> None:
    run = cluster.run(
        swarm, "evolve", "evolve.length=30", "evolve.generations=2", "evolve.duration=600s", middle=3
    )
    assert "energy 59 (the lowest that is possible)" in run.output


def settings_of(world: World) -> list[str]:
    """A world as options."""
    return [
        f"evolve.length={world.length}",
        f"evolve.islands={world.islands}",
        f"evolve.size={world.size}",
        f"evolve.generations={world.generations}",
        f"evolve.migrate={str(world.migrates).lower()}",
        f"evolve.seed={world.seed}",
        f"evolve.duration={world.seconds:.0f}s",
        f"evolve.epochs={world.epochs}",
    ]


LONG = ("evolve.length=66", "evolve.duration=600s", "evolve.generations=1")


def test_an_interrupted_evolution_says_its_best(swarm: Swarm) -> None:
    run = swarm.run("evolve", *LONG, workers=2)
    run.wait_for("\nenergy ")
    run.send(signal.SIGINT)
    assert run.finish() == 130
    told = [line for line in run.output.splitlines() if line.startswith("energy ")]
    assert f"interrupted; the best so far: {told[-1]}" in run.output
    assert "Traceback" not in run.output
    swarm.check_nothing_left()


def test_an_evolution_goes_on_at_the_master_and_is_collected(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    client = str(swarm.connect("client"))
    words = ["--set", "evolve.length=20", "--set", "evolve.migrate=false", "--set", "evolve.epochs=3"]
    run = swarm.command("run", "evolve", "--master", client, "--detach", *words)
    assert run.finish() == 0, str(run)
    (number,) = re.findall(r"concurrence attach ([0-9a-f]{16})", run.output)
    until(lambda: not swarm.status().systems)
    attached = swarm.command("attach", number, "--master", client)
    assert attached.finish() == 0, str(attached)
    assert "24 epochs on 8 islands" in attached.output
    assert "the same options give the same again" in attached.output


@on_every_cluster
def test_the_duplicates_are_those_of_a_sequential_walk(swarm: Swarm, cluster: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    make_tree(root)
    for number in range(3_000):  # enough for several tasks, so that a slave can be killed between them
        folder = root / "more" / f"{number // 100}" / f"{number % 100 // 10}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_bytes(b"%d" % (number % 1_000))
    settings = [f"pipeline.folder={root}", "pipeline.duplicates=found.json", "pipeline.show=1"]
    run = cluster.run(swarm, "pipeline", *settings)
    groups = json.loads((swarm.folder / "client" / "found.json").read_text())["groups"]
    assert {tuple(group["paths"]) for group in groups} == sequential_duplicates(root, 1)
    assert "which must be at this path on every slave" in run.output


def test_a_folder_that_no_slave_has_is_named_with_the_slave(swarm: Swarm, tmp_path: Path) -> None:
    swarm.master()
    swarm.slave("attic", workers=1)
    run = swarm.run("pipeline", f"pipeline.folder={tmp_path / 'nowhere'}")
    assert run.finish() == 1, str(run)
    assert "there is no folder" in run.output
    assert "attic" in run.output
    assert "at the same path: share it by NFS" in run.output
