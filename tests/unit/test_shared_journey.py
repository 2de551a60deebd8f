"""Shared objects between owner, master and slaves: sent once to each, bounded, forgotten when unused."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from owner_story import SYSTEM as ID
from owner_story import NoCode, results
from swarm_story import SYSTEM, Master, Owner, Slave, definition

from concurrence import Shared
from concurrence.ids import SystemId
from concurrence.scheduling.functions import FunctionTable
from concurrence.tasks.api import ITaskMaster, ITaskSystem, Task
from concurrence.tasks.functions import FunctionTask
from concurrence.tasks.ownership import OwnedTasks
from concurrence.tasks.packing import TaskPacker
from concurrence.wire.codec import Parcel, decode_tasks, encode_tasks
from concurrence.wire.digests import bundle_digest
from concurrence.wire.faults import Fault
from concurrence.wire.messages import (
    Cancel,
    DefineBundle,
    DefineFunction,
    ForgetFunction,
    NeedFunction,
    PackedTask,
    Pong,
    PushRejected,
    PushTasks,
    Refusal,
    Results,
)

KILO = 1_000


def length(data: Shared[Any]) -> int:
    return len(data.value)


def length_of_both(one: Shared[Any], other: Shared[Any]) -> int:
    return len(one.value) + len(other.value)


def once_with(data: Shared[Any], n: int) -> Task:
    """A task of a function that lives no longer than it."""

    def get() -> Any:
        return data.value[n]

    return FunctionTask(get)


class System(ITaskSystem):
    def __init__(self, data: Shared[Any]) -> None:
        self.data = data

    def generate_tasks(self, master: ITaskMaster) -> list[Task]:
        return []

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: Any) -> None:
        return None

    def gather_result(self, master: ITaskMaster) -> None:
        return None


class Client:
    """An owner's tasks at a master's core."""

    def __init__(self, master: Master) -> None:
        self.peer: Owner = master.client()
        self.tasks = OwnedTasks(SystemId(SYSTEM), "client", TaskPacker(NoCode()))
        self.sent: list[Any] = []

    def push(self, *tasks: Task) -> None:
        for task in tasks:
            self.tasks.add(task)
        for push in self.tasks.take_pushes():
            for parcel in push.parcels:
                self.sent.append(parcel.message)
                self.peer.say(parcel.message, parcel.frames)

    def settle(self) -> list[Any]:
        """Take the ends that have come, and the rejections."""
        ended = [end for parcel in self.peer.take(Results) for end in self.tasks.settle(parcel)]
        return [(result, error) for _, result, error in ended]

    def told(self, kind: type) -> list[Any]:
        found = [message for message in self.sent if isinstance(message, kind)]
        self.sent = [message for message in self.sent if not isinstance(message, kind)]
        return found


@pytest.fixture
def master() -> Master:
    return Master()


def work_off(client: Client, slave: Slave) -> None:
    slave.work_off()
    client.settle()


class TestOnce:
    def test_to_the_master_and_to_each_slave(self, master: Master) -> None:
        client, slaves = Client(master), [master.slave("one"), master.slave("two")]
        data = Shared(np.zeros(KILO))
        client.push(*(FunctionTask(length, (data,)) for _ in range(20)))
        client.push(*(FunctionTask(length, (data,)) for _ in range(20)))
        assert len(client.told(DefineBundle)) == 2, "a head and a piece"
        for slave in slaves:
            slave.work_off()
            assert len(slave.take(DefineBundle)) == 2

    def test_to_a_slave_that_asks_for_a_function_that_is_under_way(self, master: Master) -> None:
        client, slave = Client(master), master.slave()
        data = Shared(np.zeros(KILO))
        client.push(FunctionTask(length, (data,)))
        (chunk,) = slave.pull()
        slave.say(NeedFunction(chunk.message.function))
        assert len(slave.take(DefineBundle)) == 2
        function, again = slave.messages(DefineFunction)
        assert function == again

        slave.say(NeedFunction(chunk.message.function, function.bundles[1:]))
        assert [message.digest for message in slave.messages(DefineBundle)] == function.bundles[1:]
        slave.one(DefineFunction)

    def test_with_a_sign_of_life_for_each_piece(self, master: Master) -> None:
        client = Client(master)
        data = Shared(np.arange(4_000 * KILO))
        client.push(FunctionTask(length, (data,)))
        assert len(client.told(DefineBundle)) == 4, "a head, what is not in buffers, and two pieces"
        assert len(client.peer.take(Pong)) == 2, "its own pings wait behind the pieces"

    def test_again_to_a_slave_that_comes_back(self, master: Master) -> None:
        client, slave = Client(master), master.slave()
        data = Shared(np.zeros(KILO))
        client.push(FunctionTask(length, (data,)))
        work_off(client, slave)
        slave.vanish()
        back = master.slave(resumes=True)
        client.push(FunctionTask(length, (data,)))
        work_off(client, back)
        assert len(back.take(DefineBundle)) == 2


class TestForgotten:
    def test_when_the_handle_and_its_tasks_are_gone(self, master: Master) -> None:
        client, slave = Client(master), master.slave()
        client.push(FunctionTask(length, (Shared(np.zeros(KILO)),)))
        (number,) = [message.number for message in client.told(DefineFunction) if message.bundles]
        gc.collect()
        client.push(FunctionTask(len, ([],)))
        assert client.told(ForgetFunction) == [], "its task is unfinished"
        work_off(client, slave)
        gc.collect()
        client.push(FunctionTask(len, ([],)))
        assert number in [message.number for message in client.told(ForgetFunction)]
        assert slave.messages(ForgetFunction)
        assert master.core.swarm.functions.bytes_of("client") == 0
        work_off(client, slave)

    def test_not_while_the_handle_lives(self, master: Master) -> None:
        client, slave = Client(master), master.slave()
        data = Shared(np.zeros(KILO))
        for _ in range(3):
            client.push(FunctionTask(length, (data,)))
            work_off(client, slave)
            gc.collect()
        client.push(FunctionTask(len, ([],)))
        assert client.told(ForgetFunction) == []
        assert len(client.told(DefineBundle)) == 2

    def test_one_after_the_other_without_end(self) -> None:
        master = Master(code_window=50 * KILO)
        client, slave = Client(master), master.slave()
        kept = Shared(np.ones(KILO))
        for n in range(300):
            data = Shared(np.full(KILO, n))
            client.push(FunctionTask(length, (data,)), once_with(kept, n))
            work_off(client, slave)
            del data
            assert not client.peer.take(PushRejected)
        gc.collect()
        functions = master.core.swarm.functions
        assert functions.bytes_of("client") < 50 * KILO
        record = master.core.swarm.registry.slaves()[0]
        assert len(record.known) < 30
        assert len(client.tasks._sent.numbers) < 10  # pyright: ignore[reportPrivateUsage]
        assert len(slave.messages(ForgetFunction)) > 500
        kept_pieces = [digest for message in slave.messages(DefineBundle) for digest in [message.digest]]
        assert len(kept_pieces) == len(set(kept_pieces)), "what is still used is not sent again"

    @pytest.mark.parametrize(("size", "again"), [(10, False), (5 * KILO, True)])
    def test_beside_one_that_stays(self, master: Master, size: int, again: bool) -> None:
        client, slave = Client(master), master.slave()
        kept = Shared(np.ones(KILO))
        (pieces, *_) = [{blob.digest for blob in kept.content().blobs()}]
        sent: list[bytes] = []
        held: list[int] = []
        for n in range(20):
            client.push(FunctionTask(length_of_both, (kept, Shared(np.full(size, n)))))
            work_off(client, slave)
            sent += [message.digest for message in slave.messages(DefineBundle) if message.digest in pieces]
            held.append(master.core.swarm.functions.bytes_of("client"))
        assert (len(sent) > len(pieces)) == again, "only if keeping it costs more than to send it again"
        assert max(held[5:]) < 2.5 * 8 * (KILO + size), held

    def test_a_function_that_died_and_one_like_it(self, master: Master) -> None:
        client, slave = Client(master), master.slave()
        for _ in range(3):
            data = Shared(np.zeros(KILO))
            client.push(FunctionTask(length, (data,)))
            client.push(FunctionTask(length, (Shared(np.zeros(KILO)),)))
            work_off(client, slave)
            del data
            gc.collect()
        assert not client.peer.take(Refusal)
        assert len(client.tasks) == 0

    def test_a_system_is_kept_until_it_ends(self) -> None:
        tasks = OwnedTasks(ID, "client", TaskPacker(NoCode()))
        tasks.add_system(SystemId(9), System(Shared([1])))
        tasks.take_pushes()
        gc.collect()
        tasks.add_system(SystemId(10), System(Shared([2])))
        messages = [parcel.message for push in tasks.take_pushes() for parcel in push.parcels]
        assert not any(isinstance(message, ForgetFunction) for message in messages)
        tasks.end_system(SystemId(9))
        tasks.add_system(SystemId(11), System(Shared([3])))
        messages = [parcel.message for push in tasks.take_pushes() for parcel in push.parcels]
        assert [message.number for message in messages if isinstance(message, ForgetFunction)] == [1]

    def test_what_the_master_forgot_is_announced_anew(self) -> None:
        tasks = OwnedTasks(ID, "client", TaskPacker(NoCode()))
        data = Shared([1])
        tasks.add(FunctionTask(length, (data,)))
        tasks.take_pushes()
        tasks.forget_code()
        list(tasks.fail_pending(Fault("lost", "")))
        tasks.add(FunctionTask(length, (data,)))
        (push,) = tasks.take_pushes()
        assert sum(isinstance(parcel.message, DefineBundle) for parcel in push.parcels) == 2
        list(tasks.settle(results(1, [1])))

    def test_a_function_in_use_cannot_be_forgotten(self, master: Master) -> None:
        for state in ("queued", "assigned"):
            client, slave = master.client(state, system=ord(state[0])), master.slave()
            client.define()
            client.push(1, [0], system=ord(state[0]))
            if state == "assigned":
                slave.pull()
            client.say(ForgetFunction(1))
            assert "unfinished" in client.one(Refusal).text

    def test_a_cancelled_one_can(self, master: Master) -> None:
        client = master.client()
        client.define()
        client.push(1, range(10))
        client.say(Cancel(SYSTEM))
        client.say(ForgetFunction(1))
        client.say(ForgetFunction(1))  # repeated after a reconnect
        assert not client.take(Refusal)
        client.define()
        client.push(2, [10])
        assert not client.take(PushRejected)


class TestBounds:
    def test_too_much_is_refused_until_something_is_dropped(self) -> None:
        master = Master(code_window=20 * KILO)
        client, slave = Client(master), master.slave()
        kept = Shared(np.zeros(2 * KILO))
        client.push(FunctionTask(length, (kept,)))
        work_off(client, slave)
        more = Shared(np.ones(2 * KILO))
        client.push(FunctionTask(length, (more,)))
        rejection = client.peer.one(PushRejected)
        assert "20,000" in rejection.text
        assert "Shared" in rejection.hint
        self.reject(client, rejection)
        client.push(FunctionTask(length, (kept,)))
        assert not client.peer.take(PushRejected), "what is there can be used"
        work_off(client, slave)

        del kept
        gc.collect()
        client.push(FunctionTask(length, (more,)))
        assert not client.peer.take(PushRejected)
        work_off(client, slave)
        assert not client.peer.take(Refusal)
        assert not len(client.tasks)

    @staticmethod
    def reject(client: Client, rejection: PushRejected) -> None:
        push = next(m for m in client.told(PushTasks) if m.push == rejection.push)
        counters = list(client.tasks._pending)  # pyright: ignore[reportPrivateUsage]
        body = encode_tasks([PackedTask(counter, b"") for counter in counters])
        ends = list(client.tasks.reject(Parcel(push, [body]), Fault("lost", rejection.text)))
        assert len(ends) == len(decode_tasks([body]))

    def test_bytes_are_counted_per_owner_and_given_back(self) -> None:
        table = FunctionTable(byte_limit=100)
        blobs = [bytes([n]) * 60 for n in range(3)]
        digests = [bundle_digest(blob) for blob in blobs]
        table.define_bundle("a", DefineBundle(1, digests[0]), [blobs[0]])
        table.define_bundle("a", DefineBundle(1, digests[0]), [blobs[0]])
        table.define_bundle("a", DefineBundle(1, digests[1]), [blobs[1]])
        table.define_bundle("b", DefineBundle(1, digests[1]), [blobs[1]])
        assert (table.bytes_of("a"), table.bytes_of("b")) == (60, 60)
        assert table.define("a", definition(1, b"f", digests[1]), [b"f"]) == 0
        assert table.is_over("a")
        assert table.define("a", definition(1, b"f", digests[0]), [b"f"])
        assert table.define("b", definition(1, b"f", digests[1]), [b"f"])
        assert len(table.forget("a", 1)) == 1
        assert table.bytes_of("a") == 0
        assert table.forget("a", 1) == []
        table.define_bundle("a", DefineBundle(1, digests[1]), [blobs[1]])
        assert not table.is_over("a")
        assert table.define("a", definition(2, b"f", digests[1]), [b"f"])
        assert table.forget("b", 1) == [], "the other owner uses it too"
        table.forget_owner("a")
        assert table.bytes_of("a") == table.bytes_of("b") == 0
