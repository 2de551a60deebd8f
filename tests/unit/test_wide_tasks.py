"""Tasks that take several workers of one slave: there, at the master, and that small ones do not starve them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from swarm_story import POLICIES, SYSTEM, Master, Slave, counters_of, ends, machine, make_policy
from test_slots import assign as plain
from test_slots import only, results, started, upstream
from timed_story import TimedSwarm

from concurrence.scheduling.ledger.queue import MAX_HELD
from concurrence.scheduling.reservations import PATIENCE_SECONDS
from concurrence.testing.simulation.workload import SlavePlan
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import FINISHED, RETURNED, Assign, AttemptLost, Cancel, Results, TakeBack
from concurrence.workers.slot_state import Instruction, Seen, SendToWorker, StartWorker, StopChunk
from concurrence.workers.slots import Slots


def wide(chunk: int, cores: int, count: int = 1) -> Parcel[Assign]:
    parcel = plain(chunk, count)
    message = parcel.message
    return Parcel(Assign(1, chunk, 7, message.function, 1, count, cores=cores), parcel.frames)


def sent(instructions: list[Instruction]) -> list[tuple[int, int]]:
    """Which chunk went to which worker."""
    return [
        (each.worker, parcel.message.chunk)
        for each in only(instructions, SendToWorker)
        for parcel in each.parcels
        if isinstance(parcel.message, Assign)
    ]


class TestSlots:
    def test_the_other_workers_that_it_takes_get_nothing(self) -> None:
        slots = started(3)
        assert sent(slots.assign(wide(1, 2))) == [(1, 1)]
        for chunk in (2, 3):
            assert sent(slots.assign(plain(chunk))) == [(3, chunk)]
        assert not sent(slots.assign(plain(4))), "the third worker has its two, the others are taken"
        slots.sanity_check()
        done = slots.worker_results(1, results(1, [100]))
        assert sent(done) == [(1, 4)]
        assert sent(slots.assign(plain(5))) == [(2, 5)]

    def test_it_waits_until_so_many_are_free_and_nothing_overtakes_it(self) -> None:
        slots = started(2)
        slots.assign(plain(1, 1))
        slots.assign(plain(2, 1))
        assert not sent(slots.assign(wide(3, 2)))
        assert not sent(slots.assign(plain(4, 1)))
        assert not sent(slots.worker_results(1, results(1, [100])))
        assert sent(slots.worker_results(2, results(2, [200]))) == [(1, 3)]
        assert sent(slots.worker_results(1, results(3, [300]))) == [(1, 4)]

    def test_what_is_behind_it_goes_on_when_it_is_taken_back(self) -> None:
        slots = started(2)
        slots.assign(plain(1, 1))
        slots.assign(wide(2, 2))
        slots.assign(plain(3, 1))
        told = slots.take_back(2, kill=False)
        assert [message.statuses for message in upstream(told)] == [bytes([RETURNED])]
        assert sent(told) == [(2, 3)]

    def test_a_worker_that_dies_beside_it_is_replaced_and_stays_free(self) -> None:
        slots = started(2)
        slots.assign(wide(1, 2))
        (start,) = only(slots.worker_exited(2, Seen(), "died", 0, ""), StartWorker)
        assert not sent(slots.worker_ready(start.worker))
        assert not sent(slots.assign(plain(2, 1)))
        slots.sanity_check()
        assert sent(slots.worker_results(1, results(1, [100]))) == [(1, 2)]

    def test_its_own_worker_frees_the_others_when_it_dies(self) -> None:
        slots = started(2)
        slots.assign(wide(1, 2))
        slots.assign(plain(2, 1))
        told = slots.worker_exited(1, Seen(1, 0), "died", 0, "")
        assert [type(message) for message in upstream(told)] == [AttemptLost]
        assert sent(told) == [(2, 2)]

    def test_nothing_is_moved_to_a_worker_that_it_takes(self) -> None:
        slots = started(3)
        slots.assign(wide(1, 2))
        slots.assign(plain(2, 1))
        slots.assign(plain(3, 1))
        assert not only(slots.worker_seen(3, Seen(2, 0)), StopChunk)

    def test_it_leaves_less_room_to_pull(self) -> None:
        slots = started(3)
        slots.assign(wide(1, 2))
        assert (slots.room, slots.credit) == (2, 6)
        slots.assign(plain(2))
        assert slots.room == 1

    def test_one_that_takes_more_than_there_are_takes_all(self) -> None:
        slots = Slots(2)
        slots = started(2)
        assert sent(slots.assign(wide(1, 5))) == [(1, 1)]
        assert not sent(slots.assign(plain(2)))
        slots.sanity_check()


def running(slave: Slave, chunks: list[Parcel[Assign]]) -> int:
    """Workers that these chunks take."""
    return sum(chunk.message.cores for chunk in chunks)


@pytest.mark.usefixtures("each_policy")
class TestMaster:
    def test_the_slave_is_told_and_gets_fewer_others(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(4, 8))
        client.define()
        client.push(1, range(1), resources={"cpu": 3.0}, priority=1)
        client.push(2, range(1, 30))
        chunks = slave.pull()
        assert [chunk.message.cores for chunk in chunks].count(3) == 1
        assert len(chunks) == 1 + 2, "three workers' part of the credit is used by the one"

    def test_a_task_that_takes_one_worker_is_like_any_other(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(2, 4))
        client.define()
        client.push(1, range(10), resources={"cpu": 1.0})
        client.push(2, range(10, 20), resources={"cpu": 0.5})
        assert len(slave.pull()) == 4
        assert all(not run.spec.resources for run in master.ledger.jobs[SYSTEM].queue.runs())

    def test_it_does_not_go_where_too_many_are_busy(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(4, 4))
        client.define()
        client.push(1, range(2))
        first = slave.pull()
        assert len(first) == 2
        client.push(2, [10], resources={"cpu": 3.0})
        assert not slave.take(Assign)
        slave.answer(first[0])
        assert counters_of(*slave.take(Assign)) == [10]

    def test_all_ends_well_after_losses_and_retries(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave("a", machine(3, 6))
        client.define()
        client.push(1, range(6), resources={"cpu": 2.0}, max_retries=2)
        (chunk,) = slave.take(Assign)
        slave.lose(chunk, counters_of(chunk)[0])
        (again,) = slave.take(Assign)
        assert (again.message.cores, again.message.attempt) == (2, 2)
        slave.vanish()
        master.wait(3.0, client)
        other = master.slave("b", machine(2, 4))
        assert sorted(other.work_off()) == list(range(6))
        assert set(ends(client.messages(Results)).values()) == {FINISHED}

    def test_a_stream_of_small_tasks_does_not_starve_a_large_one(self, each_policy: str) -> None:
        swarm = TimedSwarm(each_policy, [SlavePlan(2, 1.0, 0.0)] * 2)
        other = swarm.push([0.05] * 4_000)
        swarm.let_pass(1.0)
        assert swarm.wait(swarm.push([0.05], resources={"cpu": 2.0})) < PATIENCE_SECONDS + 2.0
        assert other.work.left > 1_000
        assert not len(swarm.master.core.swarm.reservations)

    def test_nor_one_that_needs_many_of_a_label(self, each_policy: str) -> None:
        swarm = TimedSwarm(each_policy, [SlavePlan(4, 1.0, 0.0, {"gpu": 4.0})] * 2)
        other = swarm.push([0.05] * 3_000, resources={"gpu": 1.0})
        swarm.let_pass(1.0)
        assert swarm.wait(swarm.push([0.05], resources={"gpu": 4.0})) < PATIENCE_SECONDS + 2.0
        assert other.work.left > 1_000

    def test_nor_smaller_ones_of_its_own_job_one_of_higher_priority(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave("s", machine(4, 4, gpu=2.0))
        client.define()
        client.push(1, range(60), resources={"gpu": 1.0})
        running = slave.pull()
        assert len(running) == 2
        client.push(2, [99], resources={"gpu": 2.0}, priority=50)
        begun: list[int] = []
        for _ in range(10):  # one of the two ends every second, and is two seconds old then
            master.wait(1.0, client, slave)
            slave.answer(running.pop(0), busy=2.0)
            came = slave.pull()
            begun += [counter for chunk in came for counter in counters_of(chunk)]
            running += came
            if not running or 99 in begun:
                break
        assert 99 in begun
        assert len(begun) <= 3

    def test_of_two_that_wait_in_one_job_the_first_gets_the_slave_that_is_kept(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave("s", machine(4, 8, gpu=3.0))
        client.define()
        client.push(1, range(30), resources={"gpu": 1.0})
        running = slave.pull()
        client.push(2, [90], resources={"gpu": 2.0}, priority=1)
        master.wait(PATIENCE_SECONDS / 2, client, slave)
        client.push(3, [99], resources={"gpu": 3.0}, priority=2)
        master.wait(PATIENCE_SECONDS + 0.5, client, slave)
        for chunk in running[:2]:
            slave.answer(chunk, busy=1.0)
        assert not slave.pull(), "two are free, and it needs three"
        slave.answer(running[2], busy=1.0)
        assert counters_of(*slave.pull()) == [99]

    def test_what_a_slave_is_kept_for_already_comes_before_what_is_pushed_then(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave("s", machine(4, 8, gpu=3.0))
        client.define()
        client.push(1, range(3), resources={"gpu": 1.0})
        running = slave.pull()
        client.push(2, [90], resources={"gpu": 2.0}, priority=1)
        master.wait(PATIENCE_SECONDS + 0.5, client, slave)
        client.push(3, [99], resources={"gpu": 3.0}, priority=2)
        master.wait(PATIENCE_SECONDS + 0.5, client, slave)
        for chunk in running[:2]:
            slave.answer(chunk, busy=1.0)
        (second,) = slave.pull()
        assert counters_of(second) == [90]
        for chunk in (running[2], second):
            slave.answer(chunk, busy=1.0)
        assert counters_of(*slave.pull()) == [99]
        assert not len(master.core.swarm.reservations)

    def test_one_slave_in_four_is_kept_free_at_most(self) -> None:
        master = Master()
        client = master.client()
        others = [master.client(f"other {number}", 5 + number) for number in range(6)]
        slaves = [master.slave(f"{number}", machine(2, 4, gpu=2.0)) for number in range(8)]
        client.define()
        client.push(1, range(100), resources={"gpu": 1.0})
        held = {slave: slave.take(Assign) for slave in slaves}
        assert sum(map(len, held.values())) == 16
        for number, other in enumerate(others):
            other.define()
            other.push(1, [0], system=5 + number, resources={"gpu": 2.0})
        master.wait(PATIENCE_SECONDS + 1.0, client, *others, *slaves)
        assert len(master.core.swarm.reservations) == 2
        kept = [slave for slave in master.core.swarm.registry.slaves() if slave.kept_for]
        assert len(kept) == 2
        for slave, chunks in held.items():
            slave.answer(chunks[0])
            assert bool(slave.take(Assign)) == (slave.origin.key not in {f"key of {each.id}" for each in kept})
        for slave, chunks in held.items():
            if slave.origin.key in {f"key of {each.id}" for each in kept}:
                slave.answer(chunks[1])
                assert [len(counters_of(chunk)) for chunk in slave.take(Assign)] == [1]

    def test_what_was_cancelled_has_waited_for_nothing(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave("s", machine(2, 4, gpu=2.0))
        client.define()
        client.push(1, [0], resources={"gpu": 1.0})
        assert slave.pull()
        client.push(2, [1], resources={"gpu": 2.0})
        master.wait(PATIENCE_SECONDS / 2, client, slave)
        client.say(Cancel(SYSTEM, [1]))
        master.wait(PATIENCE_SECONDS * 4, client, slave)
        client.push(3, [2], resources={"gpu": 2.0})
        master.wait(PATIENCE_SECONDS / 2, client, slave)
        assert not len(master.core.swarm.reservations)
        master.wait(PATIENCE_SECONDS, client, slave)
        assert len(master.core.swarm.reservations) == 1

    def test_nobody_is_kept_free_for_a_client_that_does_not_take_its_results(self) -> None:
        master = Master(delivery_window=30)
        client, other = master.client("a"), master.client("b", 78)
        slave = master.slave("s", machine(2, 4))
        client.define()
        other.define()
        client.push(1, range(16))
        chunks = slave.pull()
        client.push(2, [16], resources={"cpu": 2.0}, priority=1)
        master.wait(PATIENCE_SECONDS + 0.5, client, other, slave)
        for chunk in chunks:  # the client acknowledges none
            slave.answer(chunk, busy=1.0)
            master.wait(0.25, client, other, slave)
        other.push(1, range(3), system=78)
        assert slave.work_off() == [0, 1, 2]
        assert not len(master.core.swarm.reservations)

    def test_nor_for_what_cannot_be_reached_behind_many_that_come_first(self) -> None:
        master = Master()
        client, other = master.client("a"), master.client("b", 78)
        slave = master.slave("s", machine(2, 4, gpu=2.0))
        client.define()
        other.define()
        other.push(1, range(2), system=78, resources={"gpu": 1.0})
        chunks = slave.pull()
        client.push(2, [0], resources={"gpu": 2.0})
        master.wait(PATIENCE_SECONDS + 0.5, client, other, slave)
        assert len(master.core.swarm.reservations) == 1
        for number in range(1, MAX_HELD + 3):
            client.push(2 + number, [number], priority=number, resources={"gpu": 1.0})
        for chunk in chunks:
            slave.answer(chunk)
        done: list[int] = []
        for _ in range(10):
            done += slave.work_off()
            master.wait(PATIENCE_SECONDS, client, other, slave)
        assert sorted(done) == list(range(MAX_HELD + 3))

    def test_nobody_is_kept_free_for_what_is_cancelled_or_whose_slave_is_gone(self) -> None:
        master = Master()
        client = master.client()
        slave = master.slave("a", machine(1, 2, gpu=2.0))
        client.define()
        client.push(1, [0], resources={"gpu": 1.0})
        assert slave.take(Assign)
        client.push(2, [1], resources={"gpu": 2.0}, priority=1)
        master.wait(PATIENCE_SECONDS + 0.5, client, slave)
        assert len(master.core.swarm.reservations) == 1
        slave.vanish()
        master.wait(2.0, client)
        assert not len(master.core.swarm.reservations)
        again = master.slave("b", machine(1, 2, gpu=2.0))
        assert sorted(again.work_off()) == [0, 1]


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=60, deadline=None)
@given(
    needs=st.lists(st.integers(1, 4), min_size=1, max_size=30),
    order=st.lists(st.integers(0, 30), min_size=1, max_size=60),
)
def test_at_no_time_do_running_tasks_take_more_workers_than_there_are(
    policy: str, needs: list[int], order: list[int]
) -> None:
    master = Master(scheduler=make_policy(policy))
    client = master.client()
    peers = [master.slave(name, machine(workers, 2 * workers)) for name, workers in (("a", 2), ("b", 4))]
    homes = [Home(peer, workers) for peer, workers in zip(peers, (2, 4), strict=True)]
    client.define()
    for number, cores in enumerate(needs):
        client.push(number + 1, [number], resources={"cpu": float(cores)})
    for choice in order * 20:
        home = homes[choice % 2]
        home.receive()
        home.answer(choice)
        if not master.ledger.jobs[SYSTEM].tasks:
            break
        master.wait(0.25, client, *peers)
    assert set(ends(client.messages(Results))) <= set(range(len(needs)))
    for _ in range(200):
        for home in homes:
            home.receive()
            home.answer(0)
        master.wait(0.25, client, *peers)
    assert not master.ledger.jobs[SYSTEM].tasks, "something waits for ever"


class Home:
    """A slave with the real state machine of its workers."""

    def __init__(self, peer: Slave, workers: int) -> None:
        self.peer = peer
        self.slots = started(workers)
        self.at: dict[int, Parcel[Assign]] = {}  # what each worker runs, by the worker's number

    def receive(self) -> None:
        for chunk in self.peer.pull(max(0, self.slots.room)):
            self.carry_out(self.slots.assign(Parcel(chunk.message, chunk.frames)))
        for message in self.peer.messages(TakeBack):
            self.carry_out(self.slots.take_back(message.chunk, kill=False))

    def answer(self, choice: int) -> None:
        """One of the running chunks ends."""
        states = [(number, state) for number, state in self.slots.states.items() if state.chunks]
        taken = sum(state.chunks[0].cores for _, state in states)
        assert taken <= self.slots.workers, "tasks run on more workers than there are"
        if not states:
            return
        number, state = states[choice % len(states)]
        chunk = state.chunks[0]
        self.carry_out(self.slots.worker_results(number, results(chunk.number, chunk.counters())))

    def carry_out(self, instructions: list[Instruction]) -> None:
        self.slots.sanity_check()
        for message in upstream(instructions):
            self.peer.say(message, results(message.chunk, message.counters).frames)


def test_while_chunks_take_long_none_is_pulled_to_wait() -> None:
    slots = started(2)
    for chunk in range(1, 5):
        slots.assign(plain(chunk, 1))
    assert slots.room == 0
    for chunk in (1, 2, 3):
        parcel = results(chunk, [chunk * 100])
        worker = next(number for number, state in slots.states.items() if state.chunks[0].number == chunk)
        slots.worker_results(worker, Parcel(replace(parcel.message, busy=1.0), parcel.frames))
    assert slots.room == 1, "one of the two workers has nothing to do"
    for chunk in range(5, 25):
        slots.assign(plain(chunk, 1))
        worker = next(number for number, state in slots.states.items() if state.chunks)
        first = slots.states[worker].chunks[0]
        slots.worker_results(worker, results(first.number, first.counters()))
    assert slots.room == 3
