"""Valid messages that make no sense, from peers that are greeted and from ones that are not: nothing may break."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swarm_story import POLICIES, Master, definition, hello, machine, make_policy

from concurrence.errors import ProtocolError
from concurrence.transport.security import Role
from concurrence.wire import messages as wire
from concurrence.wire.codec import Frame, Parcel, decoder_for_master, encode, encode_results, encode_tasks
from concurrence.wire.digests import bundle_digest
from concurrence.wire.fields import MAX_FRAMES

NAMES = ("", "a", "b", "slave", "host", "cpu", "gpu")
BUNDLE = bundle_digest(b"source")
SMALL = st.integers(0, 5)
ADDRESSES = 6
TASKS = st.lists(SMALL, max_size=5).map(
    lambda counters: encode_tasks([wire.PackedTask(each, b"argument") for each in counters])
)
RESULTS = st.integers(0, 5).map(lambda count: encode_results([wire.PackedResult(b"result")] * count))
FRAMES = st.one_of(TASKS, TASKS, RESULTS, st.sampled_from([b"", b"blob", b"source", b"\x93"]))


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type that are small and few, so that they meet each other."""
    if isinstance(kind, msgspec.inspect.IntType):
        return st.integers(
            0 if kind.ge is not None else -2, min(5, kind.le if kind.le is not None else 5)
        ) | st.integers(0, kind.le or 2**63)
    if isinstance(kind, msgspec.inspect.FloatType):
        least, most = kind.ge or 0.0, kind.le or 1e15
        return st.sampled_from([each for each in (0.0, 0.5, 1.0, 2.0, 1e9, 1e15) if least <= each <= most])
    if isinstance(kind, msgspec.inspect.StrType):
        return st.sampled_from([name for name in NAMES if len(name) >= (kind.min_length or 0)])
    if isinstance(kind, msgspec.inspect.BytesType):
        digests = [BUNDLE, definition().digest, definition(1, b"blob", BUNDLE).digest, b"d" * 16]
        return st.sampled_from(digests) if kind.min_length else st.lists(st.integers(0, 7), max_size=5).map(bytes)
    if isinstance(kind, msgspec.inspect.BoolType):
        return st.booleans()
    if isinstance(kind, msgspec.inspect.NoneType):
        return st.none()
    if isinstance(kind, msgspec.inspect.ListType):
        return st.lists(values_of(kind.item_type), max_size=5)
    if isinstance(kind, msgspec.inspect.DictType):
        return st.dictionaries(values_of(kind.key_type), values_of(kind.value_type), max_size=2)
    if isinstance(kind, msgspec.inspect.UnionType):
        return st.one_of(*map(values_of, kind.types))
    if isinstance(kind, msgspec.inspect.StructType):
        return of(kind.cls)
    raise TypeError(f"no strategy for {kind}")


def of(message: type[Any]) -> st.SearchStrategy[Any]:
    described = msgspec.inspect.type_info(message)
    assert isinstance(described, msgspec.inspect.StructType)
    few = {"frames": st.integers(0, 2), "push": st.integers(0, 60), "number": SMALL, "chunk": st.integers(0, 12)}
    fields = {field.name: few.get(field.name, values_of(field.type)) for field in described.fields}
    return st.builds(message, **fields)


@st.composite
def parcels(draw: st.DrawFn, message: type[Any]) -> Parcel[Any]:
    sent = draw(of(message))
    count = min(sent.frames, MAX_FRAMES) if isinstance(sent, wire.Bodied) else 0
    frames: list[Frame] = [draw(FRAMES) for _ in range(count)]
    return Parcel(sent, frames)


def push(number: int, system: int, function: int, needs: dict[str, float], counters: Sequence[int]) -> Parcel[Any]:
    tasks = [wire.PackedTask(counter, b"argument") for counter in counters]
    return Parcel(wire.PushTasks(1, number, system, function, 0, 1, 0.0, needs), [encode_tasks(tasks)])


def answer(chunk: int, counters: list[int], statuses: list[int]) -> Parcel[Any]:
    ends = bytes((statuses * 9)[: len(counters)])
    body = encode_results([wire.PackedResult(b"result")] * len(counters))
    return Parcel(wire.ChunkResults(1, chunk, counters, ends, 1.0), [body])


def push_system(system: int, number: int) -> Parcel[Any]:
    return Parcel(wire.PushSystem(number, system, 1, "s"))


def claim(chunks: list[int]) -> Parcel[Any]:
    return Parcel(wire.Claimed(chunks))


def greeting(kind: str, node: str, session: str, system: int) -> Parcel[Any]:
    description = machine(gpu=1.0) if kind == "slave" else None
    return Parcel(hello(kind, node, session=session, system=system, slave=description, chunks=[1, 2, 9]))


NEEDS: list[dict[str, float]] = [{}, {}, {"gpu": 1.0}]
COUNTERS = st.lists(st.integers(0, 60), min_size=1, max_size=4, unique=True)
CHUNK = st.integers(1, 12)
LIKELY = st.one_of(
    st.builds(
        push,
        st.integers(1, 60),
        st.integers(1, 3),
        st.integers(1, 2),
        st.sampled_from(NEEDS),
        COUNTERS.map(sorted),
    ),
    st.builds(answer, CHUNK, st.lists(SMALL, max_size=4), st.lists(st.integers(0, 7), min_size=1)),
    st.builds(push_system, SMALL, st.integers(1, 9)),
    st.builds(claim, st.lists(CHUNK, max_size=4)),
)
HELLO = st.builds(
    greeting,
    st.sampled_from(["client", "slave", "host", "admin"]),
    st.sampled_from(["a", "b", "slave", "host"]),
    st.sampled_from("st"),
    st.integers(0, 4),
)
ANY = st.one_of(*(parcels(message) for message in get_args(wire.ToMaster)))
STEP = st.one_of(
    st.tuples(st.just("say"), st.integers(0, ADDRESSES - 1), st.one_of(LIKELY, LIKELY, ANY, HELLO)),
    st.tuples(st.just("say"), st.integers(0, ADDRESSES - 1), st.one_of(LIKELY, LIKELY, ANY)),
    st.tuples(
        st.just("greet"), st.integers(0, ADDRESSES - 1), st.tuples(st.sampled_from("sst"), st.integers(1, 4))
    ),
    st.tuples(st.just("say"), st.integers(0, ADDRESSES - 1), st.just(Parcel(wire.Bye()))),
    st.tuples(st.sampled_from(["wait", "break", "garbage", "return", "exit"]), SMALL, st.none()),
)


def swarm(policy: str) -> Master:
    """Two clients, a slave, a host of one of their systems, an admin, and one that said nothing yet."""
    master = Master(scheduler=make_policy(policy))
    for node, system in (("a", 1), ("b", 2)):
        client = master.client(node, system, session="s")
        client.define(1)
        client.define(2, b"source")
    client.push_system(1, 3)
    client.say(wire.PushSystem(2, 3, 1, "three"))
    master.slave("slave", machine(gpu=1.0), session="s")
    ticket = master.orders[0].ticket
    master.connect(hello("host", "host", system=3, ticket=ticket, session="s")).define(1)
    master.connect(hello("admin", "admin", session="s"), Role.ADMIN)
    master.connect(hello("client", "c", system=1, session="s"))
    return master


def play(master: Master, action: str, number: int, parcel: Any) -> None:
    """One step."""
    core, name = master.core, list(master.peers)[number]
    peer = master.peers[name]
    if action == "greet":
        kind, node = peer.origin.role.value, peer.origin.key.removeprefix("key of ")
        parcel = greeting(kind, node, *parcel)
        action = "say"
    if action == "say":
        if isinstance(parcel.message, wire.Hello) and parcel.message.kind == "host" and master.orders:
            ticket = {order.system: order.ticket for order in master.orders}.get(parcel.message.system, "")
            parcel = Parcel(msgspec.structs.replace(parcel.message, ticket=ticket))
        for each in decoder_for_master().decode(encode([parcel])):
            core.receive(name, each, lambda: peer.origin, master.now)
    elif action == "wait":
        master.now += (0.1, 1.5, 4.0, 0.5, 6.0, 11.0)[number]
        core.tick(master.now)
    elif action == "break":
        core.unreachable(name, master.now)
    elif action == "garbage":
        core.garbage(name, ProtocolError("nonsense"))
    elif action == "return":
        core.work_not_taken(number)
    else:
        core.host_exited(number, "it ended")
    master.ledger.sanity_check()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("concluded", [True, False], ids=["every step", "at the end"])
@settings(max_examples=120, deadline=None)
@given(steps=st.lists(STEP, min_size=10, max_size=60))
def test_no_message_breaks_the_core(policy: str, concluded: bool, steps: list[tuple[str, int, Any]]) -> None:
    master = swarm(policy)
    for step in steps:
        play(master, *step)
        if concluded:
            master.cycle()
    master.cycle()
    for _ in range(3):
        master.wait(5.0)
    assert not master.ledger.jobs, "everybody fell silent"
