"""What goes wrong in a simulation, when, and to whom: all of it drawn from the seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from concurrence.testing.simulation.client import SimulatedClient
from concurrence.testing.simulation.host import SimulatedHost
from concurrence.testing.simulation.slave import SimulatedSlave
from concurrence.testing.simulation.swarm import Swarm
from concurrence.testing.simulation.world import World

_SPARED = 0.8  # of clients that are cut off: a forgotten one has lost its work, and there is little left to see
_SPARED_HOSTS = 0.7  # with a system that has ended there is little left to see
_TERMINATED, _ENDED = 0.2, 0.5
_MOST_LOST = 0.5  # of the slaves: more are not gone at once


class Faults:
    """Lets things go wrong for a while, and then no more.

    Args:
        world: What it is part of.
        swarm: To whom.
        bound: The least time that the work takes, in seconds: faults go on for a multiple of it.
    """

    def __init__(self, world: World, swarm: Swarm, bound: float) -> None:
        self.counts: dict[str, int] = {}
        self._world = world
        self._swarm = swarm
        self._random = Random(f"{world.scenario.seed} faults")
        self._lease = world.scenario.lease
        self._rate = world.scenario.fault_rate * max(1.0, world.scenario.slaves / 10)
        self._slaves = world.scenario.slaves
        self._until = 2.0 + 3.0 * bound
        self._is_stopped = False
        self._kinds: list[tuple[str, Callable[[], bool]]] = [
            *(("reset", self._reset),) * 5,
            *(("silence", self._silence),) * 2,
            *(("partition", self._partition),) * 2,
            ("slow link", self._slow),
            *(("slave killed", self._kill_slave),) * 2,
            *(("slave left", self._slave_leaves),) * 1,
            *(("slave joined", self._slave_joins),) * 1,
            *(("worker killed", self._kill_worker),) * 4,
            *(("slave frozen", self._freeze_slave),) * 2,
            ("master frozen", self._freeze_master),
            *(("work reset", self._reset_work),) * 2,
            *(("cancelled", self._cancel),) * 2,
            *(("client busy", self._busy_client),) * 1,
            *(("slave drained", self._drain_slave),) * 2,
            *(
                (("host killed", self._kill_host), ("host busy", self._busy_host))
                if world.scenario.systems
                else ()
            ),
            *((("system cancelled", self._cancel_system),) if world.scenario.systems else ()),
        ]
        self._rare: list[tuple[str, Callable[[], bool]]] = [
            ("client killed", self._kill_client),
            ("client left", self._client_leaves),
            ("master restarted", self._restart_master),
        ]
        self._plan()

    def stop(self) -> None:
        """Nothing more goes wrong."""
        self._is_stopped = True

    def _plan(self) -> None:
        if self._rate > 0:
            self._world.timeline.after(self._random.expovariate(self._rate), self._next)

    def _next(self, _: Any) -> None:
        now = self._world.timeline.now
        if self._is_stopped or now > self._until:
            return
        kinds = self._rare if self._random.random() < 0.01 else self._kinds
        name, action = self._random.choice(kinds)
        self._quiet_in(0.0)
        if action():
            self.counts[name] = self.counts.get(name, 0) + 1
        self._plan()

    # --- whom ---

    def _quiet_in(self, seconds: float) -> None:
        self._swarm.quiet_since = max(self._swarm.quiet_since, self._world.timeline.now + seconds)

    def _slave(self) -> SimulatedSlave | None:
        return self._random.choice(self._swarm.slaves) if self._swarm.slaves else None

    def _client(self) -> SimulatedClient | None:
        alive = [client for client in self._swarm.clients if not client.is_gone]
        return self._random.choice(alive) if alive else None

    def _node(self) -> SimulatedSlave | SimulatedClient | None:
        return self._client() if self._random.random() < 0.15 else self._slave()

    def _tell(self, text: str, *values: Any) -> None:
        self._world.story.tell(f"*** {text}", *values)

    # --- links ---

    def _reset(self) -> bool:
        node = self._node()
        if node is None or node.link.current is None:
            return False
        self._tell("the connection of {} breaks", node.name)
        node.link.reset()
        return True

    def _silence(self) -> bool:
        node = self._node()
        if node is None or node.link.current is None:
            return False
        self._tell("the connection of {} falls silent", node.name)
        node.link.fall_silent()
        self._quiet_in(2 * self._lease)
        return True

    def _partition(self) -> bool:
        nodes: list[SimulatedSlave | SimulatedClient] = [*self._swarm.slaves]
        nodes += [client for client in self._swarm.clients if not client.is_gone]
        count = self._random.randint(1, max(1, len(nodes) // 2))
        longest = self._random.choice((0.3, 1.5, 2.0 * self._lease))
        for node in self._random.sample(nodes, count):
            if not node.link.is_cut:
                self._tell("{} is cut off", node.name)
                node.link.cut()
                seconds = self._random.random() * longest
                if isinstance(node, SimulatedClient) and self._random.random() < _SPARED:
                    seconds = min(seconds, self._lease / 3)
                self._quiet_in(seconds + 2 * self._lease)
                self._world.timeline.after(seconds, self._heal, node)
        return True

    def _heal(self, node: SimulatedSlave | SimulatedClient) -> None:
        self._tell("{} can be reached again", node.name)
        node.link.heal()
        if isinstance(node, SimulatedSlave):
            node.healed()

    def _slow(self) -> bool:
        node = self._node()
        if node is None:
            return False
        node.link.slowness = self._random.choice((20.0, 200.0))
        self._tell("the link of {} is {} times slower", node.name, node.link.slowness)
        seconds = self._random.random() * 5
        self._quiet_in(seconds)
        self._world.timeline.after(seconds, self._fast_again, node)
        return True

    @staticmethod
    def _fast_again(node: SimulatedSlave | SimulatedClient) -> None:
        node.link.slowness = 1.0

    def _reset_work(self) -> bool:
        slave = self._slave()
        if slave is None or slave.pipe is None:
            return False
        self._tell("the connection of {} with the work queue breaks", slave.name)
        self._swarm.master.queue.reset(slave.pipe)
        return True

    # --- slaves ---

    def _remove(self) -> SimulatedSlave | None:
        if len(self._swarm.slaves) <= self._slaves * _MOST_LOST:
            return None
        slave = self._swarm.slaves.pop(self._random.randrange(len(self._swarm.slaves)))
        seconds = self._random.random() * 4
        self._quiet_in(seconds + 2 * self._lease)
        self._world.timeline.after(seconds, self._replace, slave)
        return slave

    def _replace(self, gone: SimulatedSlave) -> None:
        slave = self._swarm.join(gone.plan)
        self._tell("{} joins in the place of {}", slave.name, gone.name)

    def _kill_slave(self) -> bool:
        slave = self._remove()
        if slave is None:
            return False
        told = self._random.random() < 0.7
        self._tell("{} is killed, {}", slave.name, "and hangs up" if told else "with its machine")
        slave.crash(told=told)
        return True

    def _slave_leaves(self) -> bool:
        slave = self._remove()
        if slave is None:
            return False
        self._tell("{} leaves", slave.name)
        slave.leave()
        return True

    def _slave_joins(self) -> bool:
        like = self._slave()
        if like is None or len(self._swarm.slaves) >= 2 * self._slaves:
            return False
        slave = self._swarm.join(like.plan)
        self._tell("{} joins", slave.name)
        return True

    def _kill_worker(self) -> bool:
        slave = self._slave()
        if slave is None or not slave.manager.workers:
            return False
        number = self._random.choice(sorted(slave.manager.workers))
        self._tell("worker {} of {} is killed", number, slave.name)
        slave.kill_worker(number)
        return True

    def _freeze_slave(self) -> bool:
        slave = self._slave()
        if slave is None:
            return False
        seconds = self._random.choice((0.2, 1.5, 1.5 * self._lease)) * self._random.random()
        self._tell("{} is frozen for {} s", slave.name, round(seconds, 3))
        slave.freeze(seconds)
        self._quiet_in(seconds + 2 * self._lease)
        return True

    def _drain_slave(self) -> bool:
        """An administrator has it drain, for a while or for good; or it is told to end where it runs."""
        slave = self._slave()
        if slave is None:
            return False
        seconds = self._random.random() * 4
        may_end = len(self._swarm.slaves) > self._slaves * _MOST_LOST
        chance = self._random.random()
        if may_end and chance < _TERMINATED:
            self._tell("{} is told to end within {} s", slave.name, round(seconds, 3))
            slave.terminate(seconds)
        elif not self._swarm.master.drain(slave.node, is_on=True, stops=may_end and chance < _ENDED):
            return False
        else:
            self._tell("{} is to drain, for {} s at most", slave.name, round(seconds, 3))
            self._world.timeline.after(seconds, self._have_work, slave)
        self._quiet_in(seconds + 2 * self._lease)
        return True

    def _have_work(self, slave: SimulatedSlave) -> None:
        """It is to work again; said until it does, because a master that is killed may not have passed it on."""
        if slave.is_gone:
            return
        self._quiet_in(2 * self._lease)
        is_told = self._swarm.master.drain(slave.node, is_on=False)
        if is_told:
            self._tell("{} is to work again", slave.name)
        if slave.drains or not is_told:
            self._world.timeline.after(0.5, self._have_work, slave)

    # --- task systems ---

    def _host(self) -> SimulatedHost | None:
        hosts = list(self._swarm.hosts.values())
        return self._random.choice(hosts) if hosts else None

    def _kill_host(self) -> bool:
        host = self._host()
        if host is None or self._random.random() < _SPARED_HOSTS:
            return False
        self._tell("{} is killed", host.name)
        self._swarm.kill_host(host)
        return True

    def _busy_host(self) -> bool:
        host = self._host()
        if host is None:
            return False
        seconds = self._random.random() * 5
        self._tell("{} is busy for {} s", host.name, round(seconds, 3))
        host.be_busy(seconds)
        self._quiet_in(seconds)
        return True

    def _cancel_system(self) -> bool:
        client = self._client()
        if client is None or self._random.random() < _SPARED_HOSTS:
            return False
        pushed = [plan for plan in client.open_systems.values() if plan.is_pushed]
        if not pushed:
            return False
        plan = self._random.choice(pushed)
        self._tell("{} cancels {}", client.name, plan.name)
        client.cancel_system(plan)
        return True

    # --- the master and its clients ---

    def _freeze_master(self) -> bool:
        seconds = self._random.choice((0.3, 2.0, self._lease)) * self._random.random()
        self._tell("the master is frozen for {} s", round(seconds, 3))
        self._swarm.master.freeze(seconds)
        self._quiet_in(seconds + 2 * self._lease)
        return True

    def _restart_master(self) -> bool:
        self._tell("the master is killed and started again")
        self._swarm.restart_master()
        self._quiet_in(2 * self._lease)
        return True

    def _cancel(self) -> bool:
        client = self._client()
        if client is None or not client.pushed:
            return False
        count = self._random.choice((1, 5, 50))
        first = self._random.randrange(client.pushed)
        numbers = [n for n in range(first, min(first + count, client.pushed)) if not client.work.ended[n]]
        if not numbers:
            return False
        self._tell("{} cancels {}", client.name, str(numbers))
        client.cancel(numbers)
        return True

    def _busy_client(self) -> bool:
        client = self._client()
        if client is None:
            return False
        seconds = self._random.random() * 5
        self._tell("{} is busy for {} s", client.name, round(seconds, 3))
        client.be_busy(seconds)
        self._quiet_in(seconds)
        return True

    def _kill_client(self) -> bool:
        return self._end_client(is_killed=True)

    def _client_leaves(self) -> bool:
        return self._end_client(is_killed=False)

    def _end_client(self, *, is_killed: bool) -> bool:
        client = self._client()
        if client is None or sum(not each.is_gone for each in self._swarm.clients) < 2:
            return False
        self._swarm.gone(client)
        if is_killed:
            self._tell("{} is killed", client.name)
            client.crash(told=self._random.random() < 0.7)
        else:
            self._tell("{} leaves", client.name)
            client.leave()
        self._quiet_in(2 * self._lease)
        return True
