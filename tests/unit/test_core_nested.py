"""Whole conversations with a master: task systems that push task systems."""

from __future__ import annotations

import pytest
from swarm_story import SYSTEM, Master, Owner, fault_of, hello

from concurrence.wire import faults
from concurrence.wire.codec import decode_results, encode_results
from concurrence.wire.messages import (
    FINISHED,
    LOST,
    Bye,
    Cancel,
    DefineFunction,
    Delivered,
    PackedResult,
    Progress,
    PushAccepted,
    PushRejected,
    Refusal,
    ReportProgress,
    SystemEnded,
    SystemResult,
)

pytestmark = pytest.mark.usefixtures("each_policy")


def host_of(master: Master, system: int) -> Owner:
    """The host that the master ordered for a system."""
    order = next(order for order in master.orders if order.system == system)
    return master.connect(hello("host", f"host {system}", system=system, ticket=order.ticket))


def push(master: Master, owner: Owner, system: int, number: int = 1) -> Owner:
    """An owner pushes a system; its host."""
    owner.define(9, b"a system", kind=3)
    owner.push_system(number, system)
    return host_of(master, system)


def family(master: Master) -> tuple[Owner, Owner, Owner]:
    """A client, the host of its system 500, and that of the system 501 that this one pushed."""
    client = master.client()
    parent = push(master, client, 500)
    return client, parent, push(master, parent, 501)


def end(host: Owner, system: int) -> None:
    host.say(SystemEnded(1, system, FINISHED), [encode_results([PackedResult(b"42")])])


def test_the_end_goes_to_the_system_that_pushed_it_and_to_nobody_else() -> None:
    master = Master()
    client, parent, child = family(master)
    assert parent.one(PushAccepted).push == 1
    assert child.take(DefineFunction)[0].frames == [b"a system"]
    assert [order.client for order in master.orders] == ["client", "client"]
    end(child, 501)
    (result,) = parent.take(SystemResult)
    assert (result.message.system, decode_results(result.frames)) == (501, [PackedResult(b"42")])
    assert child.one(Bye)
    assert not client.take(SystemResult)
    assert sorted(master.ledger.jobs) == [SYSTEM, 500]
    end(parent, 500)
    assert client.one(SystemResult).system == 500


def test_the_end_is_kept_until_the_host_has_acknowledged_it() -> None:
    master = Master()
    _, parent, child = family(master)
    parent.vanish()
    end(child, 501)
    order = master.orders[0]
    greeting = hello("host", "host 500", system=500, ticket=order.ticket, resumes=True)
    back = master.connect(greeting)
    result = back.one(SystemResult)
    back.say(Delivered(result.delivery))
    back.vanish()
    assert not master.connect(greeting).take(SystemResult)


def test_the_fair_share_and_the_progress_are_those_of_the_client() -> None:
    master = Master()
    client, parent, child = family(master)
    slave = master.slave()
    child.define(1)
    child.push(1, range(4), system=501)
    child.say(ReportProgress(501, 1.0, 2.0, "half"))
    master.wait(0.25, client, parent, child, slave)
    told = {message.system: message.text for message in client.messages(Progress)}
    assert told[501] == "half"
    assert {job.client for job in master.ledger.jobs.values()} == {"client"}
    assert set(slave.work_off(busy=10.0)) == {0, 1, 2, 3}
    grandchild = push(master, child, 502, 2)
    grandchild.define(1)
    grandchild.push(1, range(400), system=502)
    other = master.client("other", 78)
    other.define(1)
    other.push(1, range(4), system=78)
    order: list[int] = []
    while chunks := slave.pull(1):
        for chunk in chunks:
            order += [chunk.message.system] * chunk.message.count
            slave.answer(chunk, busy=chunk.message.count)
    # The other client waits for no more than its turn, although the first one has the tasks of three systems.
    assert len(order) == 404
    assert max(at for at, system in enumerate(order) if system == 78) < 20


@pytest.mark.parametrize("how", ["ends", "is cancelled", "dies", "falls silent"])
def test_what_is_unfinished_goes_with_the_system_that_pushed_it(how: str) -> None:
    master = Master()
    client, parent, child = family(master)
    grandchild = push(master, child, 502)
    if how == "ends":
        end(parent, 500)
    elif how == "is cancelled":
        client.say(Cancel(500))
    elif how == "dies":
        master.core.host_exited(500, "killed by signal 9")
        master.cycle()
    else:
        master.wait(11.0, client, child, grandchild)
    assert list(master.ledger.jobs) == [SYSTEM]
    assert sorted(master.stopped) == [500, 501, 502]
    assert child.one(Bye)
    assert grandchild.one(Bye)
    (result,) = client.take(SystemResult)
    assert result.message.status == (FINISHED if how == "ends" else LOST)


def test_a_child_whose_host_dies_is_told_to_its_parent() -> None:
    master = Master()
    client, parent, child = family(master)
    grandchild = push(master, child, 502)
    master.core.host_exited(501, "killed by signal 9")
    master.cycle()
    (result,) = parent.take(SystemResult)
    assert "killed by signal 9" in fault_of(result).message
    assert grandchild.one(Bye)
    assert sorted(master.ledger.jobs) == [SYSTEM, 500]
    assert not client.take(SystemResult)


def test_all_go_with_the_client() -> None:
    master = Master()
    client, parent, child = family(master)
    client.say(Bye())
    assert not master.ledger.jobs
    assert parent.one(Bye)
    assert child.one(Bye)


def test_a_system_cancels_what_it_pushed_and_its_client_may_too() -> None:
    master = Master()
    client, parent, _ = family(master)
    parent.say(Cancel(501))
    (result,) = parent.take(SystemResult)
    assert fault_of(result).kind == faults.KIND_CANCELLED
    assert "by the task system that pushed it" in fault_of(result).message
    push(master, parent, 502, 2)
    client.say(Cancel(502))
    (result,) = parent.take(SystemResult)
    assert "by its client" in fault_of(result).message
    push(master, parent, 503, 3)
    stranger = master.client("stranger", 78)
    stranger.say(Cancel(503))
    assert 503 in master.ledger.jobs


def test_the_bounds_are_those_of_the_client_and_of_the_depth() -> None:
    master = Master(system_window=3, system_depth=2)
    client, parent, child = family(master)
    child.define(9, b"a system", kind=3)
    child.push_system(1, 502)
    assert "2 task systems pushed one another" in child.one(PushRejected).text
    push(master, client, 503, 2)
    parent.push_system(2, 504)
    assert "3 unfinished task systems" in parent.one(PushRejected).text
    assert sorted(master.ledger.jobs) == [SYSTEM, 500, 501, 503]


def test_administrators_push_none() -> None:
    master = Master()
    admin = master.connect(hello("admin", "admin"))
    admin.define(9, kind=3)
    admin.push_system(1, 500)
    assert admin.one(Refusal).code == "protocol"
