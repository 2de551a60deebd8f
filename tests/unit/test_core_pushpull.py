"""Whole conversations with a master: the work queue, and the windows of owners."""

from __future__ import annotations

from swarm_story import SYSTEM, Master, Owner, Slave, counters_of, ends, machine

from concurrence.scheduling.assigning import SLOW_BYTES
from concurrence.scheduling.pushpull import LARGE_BYTES, UNCLAIMED_SECONDS
from concurrence.wire.codec import Parcel, encode_tasks
from concurrence.wire.messages import (
    FINISHED,
    RETURNED,
    Assign,
    Cancel,
    Claimed,
    DefineFunction,
    Delivered,
    NeedFunction,
    PackedTask,
    Ping,
    Pong,
    PushAccepted,
    PushRejected,
    PushTasks,
    Results,
    TakeBack,
)


class TestWorkQueue:
    def test_what_nobody_claims_is_given_out_again_and_the_late_copy_is_fenced(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, [0, 1])
        stuck, master.work[:] = list(master.work), []
        master.wait(0.5, slave, client)
        fresh = slave.take(Assign)
        assert [counters_of(chunk) for chunk in fresh] == [counters_of(chunk) for chunk in stuck]
        slave.say(Claimed([chunk.message.chunk for chunk in stuck]))
        assert all(message.kill for message in slave.messages(TakeBack))
        for chunk in stuck:
            slave.answer(chunk)
        assert not client.take(Results)
        for chunk in fresh:
            slave.answer(chunk)
        assert ends(client.messages(Results)) == {0: FINISHED, 1: FINISHED}

    def test_a_large_task_is_sent_to_a_slave_and_small_ones_are_pulled(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        for push, size in ((1, LARGE_BYTES + 1), (2, 10)):
            client.say(PushTasks(1, push, SYSTEM, 1), [encode_tasks([PackedTask(push, bytes(size))])])
        assert [counters_of(chunk) for chunk in slave.take(Assign)] == [[1]]
        assert [counters_of(chunk) for chunk in slave.pull()] == [[2]]
        master.wait(2.0, slave, client)
        assert not slave.take(Assign), "it is not sent again while it comes"

    def test_a_large_task_waits_for_a_slave_with_room(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave("s", machine(1, 1))
        client.define()
        for number in (1, 2):
            client.say(PushTasks(1, number, SYSTEM, 1), [encode_tasks([PackedTask(number, bytes(500_000))])])
        (first,) = slave.take(Assign)
        master.wait(1.0, slave, client)
        assert not slave.take(Assign)
        slave.answer(first)
        assert len(slave.take(Assign)) == 1

    def test_a_chunk_may_take_its_time_to_come_and_no_longer(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.say(PushTasks(1, 1, SYSTEM, 1), [encode_tasks([PackedTask(1, bytes(LARGE_BYTES))])])
        assert len(master.work) == 1
        master.wait(UNCLAIMED_SECONDS, slave, client)
        assert not slave.take(Assign), "a fifth of a second for the way, and what every chunk is given"
        master.wait(LARGE_BYTES / SLOW_BYTES + 0.5, slave, client)
        assert len(slave.take(Assign)) == 1

    def test_nothing_is_pushed_again_by_a_master_that_has_not_read_what_came(self) -> None:
        # The claims are among it: all would be done twice, and the master be further behind.
        for is_ever_up_to_date in (True, False):
            master = Master()
            client, slave = master.client(), master.slave("slave", machine(1, 2))
            client.define()
            client.push(1, [0])
            for _ in range(40):
                master.core.behind(master.now)
                master.wait(0.2, client, slave)
                assert not slave.take(Assign)
            for _ in range(15):
                if not is_ever_up_to_date:
                    master.core.behind(master.now)
                master.wait(0.2, client, slave)
            assert [chunk.message.attempt for chunk in slave.take(Assign)] == [2], "at the latest after a lease"

    def test_what_nobody_claimed_is_not_sent_to_a_slave_that_is_silent(self) -> None:
        master = Master()
        silent, speaks = master.slave("a", machine(1, 2)), master.slave("b", machine(1, 2))
        master.wait(2.0, speaks)
        client = master.client()
        client.define()
        client.push(1, range(4))
        (done,) = speaks.pull(1)
        master.wait(0.25, speaks, client)
        speaks.answer(done)
        master.work.clear()
        master.wait(0.5, speaks, client)
        assert not silent.take(Assign)
        again = speaks.take(Assign)
        assert [chunk.message.attempt for chunk in again] == [2, 2]
        assert len(silent.take(Ping)) == 1, "and is asked whether it is there"
        silent.say(Pong())
        assert [chunk.message.attempt for chunk in silent.take(Assign)] == [2]

    def test_labelled_work_goes_to_idle_slaves_though_they_say_little(self) -> None:
        master = Master()
        idle, busy = master.slave("a", machine(1, 2, gpu=2.0)), master.slave("b", machine(1, 2, gpu=2.0))
        master.wait(1.5, busy)
        client = master.client()
        client.define()
        client.push(1, range(2), resources={"gpu": 1.0})
        assert (len(idle.take(Assign)), len(busy.take(Assign))) == (1, 1)
        silent = Master()
        gone, speaks = silent.slave("a", machine(1, 2, gpu=2.0)), silent.slave("b", machine(1, 2, gpu=2.0))
        silent.wait(5.0, speaks)
        client = silent.client()
        client.define()
        client.push(1, range(2), resources={"gpu": 1.0})
        assert (len(gone.take(Assign)), len(speaks.take(Assign))) == (0, 2)

    def test_a_recalled_chunk_stays_a_chunk(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(1, 1))
        client.define()
        client.push(1, range(101))
        slave.answer(*slave.pull(), busy=0.000_01)
        master.work.clear()
        master.wait(0.5, slave, client)
        assert counters_of(*slave.take(Assign)) == list(range(1, 101))

    def test_nothing_is_taken_back_while_everybody_is_busy(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(1, 2))
        client.define()
        client.push(1, [0, 1])
        slave.pull(1)
        master.wait(5.0, slave, client)
        assert len(master.core.swarm.unclaimed) == 1

    def test_what_the_queue_does_not_take_waits_for_its_turn(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, [0])
        chunk = master.work.pop()
        master.core.work_not_taken(chunk.message.chunk)
        assert master.ledger.jobs[SYSTEM].queued == 1
        master.wait(0.25, slave, client)
        assert counters_of(*slave.take(Assign)) == [0]

    def test_no_more_is_under_way_than_there_is_credit(self) -> None:
        master = Master()
        client = master.client()
        slaves = [master.slave("a", machine(1, 2)), master.slave("b", machine(2, 4))]
        client.define()
        client.push(1, range(500))
        assert len(master.work) == 6
        slaves[0].pull(3)  # more than its own: whoever pulls first gets it
        assert len(master.ledger.assignments) == 6

    def test_long_tasks_do_not_wait_behind_each_other(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(2, 4))
        client.define()
        client.push(1, range(50))
        for chunk in slave.pull():
            slave.answer(chunk, busy=1.0)
        assert len(master.ledger.assignments) == 2

    def test_resources_are_taken_up(self) -> None:
        master = Master()
        client = master.client()
        plain, gpu = master.slave("plain"), master.slave("gpu", machine(4, 8, gpu=2.0))
        client.define()
        client.push(1, range(5), resources={"gpu": 1.0})
        assert not master.work
        assert not plain.take(Assign)
        chunks = gpu.take(Assign)
        assert len(chunks) == 2, "two at a time on two"
        gpu.answer(chunks[0])
        assert len(gpu.take(Assign)) == 1

    def test_a_slave_that_lacks_a_function_is_sent_it_again(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, [0])
        (chunk,) = slave.pull()
        slave.take(DefineFunction)
        slave.say(NeedFunction(chunk.message.function))
        assert slave.one(DefineFunction).number == chunk.message.function


class TestTails:
    def stuck(self, workers: int = 1) -> tuple[Master, Owner, Slave, Parcel[Assign]]:
        """A slave has a chunk of four tasks, the first of which takes long."""
        master = Master()
        client, slave = master.client(), master.slave("a", machine(workers, 1))
        client.define()
        client.push(1, range(5))
        slave.answer(*slave.pull(), busy=0.000_01)
        (chunk,) = slave.pull()
        assert counters_of(chunk) == [1, 2, 3, 4]
        return master, client, slave, chunk

    def test_what_is_stuck_in_a_chunk_is_taken_back_for_an_idle_worker(self) -> None:
        master, client, slave, chunk = self.stuck()
        idle = master.slave("b", machine(1, 2))
        master.wait(1.0, slave, idle, client)
        assert slave.one(TakeBack) == TakeBack(chunk.message.chunk, kill=False), "once"
        slave.answer(chunk, only=[2, 3, 4], status=RETURNED, busy=0.0)
        assert idle.work_off() == [2, 3, 4]
        slave.answer(chunk, only=[1], busy=60.0)
        assert ends(client.messages(Results)) == dict.fromkeys(range(5), FINISHED)

    def test_of_the_slave_itself_too(self) -> None:
        master, client, slave, chunk = self.stuck(workers=2)
        master.wait(1.0, slave, client)
        assert slave.one(TakeBack).chunk == chunk.message.chunk

    def test_and_what_waits_behind_it(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave("a", machine(1, 2))
        client.define()
        client.push(1, range(3))
        slave.answer(*slave.pull(1), busy=0.000_01)
        first, second = slave.pull()
        idle = master.slave("b", machine(1, 2))
        master.wait(1.0, slave, idle, client)
        assert slave.one(TakeBack).chunk == second.message.chunk, "what runs alone cannot be taken back"
        slave.answer(second, status=RETURNED, busy=0.0)
        assert idle.work_off() == counters_of(second)
        slave.answer(first)

    def test_not_while_everybody_is_busy_and_not_before_it_should_be_over(self) -> None:
        master, client, slave, _ = self.stuck()
        master.wait(5.0, slave, client)
        assert not slave.take(TakeBack), "nobody is idle"
        master = Master()
        client, slave = master.client(), master.slave("a", machine(1, 1))
        client.define()
        client.push(1, range(5))
        slave.answer(*slave.pull(), busy=0.000_01)
        (chunk,) = slave.pull()
        master.core.swarm.rates.observe(chunk.message.function, 1, 4.0, "other")
        idle = master.slave("b", machine(1, 2))
        master.wait(1.0, slave, idle, client)
        assert not slave.take(TakeBack), "four tasks of more than a second each"

    def test_no_more_than_there_are_idle_workers(self) -> None:
        master, client, slave, _ = self.stuck()
        other = master.slave("c", machine(1, 1))
        client.push(2, range(5, 15))
        assert len(counters_of(*other.pull())) > 1
        idle = master.slave("b", machine(1, 1))
        idle.work_off()
        master.wait(0.5, slave, other, idle, client)
        assert len(slave.take(TakeBack)) + len(other.take(TakeBack)) == 1


class TestWindows:
    def test_a_push_beyond_the_window_is_rejected_and_later_ones_are_not(self) -> None:
        master = Master(task_window=10)
        client = master.client()
        client.define()
        client.push(1, range(8))
        client.push(2, range(8, 16))
        rejection = client.one(PushRejected)
        assert (rejection.push, "unfinished tasks" in rejection.text) == (2, True)
        client.push(3, [16])
        assert [message.push for message in client.messages(PushAccepted)] == [1, 3]
        client.vanish()
        back = master.client(resumes=True)
        assert back.one(PushRejected).push == 2, "the acceptance of a later one must not hide it"
        assert back.one(PushAccepted).push == 3

    def test_bytes_are_bounded_too(self) -> None:
        master = Master(byte_window=100)
        client = master.client()
        client.define()
        client.push(1, range(3))
        client.push(2, range(3, 20))
        assert "bytes" in client.one(PushRejected).text

    def test_a_push_of_an_unknown_function_is_rejected(self) -> None:
        master = Master()
        client = master.client()
        client.push(1, [0])
        assert "not defined" in client.one(PushRejected).text
        client.define()
        client.push(2, [1])
        assert client.one(PushAccepted).push == 2

    def test_results_that_are_not_acknowledged_are_bounded_also_if_nothing_runs(self) -> None:
        master = Master(task_window=4)
        client = master.client()
        client.define()
        for push in range(1, 8):
            client.push(push, range(4 * push, 4 * push + 4))
            client.say(Cancel(SYSTEM))
        rejections = client.messages(PushRejected)
        assert [rejection.push for rejection in rejections] == [6, 7], "after five windows"
        assert "did not acknowledge 20 results" in rejections[0].text
        client.say(Delivered(client.messages(Results)[-1].delivery))
        client.push(8, [99])
        assert not client.messages(PushRejected)

    def test_an_owner_that_does_not_acknowledge_is_given_no_more(self) -> None:
        master = Master(task_window=4)
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, range(4))
        assert len(slave.work_off()) == 4
        client.push(2, range(4, 8))
        assert not slave.work_off()
        client.say(Delivered(client.messages(Results)[-1].delivery))
        assert slave.work_off() == [4, 5, 6, 7]
