"""What the master's core costs per task, with 10, 1,000 and 10,000 slaves that answer at once; and its memory.

    python benchmarks/scheduler_cost.py [--slaves N ...] [--tasks N] [--batch N] [--seconds S ...] [--queued N]

The pure core in memory, without sockets and codec: what is measured is the time inside it, from the first push to
the last result, with the ticks that a real master would have had in that time. A task that takes longer than the
2 ms of a chunk travels alone: that is the worst case, the price of a chunk per task.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import gc
import multiprocessing
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Callable
from itertools import count

import psutil

from concurrence.component import Component, ComponentManager
from concurrence.env.config import Config
from concurrence.scheduling.api import Limits
from concurrence.scheduling.core import MasterCore
from concurrence.scheduling.generic import GenericTaskScheduler
from concurrence.scheduling.pushpull import ZMQTaskScheduler
from concurrence.scheduling.strategies import GenericTaskScheduleStrategy
from concurrence.transport.api import Origin
from concurrence.transport.security import Role
from concurrence.wire.codec import Parcel, decode_tasks, encode_results, encode_tasks
from concurrence.wire.digests import function_digest
from concurrence.wire.messages import (
    PROTOCOL_VERSION,
    Assign,
    ChunkResults,
    Claimed,
    DefineFunction,
    Delivered,
    Hello,
    Message,
    PackedResult,
    PackedTask,
    PushTasks,
    Results,
    SlaveDescription,
    ToMaster,
)

_POLICIES = {"push/pull": ZMQTaskScheduler, "generic": GenericTaskScheduler}
_PUSH = 512  # tasks in one push
_WORKERS = 2
_CREDIT = 4
_TICK = 0.25
_BLOB = b"a function"
_ARGUMENTS = b"0123456789"


class Components(ComponentManager):
    """The strategy, and options with their defaults."""

    def __init__(self) -> None:
        super().__init__()
        self.config = Config.from_layers(environ={})
        self.register(GenericTaskScheduleStrategy)


class Swarm:
    """A core, slaves that answer what they are given, and clients.

    Args:
        policy: The task scheduler.
        slaves: How many slaves.
        seconds: What one task is said to take.
    """

    def __init__(self, policy: type[Component], slaves: int, seconds: float) -> None:
        self.seconds = seconds
        self.inside = 0.0  # seconds in the core
        self.finished = 0
        self._tickets = map("ticket {}".format, count())
        limits = Limits(lease=1e9, task_window=1 << 40, byte_window=1 << 50)
        scheduler = policy(Components())
        assert isinstance(scheduler, ZMQTaskScheduler | GenericTaskScheduler)
        self.core = MasterCore(scheduler, limits, master="m" * 16, package="1", new_ticket=self._tickets.__next__)
        self._next_tick = 0.0
        self._held: dict[bytes, deque[Parcel[Assign]]] = {}
        self._ready: deque[bytes] = deque()  # a slave for each chunk that it has
        self._room: deque[bytes] = deque()  # a slave for each further chunk that it pulls
        self._queue: deque[Parcel[Assign]] = deque()
        for number in range(slaves):
            peer = b"slave %d" % number
            self._held[peer] = deque()
            self._room.extend([peer] * _CREDIT)
            machine = SlaveDescription(_WORKERS, _CREDIT, _WORKERS, 1 << 30, "cpu", 10.0, "Linux", {})
            self.say(peer, Parcel(_hello("slave", peer, slave=machine)), Role.SLAVE)
            self.conclude()
        self.joined = self.inside
        self.inside = 0.0

    def client(self, number: int) -> bytes:
        """A client that has defined its function."""
        peer = b"client %d" % number
        self.say(peer, Parcel(_hello("client", peer, system=number + 1)))
        digest = function_digest("f", 0, "3.11", [], [], _BLOB)
        self.say(peer, Parcel(DefineFunction(1, 1, digest, "f", 0, "3.11", [], []), [_BLOB]))
        self.conclude()
        return peer

    def push(self, peer: bytes, number: int, tasks: int) -> None:
        """A client pushes plain tasks."""
        for push, first in enumerate(range(0, tasks, _PUSH), 1):
            packed = [PackedTask(n, _ARGUMENTS) for n in range(first, min(first + _PUSH, tasks))]
            body = encode_tasks(packed)
            self.say(peer, Parcel(PushTasks(1, push, number + 1, 1), [body]))
            self.conclude()
            self._pull()

    def say(self, peer: bytes, parcel: Parcel[ToMaster], role: Role = Role.CLIENT) -> None:
        """A peer sends a message."""
        begun = time.thread_time()
        self.core.receive(peer, parcel, lambda: Origin(role, peer.decode(), "memory"), self.inside)
        self.inside += time.thread_time() - begun

    def conclude(self) -> None:
        """The end of a cycle; what the core has to say is taken in at once."""
        begun = time.thread_time()
        if self.inside >= self._next_tick:
            self._next_tick = self.inside + _TICK
            self.core.tick(self.inside)
        self.core.conclude(self.inside)
        self.inside += time.thread_time() - begun
        outbox = self.core.outbox
        messages, promises, work = outbox.messages, outbox.promises, outbox.work
        outbox.clear()
        self._queue.extend(work)
        for peer, parcels in messages.items():
            for parcel in parcels:
                if isinstance(parcel.message, Assign):
                    self._take(peer, Parcel(parcel.message, parcel.frames))
        acknowledged: dict[bytes, int] = {}
        for peer, parcel in promises:
            self._count(peer, parcel, acknowledged)
        for peer, delivery in acknowledged.items():
            self.say(peer, Parcel(Delivered(delivery)))

    def _count(self, peer: bytes, parcel: Parcel[Message], acknowledged: dict[bytes, int]) -> None:
        if isinstance(parcel.message, Results):
            self.finished += len(parcel.message.counters)
            acknowledged[peer] = parcel.message.delivery

    def _take(self, peer: bytes, parcel: Parcel[Assign]) -> None:
        self._held[peer].append(parcel)
        self._ready.append(peer)

    def _pull(self) -> None:
        """Slaves with room take what is on the queue."""
        while self._queue and self._room:
            peer = self._room.popleft()
            parcel = self._queue.popleft()
            self._take(peer, parcel)
            self.say(peer, Parcel(Claimed([parcel.message.chunk])))

    def work(self, batch: int) -> bool:
        """Slaves pull, then so many chunks are answered in one cycle; False if there is nothing to do."""
        self._pull()
        done = 0
        while self._ready and done < batch:
            peer = self._ready.popleft()
            parcel = self._held[peer].popleft()
            self._room.append(peer)
            counters = [task.counter for task in decode_tasks(parcel.frames)]
            body = encode_results([PackedResult(b"result")] * len(counters))
            message = ChunkResults(
                1, parcel.message.chunk, counters, bytes(len(counters)), self.seconds * len(counters)
            )
            self.say(peer, Parcel(message, [body]))
            done += 1
        self.conclude()
        return done > 0


def _hello(kind: str, peer: bytes, slave: SlaveDescription | None = None, system: int = 0) -> Hello:
    name = peer.decode()
    return Hello(
        PROTOCOL_VERSION, "1", kind, name, f"session of {name}", name, "3.11", 1, slave=slave, system=system
    )


def cost(policy: type[Component], slaves: int, seconds: float, tasks: int, batch: int) -> tuple[float, float]:
    """Microseconds in the core for one task, and for one slave that joins."""
    swarm = Swarm(policy, slaves, seconds)
    peer = swarm.client(0)
    swarm.push(peer, 0, tasks)
    while swarm.work(batch):
        pass
    if swarm.finished != tasks:
        raise RuntimeError(f"{swarm.finished} of {tasks} tasks finished")
    return 1e6 * swarm.inside / tasks, 1e6 * swarm.joined / slaves


def crowd(policy: type[Component], clients: int, busy: int, tasks: int) -> float:
    """Microseconds in the core for one task with so many clients connected, of which so many have work."""
    swarm = Swarm(policy, 10, 0.01)
    peers = [swarm.client(number) for number in range(clients)]
    swarm.inside = 0.0
    for number in range(0, clients, clients // busy):
        swarm.push(peers[number], number, tasks // busy)
    while swarm.work(16):
        pass
    return 1e6 * swarm.inside / swarm.finished


def delay(policy: type[Component], crowd_tasks: int) -> int:
    """How many chunks are done before ten tasks, of a client that comes while another has so many queued, are."""
    swarm = Swarm(policy, 10, 0.01)
    first, second = swarm.client(0), swarm.client(1)
    swarm.push(first, 0, crowd_tasks)
    for _ in range(10):
        swarm.work(16)
    swarm.push(second, 1, 10)
    job = swarm.core.swarm.ledger.jobs[2]
    before = swarm.finished
    while job.finished < 10:
        swarm.work(1)
    return swarm.finished - before


def memory(queued: int) -> tuple[float, float]:
    """Bytes of one queued task beyond its payload: as Python counts them, and as resident memory."""
    tracemalloc.start()
    traced = _filled(queued, lambda: tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    # In a process of its own: here memory is free that earlier measurements have left.
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return traced, pool.apply(resident, (queued,))


def resident(queued: int) -> float:
    """Bytes of resident memory of one queued task."""
    process = psutil.Process()
    return _filled(queued, lambda: process.memory_info().rss)


def _filled(queued: int, used: Callable[[], int]) -> float:
    swarm = Swarm(ZMQTaskScheduler, 1, 0.01)
    peer = swarm.client(0)
    gc.collect()
    before = used()
    swarm.push(peer, 0, queued)
    gc.collect()
    return (used() - before) / queued - len(_ARGUMENTS)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--slaves", type=int, nargs="+", default=[10, 1_000, 10_000])
    parser.add_argument("--tasks", type=int, default=20_000, help="at least; and ten times the slaves")
    parser.add_argument("--batch", type=int, default=16, help="answers that the master takes in one cycle")
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.01], help="that one task takes")
    parser.add_argument("--queued", type=int, default=200_000, help="for the memory of a queued task")
    arguments = parser.parse_args()
    for name, policy in _POLICIES.items():
        for seconds in arguments.seconds:
            first = 0.0
            for slaves in arguments.slaves:
                tasks = max(arguments.tasks, 10 * slaves)
                spent, joined = cost(policy, slaves, seconds, tasks, arguments.batch)
                first = first or spent
                print(
                    f"{name:<10} {slaves:>7,} slaves, tasks of {1e3 * seconds:g} ms: {spent:8.2f} us per task"
                    f" (x {spent / first:.2f}), {joined:8.1f} us per join",
                    flush=True,
                )
        few, many = crowd(policy, 10, 10, 20_000), crowd(policy, 5_000, 10, 20_000)
        print(f"{name:<10} 10 clients with work of 10: {few:.2f}, of 5,000: {many:.2f} us per task")
        print(f"{name:<10} a million tasks of another client delay ten by {delay(policy, 1_000_000)} chunks")
    traced, real = memory(arguments.queued)
    print(f"a queued task: {traced:.0f} bytes beyond its payload as traced, {real:.0f} of resident memory")
    return 0


if __name__ == "__main__":
    sys.exit(main())
