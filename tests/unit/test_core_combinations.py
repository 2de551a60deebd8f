"""What happens to a swarm in any order: drains, losses, cancellations, systems that push systems, lost clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swarm_story import (
    POLICIES,
    Master,
    Owner,
    Slave,
    counters_of,
    definition,
    hello,
    machine,
    make_policy,
)

from concurrence.scheduling import draining
from concurrence.scheduling.owner_events import cancel_everything, cancel_system
from concurrence.wire.codec import Parcel, encode_results
from concurrence.wire.messages import (
    CANCELLED,
    EXPIRED,
    FAILED,
    FINISHED,
    LOST,
    REFUSED,
    RETURNED,
    Assign,
    Bye,
    Cancel,
    Delivered,
    Drain,
    Draining,
    PackedResult,
    PushSystem,
    Results,
    SystemEnded,
    SystemResult,
    TakeBack,
)

NEEDS: list[dict[str, float]] = [{}, {}, {}, {"gpu": 1.0}, {"cpu": 2.0}, {"cpu": 2.0, "gpu": 2.0}]
ENDS = {FINISHED, FAILED, REFUSED, EXPIRED, CANCELLED, LOST}


@dataclass
class Pusher:
    """A client or host, with what it pushed and what it was told."""

    peer: Owner
    system: int
    node: str
    pushes: int = 0
    tasks: int = 0
    ended: dict[int, int] = field(default_factory=dict[int, int])
    systems: set[int] = field(default_factory=set[int])

    def hear(self) -> None:
        """Take what came; everything at most once, but for what was not acknowledged."""
        for message in self.peer.messages(Results):
            for counter, status in zip(message.counters, message.statuses, strict=True):
                assert self.ended.setdefault(counter, status) == status, f"{counter} ended twice"
            self.peer.say(Delivered(message.delivery))
        for message in self.peer.messages(SystemResult):
            self.systems.discard(message.system)
            self.peer.say(Delivered(message.delivery))


class Machine:
    """A slave that does what it is told, and as much work as chance has it."""

    def __init__(self, master: Master, node: str, chance: Random, workers: int = 0) -> None:
        self.master, self.node, self.chance = master, node, chance
        self.description = machine(workers or 1 + chance.randrange(3), 2 * (1 + chance.randrange(3)), gpu=2.0)
        self.peer: Slave = master.slave(node, self.description)
        self.held: dict[int, tuple[Parcel[Assign], list[int]]] = {}
        self.drains = False

    def hear(self) -> None:
        """Take chunks, and what is said of them."""
        for order in self.peer.messages(Drain):
            self.drains = order.is_on
            self.peer.say(Draining(order.is_on, order.stops))
        for chunk in self.peer.pull(self.chance.randrange(5)):
            self.held[chunk.message.chunk] = (chunk, counters_of(chunk))
            if self.drains:
                self.answer(chunk.message.chunk, 9, RETURNED)
        for message in self.peer.messages(TakeBack):
            if message.chunk in self.held:
                left = self.held[message.chunk][1]
                self.answer(message.chunk, len(left) if message.kill else len(left) - 1, RETURNED)

    def answer(self, chunk: int, count: int, status: int, *, lost: bool = False) -> None:
        """Answer the last so many tasks of a chunk; ``lost`` on the way."""
        parcel, left = self.held[chunk]
        self.held[chunk] = (parcel, left[: max(0, len(left) - count)])
        answered = left[len(self.held[chunk][1]) :]
        if not self.held[chunk][1]:
            del self.held[chunk]
        if answered and not lost:
            busy = self.chance.choice([0.0, 0.001, 0.7])
            self.peer.answer(parcel, only=answered, status=status, busy=busy)

    def finish(self) -> None:
        """All that is here ends well."""
        self.hear()
        for chunk in list(self.held):
            self.answer(chunk, len(self.held[chunk][1]), FINISHED)

    def work(self) -> None:
        """Some of what is here ends, somehow."""
        self.hear()
        for chunk in list(self.held):
            how = self.chance.choice([FINISHED] * 6 + [FAILED, EXPIRED, REFUSED, RETURNED, None, None])
            if how is None:
                continue
            if self.chance.randrange(12) == 0:
                parcel, left = self.held.pop(chunk)
                self.peer.lose(parcel, self.chance.choice([None, left[0]]))
            else:
                self.answer(chunk, self.chance.randint(1, 9), how)

    def reconnect(self) -> None:
        """The connection breaks; some results go with it."""
        self.hear()
        partly = list[int]()
        for chunk in list(self.held):
            if self.chance.randrange(3) == 0:
                self.answer(chunk, self.chance.randrange(4), FINISHED, lost=True)
                partly.append(chunk)
        self.peer.vanish()
        left = {chunk: self.held[chunk][1] for chunk in partly if chunk in self.held}
        named = [chunk for chunk in self.held if self.chance.randrange(8)]
        for chunk in [chunk for chunk in self.held if chunk not in named]:
            del self.held[chunk]
        self.peer = self.master.slave(
            self.node, self.description, resumes=True, chunks=named, drains=self.drains,
            left={chunk: counters for chunk, counters in left.items() if chunk in named},
        )  # fmt: skip


class World:
    """A master, clients, systems and slaves."""

    def __init__(self, policy: str, seed: int) -> None:
        self.chance = Random(seed)
        self.master = Master(scheduler=make_policy(policy), retry_delay=self.chance.choice([0.0, 0.3]))
        self.clients: list[Pusher] = []
        self.hosts: list[Pusher] = []
        self.machines: list[Machine] = []
        self.number = 100
        self.join()
        self.arrive()

    def fresh(self) -> int:
        self.number += 1
        return self.number

    # --- what may happen ---

    def join(self) -> None:
        if len(self.machines) < 4:
            self.machines.append(Machine(self.master, f"slave {self.fresh()}", self.chance))

    def arrive(self) -> None:
        if len(self.clients) < 3:
            number = self.fresh()
            node = f"client {number}"
            self.clients.append(Pusher(self.master.client(node, number), number, node))
            self.begin(self.clients[-1])

    @staticmethod
    def begin(pusher: Pusher) -> None:
        pusher.peer.define()
        pusher.peer.say(definition(9, b"a system", kind=3), [b"a system"])

    def push(self) -> None:
        pusher = self.chance.choice(self.clients + self.hosts)
        count = self.chance.randint(1, 30)
        pusher.pushes += 1
        counters = range(pusher.tasks, pusher.tasks + count)
        pusher.tasks += count
        pusher.peer.push(
            pusher.pushes, counters, system=pusher.system, resources=self.chance.choice(NEEDS),
            priority=self.chance.randrange(3), max_retries=self.chance.randrange(3),
        )  # fmt: skip

    def push_system(self) -> None:
        pusher = self.chance.choice(self.clients + self.hosts)
        system = self.fresh()
        pusher.pushes += 1
        is_detached = pusher in self.clients and self.chance.random() < 0.3
        pusher.systems.add(system)
        pusher.peer.say(PushSystem(pusher.pushes, system, 9, f"system {system}", detached=is_detached))
        self.start_hosts()

    def start_hosts(self) -> None:
        for order in self.master.orders:
            if self.chance.random() < 0.1:
                self.master.core.host_exited(order.system, "killed")
                self.master.cycle()
            elif order.system in self.master.ledger.jobs:
                node = f"host {order.system}"
                peer = self.master.connect(hello("host", node, system=order.system, ticket=order.ticket))
                self.hosts.append(Pusher(peer, order.system, node))
                self.begin(self.hosts[-1])
        self.master.orders.clear()

    def end_host(self) -> None:
        if not self.hosts:
            return
        host = self.chance.choice(self.hosts)
        how = self.chance.randrange(4)
        if how == 0:
            self.master.core.host_exited(host.system, "killed")
            self.master.cycle()
        elif how == 1:
            host.peer.say(Bye("it leaves"))
        else:
            host.peer.say(SystemEnded(1, host.system, FINISHED), [encode_results([PackedResult(b"42")])])

    def cancel(self) -> None:
        pusher = self.chance.choice(self.clients + self.hosts)
        some = list(range(self.chance.randrange(5), pusher.tasks, self.chance.randint(1, 9)))
        pusher.pushes += 1
        pusher.peer.say(Cancel(pusher.system, self.chance.choice([some, some, None]), pusher.pushes))

    def cancel_system(self) -> None:
        jobs = [job for job in self.master.ledger.jobs.values() if job.function]
        if jobs:
            cancel_system(self.master.core.swarm, self.chance.choice(jobs), "an administrator")
            self.master.core.swarm.changed = True
            self.master.cycle()

    def cancel_all(self) -> None:
        job = self.master.ledger.jobs[self.chance.choice(self.clients).system]
        cancel_everything(self.master.core.swarm, job, "an administrator")
        self.master.core.swarm.changed = True
        self.master.cycle()

    def drain(self) -> None:
        if self.machines:
            slave = self.master.core.swarm.registry.slave(self.chance.choice(self.machines).node)
            if slave is not None:
                draining.order(self.master.core.swarm, slave, is_on=self.chance.random() < 0.5, stops=False)
                self.master.cycle()

    def work(self) -> None:
        for each in self.machines:
            each.work()

    def reconnect(self) -> None:
        if self.machines:
            self.chance.choice(self.machines).reconnect()

    def crash(self) -> None:
        if len(self.machines) > 1:
            self.machines.pop(self.chance.randrange(len(self.machines))).peer.vanish()

    def leave(self) -> None:
        if len(self.clients) > 1:
            self.clients.pop(self.chance.randrange(len(self.clients))).peer.say(Bye("done"))

    def break_line(self) -> None:
        pusher = self.chance.choice(self.clients)
        pusher.peer.vanish()
        pusher.peer = self.master.client(pusher.node, pusher.system, resumes=True)
        self.begin(pusher)

    def wait(self) -> None:
        self.master.wait(self.chance.choice([0.25, 0.5, 2.0]), *self.peers())

    def peers(self) -> list[Owner | Slave]:
        return [each.peer for each in (*self.clients, *self.hosts, *self.machines)]

    def step(self) -> None:
        """Something happens, and everybody hears of it."""
        action = self.chance.choice(
            [self.push] * 4 + [self.work] * 8 + [self.wait] * 3
            + [self.push_system, self.end_host, self.cancel, self.cancel_system, self.cancel_all, self.drain]
            + [self.drain, self.reconnect, self.reconnect, self.crash, self.join, self.leave, self.arrive]
            + [self.break_line]
        )  # fmt: skip
        action()
        self.hear()

    def hear(self) -> None:
        jobs = self.master.ledger.jobs
        self.hosts = [host for host in self.hosts if host.system in jobs]
        for each in (*self.clients, *self.hosts):
            each.hear()

    def finish(self) -> None:
        """Slaves that behave do the rest, and then every task has ended once, and nothing else is left."""
        swarm = self.master.core.swarm
        for each in list(self.machines):
            if self.chance.random() < 0.3:
                self.machines.remove(each)
                each.peer.vanish()
        self.machines.append(Machine(self.master, "last", self.chance, workers=3))
        for slave in swarm.registry.slaves():
            draining.order(swarm, slave, is_on=False, stops=False)
        for _ in range(400):
            self.hear()
            if not any(job.tasks for job in swarm.ledger.jobs.values()):
                break
            for each in self.machines:
                each.finish()
            self.master.wait(0.25, *self.peers())
        for each in (*self.clients, *self.hosts):
            assert sorted(each.ended) == list(range(each.tasks)), each.node
            assert set(each.ended.values()) <= ENDS
        for each in self.machines:
            each.finish()
        self.master.wait(2.0, *self.peers())  # until those that vanished are given up
        assert not swarm.ledger.assignments
        for job in swarm.ledger.jobs.values():
            assert job.system in swarm.detached or swarm.registry.owner(job.pusher), f"nobody wants {job}"


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32), steps=st.integers(5, 120))
def test_everything_ends_once_whatever_happens(policy: str, seed: int, steps: int) -> None:
    world = World(policy, seed)
    for _ in range(steps):
        world.step()
    world.finish()
