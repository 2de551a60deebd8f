"""How long work takes on slaves of different speed, against what linear programming says it must take at least.

In virtual time. The bound: all workers are busy to the end at their true speeds, and the longest task is no
quicker than on the fast slave.
"""

from __future__ import annotations

from random import Random

import pytest
from swarm_simulation import SimulatedSlave, simulate
from swarm_story import Master, make_policy

TASKS = 500
WARM_UP = 200
SPREAD = 0.8  # of the logarithm of the seconds of mixed tasks: from a seventh to seven times the median


def ratio(policy: str, seconds: float, *, workers: int, slower: float, warm: bool, mixed: bool) -> float:
    """Makespan over bound, of tasks on two slaves, the second of which takes so many times longer for each."""
    master = Master(scheduler=make_policy(policy))
    master.checked = False
    chance = Random(7)
    first = WARM_UP if warm else 0
    took = [seconds * (chance.lognormvariate(0.0, SPREAD) if mixed else 1.0) for _ in range(first + TASKS)]
    client = master.client()
    slaves = [
        SimulatedSlave(master, name, workers, lambda task, times=times: took[task] * times)
        for name, times in (("fast", 1.0), ("slow", slower))
    ]
    client.define()
    if warm:
        client.push(1, range(WARM_UP))
        simulate(master, client, slaves, WARM_UP)
    client.push(2, range(first, first + TASKS))
    makespan = simulate(master, client, slaves, TASKS)
    mine = took[first:]
    bound = max(sum(mine) / (workers + workers / slower), *mine)
    assert makespan >= 0.999 * bound
    return makespan / bound


@pytest.mark.parametrize("mixed", [False, True], ids=["equal tasks", "mixed tasks"])
@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("seconds", [0.002, 0.05, 1.0])
class TestTwoSlaves:
    @pytest.mark.parametrize(("warm", "most"), [(True, 1.10), (False, 1.20)], ids=["warm", "cold"])
    def test_one_at_a_quarter_of_the_speed(
        self, seconds: float, workers: int, mixed: bool, warm: bool, most: float
    ) -> None:
        reached = ratio("GenericTaskScheduler", seconds, workers=workers, slower=4.0, warm=warm, mixed=mixed)
        assert reached <= most

    @pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
    def test_equal_ones_do_as_well_as_by_push_and_pull(
        self, seconds: float, workers: int, mixed: bool, warm: bool
    ) -> None:
        aimed, pulled = (
            ratio(policy, seconds, workers=workers, slower=1.0, warm=warm, mixed=mixed)
            for policy in ("GenericTaskScheduler", "ZMQTaskScheduler")
        )
        assert aimed <= 1.03 * pulled
        assert pulled <= 1.08, "and no worker of a slave that pulls waits for long"
