"""Whole conversations with a master: task systems that outlive their clients, and are collected by others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from swarm_story import SYSTEM, Master, Owner, definition, fault_of, hello

from concurrence.scheduling import attaching
from concurrence.scheduling.detached import Detached, DetachedSystems
from concurrence.transport.security import Role
from concurrence.wire import faults
from concurrence.wire.codec import decode_results, encode_results
from concurrence.wire.digests import bundle_digest
from concurrence.wire.messages import (
    FINISHED,
    AttachSystem,
    Bye,
    Cancel,
    DefineBundle,
    DefineFunction,
    Delivered,
    Output,
    PackedResult,
    Progress,
    PushAccepted,
    PushRejected,
    PushSystem,
    ReportProgress,
    SystemEnded,
    SystemResult,
)

pytestmark = pytest.mark.usefixtures("each_policy")

KEY = "the key of many"


def client(master: Master, node: str = "client", system: int = SYSTEM, key: str = KEY) -> Owner:
    return master.connect(hello("client", node, system=system), Role.CLIENT, key)


def push(owner: Owner, system: int = 500, number: int = 1) -> None:
    digest = bundle_digest(b"source")
    owner.say(DefineBundle(1, digest), [b"source"])
    owner.say(definition(9, b"a system", digest, kind=3), [b"a system"])
    owner.say(PushSystem(number, system, 9, "sums", detached=True))


def host_of(master: Master, system: int = 500, **more: bool) -> Owner:
    order = next(order for order in master.orders if order.system == system)
    return master.connect(hello("host", f"host {system}", system=system, ticket=order.ticket, **more))


def end(host: Owner, system: int = 500) -> None:
    host.say(SystemEnded(1, system, FINISHED), [encode_results([PackedResult(b"42")])])


def result_of(owner: Owner) -> bytes:
    (result,) = owner.take(SystemResult)
    assert result.message.status == FINISHED
    return decode_results(result.frames)[0].payload


@pytest.mark.parametrize("how", ["goodbye", "lease"])
def test_it_goes_on_without_its_client_and_its_result_waits(how: str) -> None:
    master = Master()
    first = client(master)
    push(first)
    if how == "goodbye":
        first.say(Bye())
    else:
        master.wait(11.0)
    assert any("leaves the task system" in line for line in master.news)
    assert list(master.ledger.jobs) == [500]
    host = host_of(master)
    assert [parcel.frames for parcel in host.take(DefineFunction)] == [[b"a system"]]
    slave = master.slave()
    host.define(1)
    host.push(1, range(3), system=500)
    assert sorted(slave.work_off()) == [0, 1, 2]
    end(host)
    assert host.one(Bye)
    assert not master.ledger.jobs
    second = client(master, "second", 78)
    second.say(AttachSystem(1, 500))
    assert second.one(PushAccepted).push == 1
    assert result_of(second) == b"42"
    second.say(AttachSystem(1, 500))
    assert not second.take(SystemResult)
    second.say(Delivered(1))
    third = client(master, "third", 79)
    third.say(AttachSystem(1, 500))
    assert "there is none" in third.one(PushRejected).text


def test_who_attaches_is_told_how_it_goes_and_of_what_it_pushed_too() -> None:
    master = Master()
    first = client(master)
    push(first)
    host = host_of(master)
    first.say(Bye())
    second = client(master, "second", 78)
    second.say(AttachSystem(1, 500))
    host.define(9, b"a child", kind=3)
    host.push_system(1, 501)
    child = host_of(master, 501)
    child.say(ReportProgress(501, 1.0, 2.0, "half"))
    host.say(Output(500, None, "log", "host", "hello"))
    master.wait(0.25, second, host, child)
    assert {message.system: message.text for message in second.messages(Progress)} == {
        500: "",
        501: "half",
        78: "",
    }
    assert second.one(Output).text == "hello"
    end(host)
    assert result_of(second) == b"42"
    assert child.one(Bye)


def test_a_result_that_was_not_acknowledged_waits_for_the_next() -> None:
    master = Master()
    first = client(master)
    push(first)
    end(host_of(master))
    assert result_of(first) == b"42"
    first.say(Bye())
    for number, node in enumerate(("second", "third")):
        other = client(master, node, 78 + number)
        other.say(AttachSystem(1, 500))
        assert result_of(other) == b"42"
        other.say(Bye())


def test_what_its_own_client_took_is_gone() -> None:
    master = Master()
    first = client(master)
    push(first)
    end(host_of(master))
    first.say(Delivered(1))
    first.say(Bye())
    second = client(master, "second", 78)
    second.say(AttachSystem(1, 500))
    assert second.one(PushRejected)


def test_a_failure_waits_as_well() -> None:
    master = Master()
    push(first := client(master))
    first.say(Bye())
    master.core.host_exited(500, "killed by signal 9")
    master.cycle()
    second = client(master, "second", 78)
    second.say(AttachSystem(1, 500))
    (result,) = second.take(SystemResult)
    assert "killed by signal 9" in fault_of(result).message


def test_only_the_same_key_and_one_at_a_time() -> None:
    master = Master()
    first = client(master)
    push(first)
    stranger = client(master, "stranger", 78, "another key")
    stranger.say(AttachSystem(1, 500))
    assert "no detached task system 00000000000001f4 of this key is here; there is none" in (
        stranger.one(PushRejected).text
    )
    second = client(master, "second", 79)
    second.say(AttachSystem(1, 500))
    assert "the client the client at 10.0.0.1 is attached to sums" in second.one(PushRejected).text
    second.say(AttachSystem(2, 501))
    assert "there are 00000000000001f4 (sums, runs)" in second.one(PushRejected).text
    first.say(Bye())
    second.say(AttachSystem(3, 500))
    assert second.one(PushAccepted).push == 3
    second.say(Cancel(500))
    (result,) = second.take(SystemResult)
    assert fault_of(result).kind == faults.KIND_CANCELLED


def test_who_attaches_cancels_what_it_pushed_and_who_was_attached_does_not() -> None:
    master = Master()
    push(first := client(master))
    host = host_of(master)
    host.say(definition(9, b"a system", kind=3), [b"a system"])
    for number, system in ((1, 501), (2, 502)):
        host.say(PushSystem(number, system, 9, f"child {system}"))
    first.say(Bye())
    second = client(master, "second", 79)
    second.say(Cancel(501))
    assert 501 in master.ledger.jobs, "it has not attached yet"
    second.say(AttachSystem(1, 500))
    second.say(Cancel(501))
    (told,) = host.take(SystemResult)
    assert (told.message.system, fault_of(told).message) == (
        501,
        "the task system child 501 was cancelled by its client",
    )
    second.say(Bye())
    third = client(master, "third", 80)
    third.say(Cancel(502))
    assert sorted(master.ledger.jobs) == [80, 500, 502]


def test_it_keeps_the_weight_of_its_client_when_that_has_left() -> None:
    master = Master(weights={"the client": 3.0})
    push(first := client(master))
    host = host_of(master)
    host.say(definition(9, b"a system", kind=3), [b"a system"])
    host.say(PushSystem(1, 501, 9, "child"))
    first.say(Bye())
    swarm = master.core.swarm
    assert [swarm.weight_of(swarm.ledger.jobs[system]) for system in (500, 501)] == [3.0, 3.0]
    client(master, "second", 79).say(AttachSystem(1, 500))
    assert swarm.weight_of(swarm.ledger.jobs[501]) == 3.0


def test_its_code_is_kept_for_as_long_as_it_runs() -> None:
    master = Master()
    push(first := client(master))
    first.say(Bye())
    functions = master.core.swarm.functions
    assert functions.bytes_of("system 1f4") == len(b"source")
    end(host_of(master))
    assert functions.bytes_of("system 1f4") == 0
    assert not functions.is_known(1)


def test_its_end_and_its_tasks_are_charged_to_who_pushed_it_and_bounded_by_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attaching, "MAX_OF_KEY", 1)
    master = Master()
    push(first := client(master))
    push(first, 501, 2)
    assert "1 detached task systems of this key" in first.one(PushRejected).text
    push(client(master, "other", 78, "another key"), 502)
    assert sorted(master.ledger.jobs) == [SYSTEM, 78, 500, 502]


def test_a_system_cannot_detach_another() -> None:
    master = Master()
    push(client(master))
    host = host_of(master)
    push(host, 501)
    assert "only a client can detach" in host.one(PushRejected).text


def ended(systems: DetachedSystems, system: int, size: int) -> list[int]:
    systems.open(Detached(system, "sums", KEY, "client"))
    return [lost.system for lost in drained(systems.end(system, FINISHED, [bytes(size)]))]


def drained(lost: Iterator[Detached]) -> list[Detached]:
    return list(lost)


def test_results_are_kept_within_bounds_the_oldest_goes_first() -> None:
    systems = DetachedSystems(max_kept=3, max_bytes=100)
    assert [ended(systems, number, 10) for number in range(5)] == [[], [], [], [0], [1]]
    assert ended(systems, 5, 85) == [2, 3]
    assert ended(systems, 6, 101) == [4, 5, 6]
    assert not systems.of_key(KEY)


def test_the_master_says_what_it_drops() -> None:
    master = Master()
    master.core.swarm.detached = DetachedSystems(max_bytes=1)
    push(first := client(master))
    first.say(Bye())
    end(host_of(master))
    assert any("000001f4 (sums, has ended) had to go" in line for line in master.news)
