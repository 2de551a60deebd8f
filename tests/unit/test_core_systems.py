"""Whole conversations with a master: task systems, their hosts, and the news of them."""

from __future__ import annotations

import pytest
from swarm_story import SYSTEM, Master, Owner, definition, ends, fault_of, hello

from concurrence.transport.security import Role
from concurrence.wire import faults
from concurrence.wire.codec import decode_results, encode_results
from concurrence.wire.digests import bundle_digest
from concurrence.wire.messages import (
    FINISHED,
    LOST,
    Bye,
    Cancel,
    DefineBundle,
    DefineFunction,
    Delivered,
    Output,
    PackedResult,
    Progress,
    PushRejected,
    PushSystem,
    Refusal,
    ReportProgress,
    Results,
    SlaveList,
    Status,
    StatusRequest,
    SystemEnded,
    SystemResult,
    TakeBack,
)

pytestmark = pytest.mark.usefixtures("each_policy")


class TestSystems:
    def start(self, master: Master) -> tuple[Owner, Owner]:
        client = master.client()
        client.define(9, b"system----------", kind=3)
        client.push_system(1, 500)
        (order,) = master.orders
        assert (order.system, order.client, order.name) == (500, "client", "system 500")
        host = master.connect(hello("host", "host", system=500, ticket=order.ticket))
        return client, host

    def test_a_host_gets_its_system_and_hands_over_its_result(self) -> None:
        master = Master()
        client, host = self.start(master)
        (sent,) = host.take(DefineFunction)
        assert sent.frames == [b"system----------"]
        assert host.one(SlaveList).slaves == []
        slave = master.slave()
        assert [entry.workers for entry in host.one(SlaveList).slaves] == [2]
        host.define(1)
        host.push(1, [0], system=500)
        slave.answer(*slave.pull())
        assert ends(host.messages(Results)) == {0: FINISHED}
        assert not client.take(Results)
        host.say(SystemEnded(1, 500, FINISHED), [encode_results([PackedResult(b"42")])])
        (result,) = client.take(SystemResult)
        assert decode_results(result.frames) == [PackedResult(b"42")]
        assert host.one(Bye)
        assert master.stopped == [500]
        assert 500 not in master.ledger.jobs

    def test_a_result_is_kept_until_it_is_acknowledged(self) -> None:
        master = Master()
        client, host = self.start(master)
        client.vanish()
        host.say(SystemEnded(1, 500, FINISHED), [encode_results([PackedResult(b"42")])])
        back = master.client(resumes=True)
        result = back.one(SystemResult)
        back.vanish()
        again = master.client(resumes=True)
        assert again.one(SystemResult) == result
        again.say(Delivered(result.delivery))
        again.vanish()
        assert not master.client(resumes=True).take(SystemResult)

    def test_a_host_without_the_ticket_is_turned_away(self) -> None:
        master = Master()
        self.start(master)
        liar = master.connect(hello("host", "liar", system=500, ticket="guess"))
        assert "no task system" in liar.one(Refusal).text
        assert "no task system" in master.connect(hello("host", "h", system=SYSTEM)).one(Refusal).text

    def test_a_host_that_dies_is_told_to_the_client(self) -> None:
        master = Master()
        client, _ = self.start(master)
        master.core.host_exited(500, "killed by signal 9")
        master.cycle()
        (result,) = client.take(SystemResult)
        fault = fault_of(result)
        assert (result.message.status, fault.kind) == (LOST, faults.KIND_SYSTEM)
        assert "killed by signal 9" in fault.message
        master.core.host_exited(500, "again")
        master.cycle()
        assert not client.take(SystemResult)

    @pytest.mark.parametrize("says_goodbye", [True, False])
    def test_a_host_that_leaves_or_falls_silent_is_told_to_the_client(self, says_goodbye: bool) -> None:
        master = Master()
        client, host = self.start(master)
        host.define(1)
        host.push(1, [0], system=500)
        if says_goodbye:
            host.say(Bye("it had enough"))
        else:
            master.wait(11.0, client)
        (result,) = client.take(SystemResult)
        assert ("it had enough" if says_goodbye else "nothing was heard") in fault_of(result).message
        assert master.stopped == [500]

    def test_one_that_takes_longer_than_it_may_is_ended_with_all_that_it_pushed(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.say(definition(9, b"a system", kind=3), [b"a system"])
        for number, (system, timeout) in enumerate([(500, 5.0), (501, 0.0), (502, 2.0)], 1):
            client.say(PushSystem(number, system, 9, f"system {system}", 3.0, timeout=timeout))
        assert master.ledger.jobs[500].weight == 3.0
        orders = {order.system: order for order in master.orders}
        host = master.connect(hello("host", "h", system=500, ticket=orders[500].ticket))
        other = master.connect(hello("host", "o", system=502, ticket=orders[502].ticket))
        other.say(SystemEnded(1, 502, FINISHED), [encode_results([PackedResult(b"42")])])
        host.define()
        host.push(1, [0], system=500)
        slave.pull()
        master.wait(4.5, client, slave, host)
        assert [message.system for message in client.messages(SystemResult)] == [502]
        master.wait(1.0, client, slave, host)
        (result,) = client.take(SystemResult)
        assert (result.message.system, fault_of(result).kind) == (500, faults.KIND_TIMEOUT)
        assert "took longer than its time-out of 5 s" in fault_of(result).message
        assert slave.one(TakeBack).kill
        assert host.messages(Bye)
        assert sorted(master.ledger.jobs) == [SYSTEM, 501]

    def test_a_client_cancels_its_system(self) -> None:
        master = Master()
        client, host = self.start(master)
        client.say(Cancel(500))
        (result,) = client.take(SystemResult)
        assert fault_of(result).kind == faults.KIND_CANCELLED
        assert host.one(Bye)

    def test_a_client_that_is_given_up_takes_its_systems_with_it(self) -> None:
        master = Master()
        _, host = self.start(master)
        master.wait(11.0, host)
        assert host.one(Bye)
        assert master.stopped == [500]
        assert not master.ledger.jobs

    def test_there_is_a_bound(self) -> None:
        master = Master(system_window=2)
        client = master.client()
        client.define(9, kind=3)
        for push in (1, 2, 3):
            client.push_system(push, 500 + push)
        assert client.one(PushRejected).push == 3
        assert len(master.orders) == 2

    def test_only_its_host_ends_a_system(self) -> None:
        master = Master()
        client, _ = self.start(master)
        client.say(SystemEnded(1, SYSTEM, FINISHED), [encode_results([PackedResult(b"")])])
        assert client.one(Refusal).code == "protocol"


class TestNews:
    def test_progress_comes_while_something_changes(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, range(3))
        master.wait(0.5, client, slave)
        progress = client.messages(Progress)[-1]
        assert (progress.queued, progress.running) == (0, 3)
        slave.work_off()
        master.wait(0.25, client, slave)
        assert client.messages(Progress)[-1].finished == 3
        master.wait(2.0, client, slave)
        assert not client.take(Progress)
        client.vanish()
        back = master.client(resumes=True)
        master.wait(0.25, back)
        assert back.messages(Progress)[-1].finished == 3

    def test_a_host_reports_for_its_system(self) -> None:
        master = Master()
        client, host = TestSystems().start(master)
        host.say(ReportProgress(500, 3.0, 10.0, "third"))
        master.wait(0.25, client, host)
        progress = next(message for message in client.messages(Progress) if message.system == 500)
        assert (progress.done, progress.total, progress.text) == (3.0, 10.0, "third")
        host.say(ReportProgress(SYSTEM, 3.0, 10.0))
        assert "does not own" in host.one(Refusal).text

    def test_output_goes_to_the_client(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        slave.say(Output(SYSTEM, 0, "stdout", "slave", "hello"))
        assert client.one(Output).text == "hello"
        slave.say(Output(999, 0, "stdout", "slave", "nobody's"))
        assert not client.take(Output)

    def test_the_second_slave_of_a_machine_has_a_name_of_its_own_everywhere(self) -> None:
        master = Master()
        client = master.client()
        slaves = [master.slave(node, name="vm") for node in ("one", "two")]
        for slave in slaves:
            slave.say(Output(SYSTEM, 0, "stdout", "vm", "hello"))
        assert [output.source for output in client.messages(Output)] == ["vm", "vm-2"]
        names = [node.name for node in master.core.status(1, 0.0).nodes if node.kind == "slave"]
        assert names == ["vm", "vm-2"]

    def test_status_for_people(self, each_policy: str) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, range(9))
        slave.pull()
        master.connect(hello("admin", "admin"), Role.ADMIN)
        master.now += 1.0
        client.say(StatusRequest(3))
        status = client.one(Status)
        assert (status.request, status.scheduler, status.uptime) == (3, each_policy, 1.0)
        assert {node.name: node.busy_chunks for node in status.nodes}["the slave"] == 4
        assert [(system.queued, system.running) for system in status.systems] == [(5, 4)]

    def test_bundles_travel_before_their_functions(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        digest = bundle_digest(b"source")
        client.say(DefineBundle(1, digest), [b"source"])
        client.say(definition(1, b"blob", digest), [b"blob"])
        client.push(1, [0])
        kinds = [type(parcel.message).__name__ for parcel in slave.inbox]
        assert kinds.index("DefineBundle") < kinds.index("DefineFunction")
