"""The samples that steer by what comes back, on real swarms of every kind."""

from __future__ import annotations

from samplekit import Cluster, on_every_cluster
from swarmkit import Swarm

SEARCH = tuple(f"search.{each}" for each in ("cities=36", "seed=1", "budget=100", "compare=false"))
SHORTEST = 5638
"""Of the round trips in that problem; the unit tests hold such searches against an independent solver."""


@on_every_cluster
def test_the_search_proves_the_shortest_round_trip(swarm: Swarm, cluster: Cluster) -> None:
    run = cluster.run(swarm, "search", *SEARCH, middle=3)
    assert f"a round trip of {SHORTEST}, proven to be the shortest" in run.output
