"""Defects that the simulator found, each as the shortest story that shows it."""

from __future__ import annotations

from typing import Any

import pytest
from swarm_story import Master, Owner, Slave, hello, machine, make_policy
from test_slots import assign, only, results, started, upstream

from concurrence.nodes.master_link import LinkEvent, MasterLink
from concurrence.scheduling import resting
from concurrence.scheduling.circuit import CircuitState
from concurrence.wire.messages import RETURNED, DefineFunction, Welcome
from concurrence.workers.slot_state import Seen, SendToWorker, StopChunk


@pytest.mark.usefixtures("each_policy")
class TestTrials:
    def test_one_that_waits_for_its_trial_holds_nobody_up(self) -> None:
        # What it cannot run was set aside for it, and so for all others: for ever, if that is all there is.
        master = Master()
        client, able = master.client(), master.slave("able", machine(1, 2, gpu=1.0))
        master.slave("bad", machine(1, 2))
        swarm = master.core.swarm
        bad = swarm.registry.slave("bad")
        assert bad is not None
        while bad.circuit.is_closed:
            resting.failed(swarm, bad, 1, master.now, begun=False)
        for _ in range(10):
            master.wait(1.0, client, able)
            bad.heard = master.now
        assert bad.circuit.state is CircuitState.TRIAL
        client.define()
        client.push(1, range(3), resources={"gpu": 1.0})
        master.wait(1.0, client, able)
        assert able.work_off() == [0, 1, 2]


@pytest.mark.usefixtures("each_policy")
class TestForgottenNodes:
    def test_what_a_forgotten_slave_pulled_is_given_to_others(self) -> None:
        # It is told that it is not known, and drops all of it: nobody would ever run it.
        master = Master()
        client, other = master.client(), master.slave("other", machine(1, 2))
        client.define()
        client.push(1, [0])
        (chunk,) = other.pull()
        other.vanish()
        master.wait(2.0, client)
        back: Slave = master.slave("other", machine(1, 2), resumes=True, chunks=[chunk.message.chunk])
        assert not back.one(Welcome).known
        master.wait(2.0, client, back)
        assert back.work_off() == [0]

    def test_it_hears_so_even_if_the_first_answer_is_lost(self) -> None:
        master = Master()
        client = master.client()
        first = client.one(Welcome)
        client.vanish()
        master.wait(20.0)
        lost: Owner = master.client(resumes=True, registration=first.registration)
        lost.vanish()
        again: Owner = master.client(resumes=True, registration=first.registration)
        answer = again.one(Welcome)
        assert not answer.known
        assert answer.registration != first.registration
        again.vanish()
        back: Owner = master.client(resumes=True, registration=answer.registration)
        assert back.one(Welcome).known, "it has heard so by now"

    def test_a_slave_that_comes_back_is_sent_the_code_of_what_it_holds(self) -> None:
        # It may have asked for it on the connection that broke.
        master = Master()
        client, slave = master.client(), master.slave("slave", machine(1, 2))
        client.define()
        client.push(1, [0])
        chunks = [chunk.message.chunk for chunk in slave.pull()]
        slave.vanish()
        back: Slave = master.slave("slave", machine(1, 2), resumes=True, chunks=chunks)
        assert back.one(Welcome).known
        assert back.messages(DefineFunction)


def test_unclaimed_work_is_not_a_forgotten_slaves_own() -> None:
    master = Master(scheduler=make_policy("ZMQTaskScheduler"))
    client, other = master.client(), master.slave("other", machine(1, 2))
    client.define()
    client.push(1, [0])
    (taken,) = [parcel.message.chunk for parcel in master.work]
    master.work.clear()  # it was pulled by a slave that the master has forgotten, and that drops it now
    back: Slave = master.slave("forgotten", machine(1, 2), resumes=True, chunks=[taken])
    assert not back.one(Welcome).known
    master.wait(2.0, client, back, other)
    assert [*back.work_off(), *other.work_off()] == [0]


class TestLink:
    def link(self) -> MasterLink:
        link = MasterLink(
            lambda resumes: hello("client", "c", resumes=resumes), "tcp://master", 0.0, patience=None
        )
        link.connection("connected", 0.0)
        self.welcome(link, 5, known=False)
        assert link.events == [LinkEvent.READY]
        link.events.clear()
        return link

    @staticmethod
    def welcome(link: MasterLink, registration: int, *, known: bool) -> None:
        link.message(Welcome(1, "1.0", "m", known, 2.0, 10.0, registration=registration), 0.0)

    def test_another_registration_means_that_it_was_forgotten(self) -> None:
        link = self.link()
        link.connection("disconnected", 0.0)
        link.connection("connected", 0.0)
        greeting: Any = link.outgoing[-1]
        assert greeting.registration == 5
        link.events.clear()
        self.welcome(link, 6, known=True)
        assert link.events == [LinkEvent.FORGOTTEN]

    def test_also_in_the_answer_to_a_hello_that_was_repeated(self) -> None:
        link = self.link()
        self.welcome(link, 6, known=False)
        self.welcome(link, 6, known=False)
        assert link.events == [LinkEvent.FORGOTTEN], "once"


class TestSlots:
    def test_what_is_taken_back_stays_in_the_workers_socket(self) -> None:
        # Its table of stops is short: chunk after chunk could be sent there and taken back, until it forgot one.
        slots = started()
        slots.assign(assign(1))
        slots.assign(assign(2))
        slots.take_back(2, kill=False)
        out = slots.worker_seen(1, Seen(1, 0, stopped=frozenset({2})))
        assert [message.statuses for message in upstream(out)] == [bytes([RETURNED] * 2)]
        assert not only(slots.assign(assign(3)), SendToWorker), "chunk 2 is still before it"
        slots.sanity_check()
        assert not only(slots.worker_results(1, results(1, [100, 101])), StopChunk)
        assert not upstream(slots.worker_results(1, results(2, [200, 201]))), "that was told before"
        assert slots.chunks == [3]
        slots.sanity_check()

    def test_a_chunk_is_not_sent_again_to_the_worker_that_is_not_to_run_it(self) -> None:
        slots = started(2)
        for number in (1, 2, 3, 4):
            slots.assign(assign(number))
        (worker,) = (number for number, state in slots.states.items() if state.chunks[0].number == 1)
        behind = slots.states[worker].chunks[1].number
        out = slots.worker_seen(worker, Seen(1, 0, stopped=frozenset({behind})))
        assert not only(out, SendToWorker), "the other worker, for which it was to be moved, is busy by now"
        assert slots.states[worker].chunks[1].number == behind
