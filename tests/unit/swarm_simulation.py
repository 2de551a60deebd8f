"""Slaves that work in virtual time under a real core: what a policy makes of machines of different speed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from swarm_story import Master, Owner, Slave, counters_of, machine

from concurrence.wire.codec import Parcel
from concurrence.wire.messages import FINISHED, RETURNED, Assign, Results, TakeBack
from concurrence.workers.wide import LONG_SECONDS, NEW

TICK = 0.25


@dataclass
class Held:
    """A chunk at a simulated slave."""

    parcel: Parcel[Assign]
    left: list[int]
    """Tasks that were not answered, in order; the first one runs if the chunk has begun."""
    ends: float | None = None
    done: list[int] = field(default_factory=list[int])
    busy: float = 0.0


class SimulatedSlave:
    """Executes what it is given, one task a worker at a time, and gives back what has not started.

    Args:
        master: Whose slave.
        name: Its name.
        workers: How many.
        seconds: What one task takes here.
        labels: Resources.
    """

    def __init__(
        self, master: Master, name: str, workers: int, seconds: Callable[[int], float], **labels: float
    ) -> None:
        self.name = name
        self.peer: Slave = master.slave(name, machine(workers, 2 * workers, **labels))
        self.executed: Counter[int] = Counter()
        self._master = master
        self._workers = workers
        self._seconds = seconds
        self._held: list[Held] = []
        self._took = 0.0

    @property
    def next_end(self) -> float | None:
        """When a task ends next."""
        return min((held.ends for held in self._held if held.ends is not None), default=None)

    def receive(self) -> None:
        """Take what came, and start what can start."""
        window = 1 if self._took >= LONG_SECONDS else 2  # as a slave does that pulls
        pulled = self.peer.pull(max(0, window * self._workers - len(self._held)))
        self._held += [Held(chunk, counters_of(chunk)) for chunk in pulled]
        for message in self.peer.messages(TakeBack):
            self._give_back(message)
        running = sum(held.ends is not None for held in self._held)
        for held in self._held:
            if held.ends is None and running < self._workers:
                held.ends = self._master.now + self._seconds(held.left[0])
                running += 1

    def work(self) -> None:
        """End the tasks whose time has come."""
        for held in list(self._held):
            if held.ends is not None and held.ends <= self._master.now + 1e-9:
                counter = held.left.pop(0)
                self.executed[counter] += 1
                held.done.append(counter)
                held.busy += self._seconds(counter)
                held.ends = self._master.now + self._seconds(held.left[0]) if held.left else None
                if not held.left:
                    self._held.remove(held)
                    self._took += NEW * (held.busy - self._took)
                    self.peer.answer(held.parcel, only=held.done, status=FINISHED, busy=held.busy)

    def _give_back(self, message: TakeBack) -> None:
        for held in list(self._held):
            if held.parcel.message.chunk != message.chunk:
                continue
            begun = 1 if held.ends is not None and not message.kill else 0
            returned, held.left = held.left[begun:], held.left[:begun]
            if not held.left:
                self._held.remove(held)
            if returned:
                self.peer.answer(held.parcel, only=returned, status=RETURNED, busy=0.0)


def simulate(master: Master, client: Owner, slaves: Sequence[SimulatedSlave], tasks: int) -> float:
    """Let time pass until so many tasks have ended; how long it took."""
    began = master.now
    next_tick = began + TICK
    ended: list[int] = []
    while True:
        for slave in slaves:
            slave.receive()
        for message in client.messages(Results):
            ended += message.counters
        if len(ended) >= tasks:
            assert len(ended) == len(set(ended)) == tasks
            return master.now - began
        ends = [end for slave in slaves if (end := slave.next_end) is not None]
        master.now = min([next_tick, *ends])
        assert master.now < began + 1e5, f"stuck: {master.ledger.jobs}"
        for slave in slaves:
            slave.work()
        if master.now >= next_tick:
            next_tick += TICK
            for peer in (client, *(slave.peer for slave in slaves)):
                node = master.core.swarm.registry.at(peer.name)
                assert node is not None
                node.heard = master.now
            master.core.tick(master.now)
            master.cycle()
