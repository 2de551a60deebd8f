"""What clients are told of the swarm's time: from a worker's stopwatch through the master's sums to the answer."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from swarm_story import Master, Owner, Slave
from travelling import Worker

from concurrence.scheduling.usage import OTHERS, Usages
from concurrence.tasks.bundles import BundleCollector
from concurrence.tasks.functions import FunctionTask
from concurrence.tasks.packing import TaskPacker
from concurrence.wire.codec import Parcel, encode_results
from concurrence.wire.messages import (
    AskUsage,
    Assign,
    Bye,
    ChunkResults,
    PackedResult,
    SlaveUsage,
    Usage,
)
from concurrence.wire.usage_messages import MAX_USAGE_SLAVES
from concurrence.workers.worktime import WorkTime, cpu_time

# --- the stopwatch ---


class Clock:
    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now

    def after(self, seconds: float, call: Callable[[], Any]) -> Any:
        self.now += seconds
        return call()


def test_every_second_of_a_worker_is_in_one_sum() -> None:
    clock = Clock()
    time = WorkTime(clock)
    clock.after(1.0, time.waited)
    time.begin_chunk()
    clock.after(0.25, time.begin)
    assert clock.after(4.0, time.ran) == 4.0
    assert time.take()[:4] == (0.0, 0.25, 0.0, 1.0)
    clock.after(0.5, time.handled)
    clock.after(0.125, time.sent)
    clock.after(2.0, time.waited)
    clock.after(3.0, time.skip)
    assert time.take()[:4] == (0.0, 0.5, 0.125, 2.0)
    assert time.take() == (0.0, 0.0, 0.0, 0.0, 0.0)


def test_the_cpu_time_of_tasks_is_told_and_no_other() -> None:
    clock = Clock()
    time = WorkTime(Clock(), clock)
    clock.after(1.0, time.waited)
    time.begin_chunk()
    clock.after(0.25, time.begin)
    clock.after(4.0, time.ran)
    assert time.take().cpu == 4.0
    clock.after(0.5, time.handled)
    clock.after(0.125, time.sent)
    clock.after(2.0, time.ran)  # the chunk goes on
    assert time.take().cpu == 2.0
    clock.after(8.0, time.sent)
    assert time.take().cpu == 0.0


def test_cpu_time_is_that_of_all_threads_and_of_processes_that_have_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    before = cpu_time()
    subprocess.run([sys.executable, "-c", burn], check=True)
    thread = threading.Thread(target=exec, args=("import time\nwhile time.thread_time() < 0.3: pass",))
    thread.start()
    thread.join()
    assert cpu_time() - before >= 0.58
    before = cpu_time()
    threading.Event().wait(0.5)
    assert cpu_time() - before < 0.4


def test_packing_is_measured_once_and_counts_for_all_tasks_but_is_no_more_than_they_took() -> None:
    clock = Clock()
    time = WorkTime(clock)

    def unpack(data: bytes, buffers: Sequence[Any]) -> Any:
        clock.now += 0.1
        return data

    def pack(value: Any) -> tuple[bytes, Sequence[Any]]:
        clock.now += 0.2
        raise ValueError

    time.begin_chunk()
    slow_unpack, slow_pack = time.timed(10, unpack, pack)
    assert slow_unpack(b"x", ()) == b"x"
    with pytest.raises(ValueError):  # noqa: PT011  that one
        slow_pack(1)
    clock.after(4.7, time.ran)
    assert time.take().packing == pytest.approx(3.0)
    slow_unpack(b"x", ())
    clock.after(0.3, time.ran)
    assert time.take().packing == pytest.approx(1.0)
    time.begin_chunk()
    slow_unpack(b"x", ())
    assert clock.after(0.0, time.ran) == pytest.approx(0.1)
    assert time.take().packing == pytest.approx(0.1)


class Slow:
    """Takes a thousand steps of a clock to unpack."""

    unpacked = 0

    def __reduce__(self) -> Any:
        return make_slow, ()


def make_slow() -> Slow:
    Slow.unpacked += 1
    return Slow()


def test_an_executor_measures_with_the_last_task_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[int] = []
    original = WorkTime.timed

    def spy(self: WorkTime, tasks: int, unpack: Any, pack: Any) -> Any:
        def seen(data: Any, buffers: Any) -> Any:
            timed.append(len(data))
            return unpack(data, buffers)

        return original(self, tasks, seen, pack)

    monkeypatch.setattr(WorkTime, "timed", spy)
    worker = Worker()
    packer = TaskPacker(BundleCollector())
    calls = [packer.pack(FunctionTask(len, ("x" * n,), {})) for n in range(5)]
    outcomes = worker.run(calls)
    assert [pickle.loads(each.payload) for each in outcomes] == [0, 1, 2, 3, 4]
    assert timed == [len(calls[-1].arguments)]
    (message,) = [parcel.message for parcel in worker.sent if isinstance(parcel.message, ChunkResults)]
    assert 0 < message.packing <= message.busy
    assert message.handling > 0


# --- the master's sums ---


def answer(slave: Slave, chunk: Parcel[Assign], busy: float, *rest: float) -> None:
    """Results of a chunk of one task, with what the worker measured."""
    counters = [int(task) for task in range(chunk.message.count)]
    first = slave.master.ledger.assignments[chunk.message.chunk].pending
    counters = list(first)
    body = encode_results([PackedResult(b"0123456789") for _ in counters])
    slave.say(ChunkResults(1, chunk.message.chunk, counters, bytes(len(counters)), busy, *rest), [body])


def ask(client: Owner) -> Usage:
    client.say(AskUsage(5))
    usage = client.one(Usage)
    assert usage.request == 5
    return usage


@pytest.fixture
def master(each_policy: str) -> Master:
    return Master()


def test_who_pushed_nothing_used_nothing(master: Master) -> None:
    client = master.client()
    master.slave()
    usage = ask(client)
    assert (usage.seconds, usage.queued_tasks, usage.slaves) == (0.0, 0, [SlaveUsage("the slave", 2, 0.0)])


def test_a_wait_is_transfer_as_long_as_the_chunk_was_under_way_and_else_for_want_of_tasks(master: Master) -> None:
    client, slave = master.client(), master.slave()
    client.define()
    master.now += 4.0
    client.push(1, [0])  # here the client's time begins
    (chunk,) = slave.pull()
    master.now += 3.0  # of which the worker had the task for 2
    answer(slave, chunk, 2.0, 0.5, 0.25, 0.125, 90.0, 1.75)
    master.now += 5.0
    client.push(2, [1])
    (chunk,) = slave.pull()
    master.now += 1.5
    answer(slave, chunk, 1.0, 0.0, 0.0, 0.0, 5.4, 0.5)
    master.now += 7.0
    usage = ask(client)
    assert usage.seconds == pytest.approx(9.5)  # until the last result
    (row,) = usage.slaves
    assert (row.tasks, row.chunks, row.present) == (2, 2, pytest.approx(9.5))
    assert (row.busy, row.packing, row.handling, row.sending) == (3.0, 0.5, 0.25, 0.125)
    assert row.cpu == 2.25
    assert row.transfer == pytest.approx(0.75 + 0.5)
    assert row.starved == pytest.approx(
        0.0 + 4.9
    )  # the first wait was before the first push, but for the transfer
    assert row.sent == len(b"arg0") + len(b"arg1")
    assert row.received > 20


def test_time_goes_on_while_something_is_unfinished_and_tasks_that_wait_are_counted(master: Master) -> None:
    client = master.client()
    client.define()
    client.push(1, [0, 1])
    master.now += 2.0
    slave = master.slave()
    slave.pull()
    master.now += 1.0
    usage = ask(client)
    assert usage.seconds == pytest.approx(3.0)
    assert usage.queued_tasks >= 1
    assert usage.queued == pytest.approx(2.0 * usage.queued_tasks)
    assert usage.slaves[0].present == pytest.approx(1.0)


def test_a_slave_that_left_is_told_with_the_time_that_it_was_there(master: Master) -> None:
    client, slave = master.client(), master.slave()
    client.define()
    client.push(1, [0])
    (chunk,) = slave.pull()
    master.now += 2.0
    answer(slave, chunk, 1.0)
    slave.say(Bye("it stops"))
    client.push(2, [1])
    master.now += 3.0
    usage = ask(client)
    assert [(row.name, row.tasks, row.present) for row in usage.slaves] == [("the slave", 1, pytest.approx(2.0))]
    master.slave("again", name="the slave")
    master.now += 4.0
    (row,) = ask(client).slaves
    assert (row.tasks, row.present) == (1, pytest.approx(6.0))


def test_clients_are_told_apart_and_forgotten_when_they_leave(master: Master) -> None:
    mine, other = master.client(), master.client("other", system=78)
    slave = master.slave()
    for client, system in ((mine, 77), (other, 78)):
        client.define()
        client.push(1, [0], system=system)
        (chunk,) = slave.pull()
        answer(slave, chunk, 1.0)
    assert [ask(each).slaves[0].tasks for each in (mine, other)] == [1, 1]
    usages = master.core.swarm.usages
    assert len(usages) == 2
    mine.say(Bye("it ends"))
    assert len(usages) == 1
    usages.begin("gone", master.core.swarm.registry, master.now)
    assert len(usages) == 1


def test_what_a_slave_claims_is_held_within_reason(master: Master) -> None:
    client, slave = master.client(), master.slave()
    client.define()
    client.push(1, [0])
    (chunk,) = slave.pull()
    master.now += 1.0
    answer(slave, chunk, 1e14, 1e14, 1e14, 1e14, 1e14, 1e14)
    (row,) = ask(client).slaves
    assert row.packing <= row.busy <= 1e6
    assert row.cpu <= 1e6
    assert row.handling + row.sending + row.transfer + row.starved <= 2.0 + 1e-9


def test_where_cpu_time_is_not_measured_tasks_are_taken_to_have_had_a_core(master: Master) -> None:
    client, slave = master.client(), master.slave()
    client.define()
    client.push(1, [0])
    (chunk,) = slave.pull()
    master.now += 3.0
    answer(slave, chunk, 2.0)  # as a task manager of a plug-in may
    assert ask(client).slaves[0].cpu == 2.0


def test_an_answer_comes_once_a_cycle(master: Master) -> None:
    client = master.client()
    for number in (1, 2):
        client.say(AskUsage(number), conclude=False)
    master.cycle()
    assert [usage.request for usage in client.messages(Usage)] == [1]


def test_very_many_slaves_are_added_up(master: Master) -> None:
    client = master.client()
    slave = master.slave()
    client.define()
    client.push(1, [0])
    node: Any = master.core.swarm.registry.slave("slave")
    many: list[Any] = []
    for number in range(MAX_USAGE_SLAVES + 3):
        copy = type(node)(node.hello, node.origin, master.now, node.hello.slave)
        copy.name = f"slave {number}"
        many.append(copy)
    master.now += 2.0
    usage = Usages()
    usage.begin("client", master.core.swarm.registry, master.now - 2.0)
    told = usage.told("client", 1, master.ledger, many, master.now)
    assert len(told.slaves) == MAX_USAGE_SLAVES + 1
    (rest,) = [row for row in told.slaves if row.name == OTHERS]
    assert (rest.workers, rest.present) == (6, pytest.approx(2.0))
    assert slave.pull()
