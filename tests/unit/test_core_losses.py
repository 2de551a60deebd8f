"""Whole conversations with a master: workers, slaves and owners that get lost, and cancelled tasks."""

from __future__ import annotations

import pytest
from swarm_story import SYSTEM, Master, Owner, Slave, counters_of, ends, fault_of, hello, machine

from concurrence.scheduling.owner_events import cancel_everything
from concurrence.wire import faults
from concurrence.wire.messages import (
    CANCELLED,
    FINISHED,
    LOST,
    MAX_CHUNK_TASKS,
    RETURNED,
    AttemptLost,
    Bye,
    Cancel,
    DefineFunction,
    ForgetFunction,
    Ping,
    Pong,
    PushAccepted,
    Results,
    TakeBack,
    Welcome,
)

pytestmark = pytest.mark.usefixtures("each_policy")


class TestLoss:
    def test_a_worker_that_dies_charges_only_the_task_that_ran(self) -> None:
        master = Master(max_attempts=2)
        client, slave = master.client(), master.slave(description=machine(1, 1))
        client.define()
        client.push(1, range(5))
        slave.answer(*slave.pull(), busy=0.000_01)
        (chunk,) = slave.pull()
        assert counters_of(chunk) == [1, 2, 3, 4]
        slave.lose(chunk, 2)
        (suspect,) = slave.pull()
        assert counters_of(suspect) == [2]
        slave.lose(suspect, 2)
        (results,) = client.take(Results)[1:]
        assert ends([results.message]) == {2: LOST}
        fault = fault_of(results)
        assert fault.kind == faults.KIND_WORKER
        assert "killed 2 workers; the last one: killed by signal 9, peak memory 1 MB" in fault.message
        assert fault.output == "last words"
        (rest,) = slave.pull()  # the others travel together, and are not charged
        assert counters_of(rest) == [1, 3, 4]
        assert [record.deaths for record in master.ledger.assignments[rest.message.chunk]] == [0, 0, 0]

    def test_the_longest_last_words_reach_the_owner(self) -> None:
        master = Master(max_attempts=1)
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, [0])
        (chunk,) = slave.pull()
        slave.say(AttemptLost(chunk.message.chunk, 0, "x" * 131_072, 0, "y" * 131_072))
        (results,) = client.take(Results)
        assert "characters left out" in fault_of(results).message

    def test_a_lost_slaves_chunks_run_elsewhere_uncharged_and_in_order(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, range(4))
        slave.pull()
        slave.vanish()
        master.wait(0.75, client)
        assert master.ledger.jobs[SYSTEM].running == 4, "it is given a moment to come back"
        master.wait(0.5, client)
        waiting = list(master.ledger.jobs[SYSTEM].queue)
        assert [(record.counter, record.attempt, record.deaths) for record in waiting] == [
            (0, 2, 0), (1, 2, 0), (2, 2, 0), (3, 2, 0),
        ]  # fmt: skip
        assert master.slave("other").work_off() == [0, 1, 2, 3]
        assert len(ends(client.messages(Results))) == 4

    def test_a_slave_that_resumes_keeps_what_it_has_and_is_given_what_got_lost(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, range(4))
        chunks = slave.pull()
        slave.vanish()
        kept = [chunk.message.chunk for chunk in chunks[:2]]
        back: Slave = master.slave(resumes=True, chunks=[*kept, 999])
        assert back.one(Welcome).known
        assert back.one(TakeBack) == TakeBack(999, kill=True)
        again = back.pull()
        assert [counters_of(chunk) for chunk in again] == [counters_of(chunk) for chunk in chunks[2:]]
        assert {chunk.message.attempt for chunk in again} == {2}
        assert back.messages(DefineFunction), "code is sent again on a new connection"
        for chunk in chunks:
            back.answer(chunk)
        assert len(ends(client.messages(Results))) == 2, "what is given out again counts only from there"
        for chunk in again:
            back.answer(chunk)
        assert len(ends(client.messages(Results))) == 2

    def test_what_was_to_be_given_back_is_asked_for_again_on_a_new_connection(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave("a", machine(1, 1))
        client.define()
        client.push(1, range(5))
        slave.answer(*slave.pull(), busy=0.000_01)
        (chunk,) = slave.pull()
        idle = master.slave("b", machine(1, 2))
        master.wait(1.0, slave, idle, client)
        asked = slave.one(TakeBack)
        assert asked == TakeBack(chunk.message.chunk, kill=False)
        slave.vanish()
        back = master.slave("a", machine(1, 1), resumes=True, chunks=[asked.chunk])
        master.wait(2.0, back, idle, client)
        assert back.one(TakeBack) == asked, "once, again"
        back.answer(chunk, only=[2, 3, 4], status=RETURNED, busy=0.0)
        assert idle.work_off() == [2, 3, 4]

    def test_of_a_chunk_whose_results_may_be_lost_only_those_run_again(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(1, 1))
        client.define()
        client.push(1, range(5))
        slave.answer(*slave.pull(), busy=0.000_01)
        (chunk,) = slave.pull()
        assert counters_of(chunk) == [1, 2, 3, 4]
        slave.answer(chunk, only=[1])
        slave.vanish()  # and with the connection the result of 2; that of 3 is yet to be sent, and 4 runs
        number = chunk.message.chunk
        back: Slave = master.slave(resumes=True, chunks=[number], left={number: [3, 4]})
        assert not back.messages(TakeBack), "what runs goes on"
        back.answer(chunk, only=[3, 4])
        (again,) = back.pull()
        assert (counters_of(again), again.message.attempt) == ([2], 2)
        back.answer(again)
        assert ends(client.messages(Results)) == dict.fromkeys(range(5), FINISHED)

    def test_nothing_is_expected_of_a_chunk_whose_results_are_all_lost(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(1, 1))
        client.define()
        client.push(1, range(3))
        slave.answer(*slave.pull(), busy=0.000_01)
        (chunk,) = slave.pull()
        client.say(Cancel(SYSTEM, [1]))
        slave.vanish()
        number = chunk.message.chunk
        back: Slave = master.slave(resumes=True, chunks=[number], left={number: []})
        assert back.one(TakeBack) == TakeBack(number, kill=True)
        assert back.work_off() == [2]
        assert ends(client.messages(Results)) == {0: FINISHED, 1: CANCELLED, 2: FINISHED}

    def test_what_another_slave_has_by_now_is_not_lost_with_it(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(1, 1))
        client.define()
        client.push(1, [0])
        (chunk,) = slave.pull()
        number = chunk.message.chunk
        master.slave("other").vanish()
        other = master.slave("other", resumes=True, chunks=[number], left={number: []})
        assert other.one(TakeBack) == TakeBack(number, kill=True)
        slave.answer(chunk)
        assert ends(client.messages(Results)) == {0: FINISHED}

    def test_a_new_incarnation_of_a_slave_has_nothing_of_the_former(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, range(2))
        slave.pull()
        slave.vanish()
        back: Slave = master.slave(session="another")
        assert not back.one(Welcome).known
        assert sorted(back.work_off()) == [0, 1]
        assert ends(client.messages(Results)) == {0: FINISHED, 1: FINISHED}

    def test_a_client_that_is_replaced_takes_its_tasks_with_it(self) -> None:
        master = Master()
        client = master.client()
        client.define()
        client.push(1, range(5))
        client.vanish()
        back = master.client(system=78, session="another")
        assert not back.one(Welcome).known
        assert list(master.ledger.jobs) == [78]

    def test_a_slave_cannot_speak_of_a_chunk_that_another_has(self) -> None:
        master = Master()
        client, slave, other = master.client(), master.slave(), master.slave("other")
        client.define()
        client.push(1, [0])
        (chunk,) = slave.pull()
        other.answer(chunk)
        assert other.one(TakeBack).chunk == chunk.message.chunk
        other.lose(chunk, 0)
        assert not client.take(Results)
        slave.answer(chunk)
        assert ends(client.messages(Results)) == {0: FINISHED}

    def test_when_the_master_was_stopped_nobody_was_silent(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        master.now += 3_600.0
        master.core.tick(master.now)
        master.cycle()
        assert len(master.core.swarm.registry) == 2
        master.wait(11.0, slave)
        assert [node.id for node in master.core.swarm.registry] == ["slave"]
        assert client.name in master.dropped

    def test_nor_is_a_slave_given_up_that_was_away_for_a_moment_then(self) -> None:
        master = Master()
        slave = master.slave()
        slave.vanish()
        master.now += 3_600.0
        master.core.tick(master.now)
        master.cycle()
        assert len(master.core.swarm.registry) == 1
        master.wait(1.25)
        assert not len(master.core.swarm.registry)

    def test_the_log_tells_a_lost_connection_from_silence(self) -> None:
        master = Master()
        master.slave().vanish()
        master.core.tick(master.now)
        master.now += 1.25
        master.core.tick(master.now)
        assert any("its connection has ended" in line for line in master.core.outbox.news)
        master.cycle()
        master.slave("silent")
        master.core.tick(master.now + 4.0)
        master.core.tick(master.now + 8.0)
        master.core.tick(master.now + 12.0)
        assert any("nothing was heard" in line for line in master.core.outbox.news)

    def test_a_bye_cancels_what_an_owner_has(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, range(10))
        chunks = slave.pull()
        slave.take(DefineFunction)
        client.say(Bye("enough"))
        taken = slave.messages(TakeBack)
        assert sorted(message.chunk for message in taken) == [chunk.message.chunk for chunk in chunks]
        assert all(message.kill for message in taken)
        assert slave.one(ForgetFunction).number == chunks[0].message.function
        assert not master.ledger.jobs
        assert not master.ledger.assignments
        for chunk in chunks:
            slave.answer(chunk, status=CANCELLED)
        assert not master.core.swarm.registry.slave("slave").chunks  # type: ignore[union-attr]


class TestCancel:
    def test_cancelled_tasks_end_once_wherever_they_are(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(1, 2))
        client.define()
        client.push(1, range(10))
        running, *waiting = slave.pull(1)
        client.say(Cancel(SYSTEM))
        assert ends(client.messages(Results)) == dict.fromkeys(range(10), CANCELLED)
        taken = slave.messages(TakeBack)
        assert taken[0] == TakeBack(running.message.chunk, kill=True)
        assert not master.core.swarm.unclaimed, "what lies on the work queue does not count any more"
        late = slave.pull()
        taken += slave.messages(TakeBack)  # the copy there is taken back from whoever pulls it
        there = [running, *waiting, *late]
        assert len(there) == 2
        assert taken == [TakeBack(chunk.message.chunk, kill=True) for chunk in there]
        slave.lose(running, 0)
        for chunk in [*waiting, *late]:
            slave.answer(chunk, status=CANCELLED)
        assert not client.take(Results)
        assert not master.ledger.assignments
        assert not master.core.swarm.registry.slave("slave").chunks  # type: ignore[union-attr]

    def test_more_than_fit_into_one_message(self) -> None:
        master = Master()
        client = master.client()
        client.define()
        for push in range(3):
            client.push(push + 1, range(push * MAX_CHUNK_TASKS, (push + 1) * MAX_CHUNK_TASKS))
        client.say(Cancel(SYSTEM))
        results = client.messages(Results)
        assert [len(message.counters) for message in results] == [MAX_CHUNK_TASKS] * 3
        assert len(ends(results)) == 3 * MAX_CHUNK_TASKS

    def test_a_worker_is_not_killed_over_another_task_of_its_chunk(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(1, 1))
        client.define()
        client.push(1, range(5))
        slave.answer(*slave.pull(), busy=0.000_01)
        (chunk,) = slave.pull()
        client.say(Cancel(SYSTEM, [1, 3]))
        assert slave.one(TakeBack) == TakeBack(chunk.message.chunk, kill=False)
        slave.answer(chunk, only=[3, 4], status=RETURNED)
        assert not slave.take(TakeBack)
        slave.answer(chunk, only=[2])
        # Now only the cancelled one can be what runs.
        assert slave.one(TakeBack) == TakeBack(chunk.message.chunk, kill=True)
        assert slave.master.ledger.assignments
        slave.lose(chunk, 1)
        assert sorted(slave.work_off()) == [4]
        assert ends(client.messages(Results)) == {0: 0, 1: CANCELLED, 3: CANCELLED, 2: 0, 4: 0}

    def test_a_part_of_a_chunk_on_the_work_queue(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave(description=machine(1, 1))
        client.define()
        client.push(1, range(5))
        slave.answer(*slave.pull(), busy=0.000_01)
        client.say(Cancel(SYSTEM, [2]))
        master.wait(0.25, slave, client)
        slave.work_off()
        assert ends(client.messages(Results)) == {0: 0, 1: 0, 2: CANCELLED, 3: 0, 4: 0}

    def test_what_is_repeated_after_a_reconnect_cancels_once(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, range(3))
        client.say(Cancel(SYSTEM, None, 2))
        client.push(3, [3])
        assert [message.push for message in client.messages(PushAccepted)] == [1, 2, 3]
        client.vanish()
        back: Owner = master.client(resumes=True)
        back.say(Cancel(SYSTEM, None, 2))
        assert back.messages(PushAccepted)[-1].push == 3
        slave.work_off()
        told = ends(back.messages(Results))  # all of it again, since nothing was acknowledged
        assert told == {0: CANCELLED, 1: CANCELLED, 2: CANCELLED, 3: FINISHED}, "that was pushed after it"
        kept = [entry.parcel.message for entry in master.journal]
        assert Cancel(SYSTEM, None, 2) in kept, "what is answered is kept"

    def test_what_is_no_system_any_more_is_answered_all_the_same(self) -> None:
        master = Master()
        client = master.client()
        client.say(Cancel(12345, None, 1))
        assert client.one(PushAccepted).push == 1

    def test_an_owner_is_told_to_push_no_more_until_it_answers(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, range(3))
        job = master.ledger.jobs[SYSTEM]
        assert cancel_everything(master.core.swarm, job, "an administrator") == 3
        master.cycle()
        assert client.one(Cancel) == Cancel(SYSTEM)
        client.vanish()
        back: Owner = master.client(resumes=True)
        assert back.one(Cancel) == Cancel(SYSTEM), "it may not have heard that"
        back.push(2, [3])
        back.say(Cancel(SYSTEM, None, 3))
        assert not job.tasks, "what it pushed before it heard"
        back.vanish()
        again: Owner = master.client(resumes=True)
        assert not again.messages(Cancel)
        again.push(4, [4])
        slave.work_off()
        assert ends(again.messages(Results)) == {**dict.fromkeys(range(4), CANCELLED), 4: FINISHED}

    def test_a_resumed_slave_is_told_again(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, [0])
        (chunk,) = slave.pull()
        slave.vanish()
        client.say(Cancel(SYSTEM))
        back: Slave = master.slave(resumes=True, chunks=[chunk.message.chunk])
        assert back.one(TakeBack) == TakeBack(chunk.message.chunk, kill=True)

    def test_nobody_cancels_what_is_anothers(self) -> None:
        master = Master()
        client, other = master.client(), master.client("other", 78)
        client.define()
        client.push(1, [0])
        other.say(Cancel(SYSTEM))
        assert master.ledger.jobs[SYSTEM].queued == 1


def test_a_greeting_that_comes_late_on_a_connection_that_was_given_up_changes_nothing() -> None:
    """On a slow line it may lie behind what else that connection held, and come after the next one's."""
    master = Master()
    slave = master.slave("s", session="1", greeting=2)
    late = master.slave("s", session="1", greeting=1, resumes=True)
    assert late.inbox == [], "a refusal would end the node, wherever it reads that"
    assert late.name in master.dropped
    slave.say(Ping(1))
    assert slave.messages(Pong) == [Pong(1)]
    newer = master.slave("s", session="1", greeting=3, resumes=True)
    assert newer.one(Welcome).known


def test_a_connection_on_which_a_node_greets_anew_in_the_cycle_that_gave_it_up_is_kept() -> None:
    """A master that was held up finds the lease over and the greeting there: what follows it must not be lost."""
    master = Master()
    slave = master.slave("s", session="1", greeting=1)
    while not master.core.outbox.dropped:
        master.now += 0.25
        master.core.tick(master.now)
        assert master.now < 1_000.0, "its lease does not end"
    assert master.core.outbox.dropped == [slave.name]
    slave.say(hello("slave", "s", slave=machine(), session="1", greeting=2))
    assert master.dropped == []
    assert [welcome.known for welcome in slave.messages(Welcome)] == [False, False]
