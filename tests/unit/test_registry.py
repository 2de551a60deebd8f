"""Who may come in as whom, what functions they are sent, and what they are yet to acknowledge."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from swarm_story import definition, hello, machine

from concurrence.errors import ProtocolError, Refused
from concurrence.journal.gate import DurabilityGate
from concurrence.scheduling import functions
from concurrence.scheduling.deliveries import Deliveries
from concurrence.scheduling.functions import FunctionTable
from concurrence.scheduling.registry import OwnerNode, Registry, SlaveNodeRecord
from concurrence.transport.api import Origin
from concurrence.transport.security import Role
from concurrence.wire.codec import Frame, Parcel
from concurrence.wire.digests import bundle_digest
from concurrence.wire.messages import DefineBundle, DefineFunction, Results, SystemResult


@pytest.fixture
def registry() -> Registry:
    return Registry(lease=10.0, package="1.0")


def origin(role: Role = Role.CLIENT, key: str = "key") -> Origin:
    return Origin(role, key, "10.0.0.1")


class TestRegistry:
    def test_kinds_of_nodes(self, registry: Registry) -> None:
        owner = registry.greet(b"1", hello("client", "c"), origin(), 0.0)
        slave = registry.greet(b"2", hello("slave", "s", slave=machine()), origin(Role.SLAVE), 0.0)
        assert isinstance(owner.node, OwnerNode)
        assert isinstance(slave.node, SlaveNodeRecord)
        assert registry.slaves() == [slave.node]
        assert registry.slave("c") is registry.owner("s") is registry.owner(None) is None
        assert registry.at(b"1") is owner.node

    @pytest.mark.parametrize(
        ("role", "kind"),
        [
            (Role.CLIENT, "slave"),
            (Role.CLIENT, "host"),
            (Role.SLAVE, "client"),
            (Role.HOST, "client"),
            (Role.CLIENT, "admin"),
            (Role.CLIENT, "nonsense"),
        ],
    )
    def test_a_role_limits_the_kind(self, registry: Registry, role: Role, kind: str) -> None:
        with pytest.raises(Refused, match="cannot be used"):
            registry.greet(b"1", hello(kind, "n"), origin(role), 0.0)
        assert len(registry) == 0

    def test_only_a_slave_describes_a_machine(self, registry: Registry) -> None:
        with pytest.raises(Refused, match="must describe"):
            registry.greet(b"1", hello("slave", "s"), origin(Role.SLAVE), 0.0)
        with pytest.raises(Refused, match="must not describe"):
            registry.greet(b"1", hello("client", "c", slave=machine()), origin(), 0.0)

    def test_another_protocol_is_refused_with_both_versions(self, registry: Registry) -> None:
        old = replace(hello("client", "c"), protocol=0, package="0.1")
        with pytest.raises(Refused, match=r"protocol 0 \(concurrence 0\.1\).*concurrence 1\.0"):
            registry.greet(b"1", old, origin(), 0.0)

    def test_the_same_session_resumes(self, registry: Registry) -> None:
        first = registry.greet(b"1", hello("client", "c"), origin(), 0.0)
        again = registry.greet(b"2", hello("client", "c"), origin(), 1.0)
        assert again == (first.node, True, b"1", None)
        assert registry.at(b"1") is None
        assert registry.disconnect(b"1") is None
        assert first.node.peer == b"2"

    def test_a_clone_is_refused_while_the_first_lives(self, registry: Registry) -> None:
        first = registry.greet(b"1", hello("client", "c"), origin(), 0.0)
        clone = hello("client", "c", session="another")
        with pytest.raises(Refused, match=r"in use by the c at 10\.0\.0\.1"):
            registry.greet(b"2", clone, origin(), 9.0)
        registry.disconnect(b"1")
        with pytest.raises(Refused, match="in use"):
            registry.greet(b"2", clone, origin(key="a thief's"), 9.0)
        taken = registry.greet(b"2", clone, origin(), 9.0)
        assert (taken.known, taken.replaced) == (False, first.node)
        assert registry.get("c") is taken.node

    def test_a_session_belongs_to_its_key_and_kind(self, registry: Registry) -> None:
        registry.greet(b"1", hello("client", "c"), origin(Role.ADMIN), 0.0)
        with pytest.raises(Refused, match="another key"):
            registry.greet(b"2", hello("client", "c"), origin(key="other"), 0.0)
        with pytest.raises(Refused, match="is that of a client"):
            registry.greet(b"2", hello("admin", "c"), origin(Role.ADMIN), 0.0)

    def test_silence(self, registry: Registry) -> None:
        node = registry.greet(b"1", hello("client", "c"), origin(), 0.0).node
        assert not registry.silent(10.0)
        assert registry.silent(10.1) == [node]
        registry.remove(node)
        assert len(registry) == 0
        assert registry.at(b"1") is None
        assert "away" in repr(node)


B = bundle_digest(b"source")
PLAIN, BUNDLED = definition().digest, definition(1, b"blob", B).digest


class TestFunctionTable:
    def test_one_number_for_all_owners(self) -> None:
        table = FunctionTable()
        first = table.define("x", definition(), [b"blob"])
        assert table.define("y", definition(7), [b"blob"]) == first
        assert table.find("x", 1) == table.find("y", 7) == first
        assert table.find("y", 1) is table.find("z", 1) is None
        assert table.name(first) == "f"

    def test_a_definition_is_sent_once_and_again_after_it_was_forgotten(self) -> None:
        table = FunctionTable()
        table.define_bundle("x", DefineBundle(1, B), [b"source"])
        number = table.define("x", definition(1, b"blob", B), [b"blob"])
        known: set[bytes] = set()
        kinds = [type(parcel.message) for parcel in table.definition(number, known)]
        assert kinds == [DefineBundle, DefineFunction]
        assert table.definition(number, known) == []
        assert table.forget_owner("x") == [(number, BUNDLED)]
        known.discard(BUNDLED)
        assert table.definition(number, known) == []
        assert table.name(number) == ""
        table.define_bundle("y", DefineBundle(1, B), [b"source"])
        again = table.define("y", definition(1, b"blob", B), [b"blob"])
        assert again != number
        assert [parcel.message.digest for parcel in table.definition(again, known)] == [BUNDLED]

    def test_a_function_lives_as_long_as_one_of_its_users(self) -> None:
        table = FunctionTable()
        number = table.define("x", definition(), [b"blob"])
        table.define("y", definition(), [b"blob"])
        assert table.forget_owner("x") == []
        assert table.forget_owner("y") == [(number, PLAIN)]
        assert table.forget_owner("y") == []

    def test_a_bundle_lives_as_long_as_a_function_that_needs_it(self) -> None:
        table = FunctionTable()
        table.define_bundle("x", DefineBundle(1, B), [b"source"])
        table.define("x", definition(1, b"blob", B), [b"blob"])
        number = table.define("y", definition(1, b"blob", B), [b"blob"])
        table.forget_owner("x")
        assert len(table.definition(number, set())) == 2

    def test_a_bundle_must_come_first(self) -> None:
        with pytest.raises(ProtocolError, match="was not sent"):
            FunctionTable().define("x", definition(1, b"blob", b"c" * 16), [b"blob"])

    def test_a_bundle_goes_with_the_last_function_that_needs_it(self) -> None:
        table = FunctionTable()
        table.define_bundle("x", DefineBundle(1, B), [b"source"])
        table.define("x", definition(1, b"blob", B), [b"blob"])
        table.define("y", definition(1, b"blob", B), [b"blob"])
        table.forget_owner("x")
        table.forget_owner("y")
        with pytest.raises(ProtocolError, match="was not sent"):
            table.define("z", definition(1, b"blob", B), [b"blob"])

    def test_a_number_means_one_function(self) -> None:
        table = FunctionTable()
        first = table.define("x", definition(), [b"blob"])
        assert table.define("x", definition(), [b"blob"]) == first
        with pytest.raises(ProtocolError, match="function number 1 is taken"):
            table.define("x", definition(1, b"other"), [b"other"])
        assert table.find("x", 1) == first

    @pytest.mark.parametrize("frames", [[], [b"other"], [b"blob", b"more"]], ids=len)
    def test_bytes_must_be_those_of_the_digest(self, frames: list[Frame]) -> None:
        table = FunctionTable()
        with pytest.raises(ProtocolError, match="do not match"):
            table.define("x", definition(), frames)
        with pytest.raises(ProtocolError, match="do not match"):
            table.define_bundle("x", DefineBundle(1, B), frames)
        assert table.find("x", 1) is None

    def test_there_is_a_bound_to_each_owners_functions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(functions, "MAX_FUNCTIONS", 2)
        table = FunctionTable()
        for number in (1, 2, 1):
            assert table.define("x", definition(number), [b"blob"])
        assert table.is_full("x")
        assert not table.is_full("y")
        assert table.define("x", definition(3), [b"blob"]) == 0
        assert table.find("x", 3) is None


def delivery(number: int, size: int = 10, tasks: int = 2) -> Parcel[Results]:
    return Parcel(Results(1, number, 7, list(range(tasks)), bytes(tasks), 0.1), [memoryview(bytes(size))])


class TestDeliveries:
    def test_acknowledgements_are_cumulative(self) -> None:
        deliveries = Deliveries()
        for _ in range(3):
            deliveries.keep(delivery(deliveries.next_number()))
        deliveries.keep(Parcel(SystemResult(1, deliveries.next_number(), 7, 0), [b"12345"]))
        assert (len(deliveries), deliveries.bytes, deliveries.tasks) == (4, 35, 7)
        deliveries.acknowledge(2)
        deliveries.acknowledge(1)
        assert [parcel.message.delivery for parcel in deliveries.unacknowledged()] == [3, 4]
        deliveries.acknowledge(10**18)
        assert (len(deliveries), deliveries.bytes, deliveries.tasks) == (0, 0, 0)
        assert deliveries.next_number() == 5


class TestGate:
    def test_items_leave_in_order_when_they_are_durable(self) -> None:
        gate: DurabilityGate[Any] = DurabilityGate()
        for sequence, item in ((1, "a"), (2, "b"), (2, "c"), (3, "d")):
            gate.hold(sequence, item)
        assert gate.release() == []
        gate.durable(2)
        gate.durable(1)
        assert gate.release() == ["a", "b", "c"]
        assert gate.release() == []
        assert len(gate) == 1
        gate.hold(2, "e")
        gate.durable(9)
        assert gate.release() == ["d", "e"]


class TestNamesOfSlaves:
    """Several slaves of one machine call themselves by its name; people must be able to tell them apart."""

    @staticmethod
    def join(registry: Registry, number: int, *, session: str = "s", now: float = 0.0, name: str = "vm") -> str:
        greeting = hello("slave", f"node {number}", slave=machine(), name=name, session=session)
        return registry.greet(str(number).encode(), greeting, origin(Role.SLAVE), now).node.name

    def test_they_are_numbered(self, registry: Registry) -> None:
        assert [self.join(registry, number) for number in range(3)] == ["vm", "vm-2", "vm-3"]
        assert registry.slaves()[1].label == "slave vm-2"
        assert self.join(registry, 4, name="other") == "other"

    def test_who_comes_back_keeps_its_name(self, registry: Registry) -> None:
        self.join(registry, 1)
        self.join(registry, 2)
        registry.disconnect(b"2")
        assert self.join(registry, 2) == "vm-2"
        assert self.join(registry, 1) == "vm"

    def test_who_is_started_again_with_its_identity_keeps_it_too(self, registry: Registry) -> None:
        self.join(registry, 1)
        self.join(registry, 2)
        registry.disconnect(b"1")
        assert self.join(registry, 1, session="another", now=1.0) == "vm"

    def test_a_name_is_free_again_when_its_slave_is_gone(self, registry: Registry) -> None:
        self.join(registry, 1)
        self.join(registry, 2)
        first = registry.slaves()[0]
        registry.remove(first)
        assert self.join(registry, 3) == "vm"

    def test_other_nodes_have_what_names_they_like(self, registry: Registry) -> None:
        for number in (1, 2):
            node = registry.greet(
                str(number).encode(), hello("client", str(number), name="vm"), origin(), 0.0
            ).node
            assert node.name == "vm"
        assert self.join(registry, 3) == "vm"

    def test_a_long_name_with_a_number_still_fits_on_the_wire(self, registry: Registry) -> None:
        names = [self.join(registry, number, name="n" * 1_024) for number in range(3)]
        assert len(set(names)) == 3
        assert max(map(len, names)) <= 1_024


class TestClones:
    """Two processes with one identity, as when a machine is cloned while a node runs on it."""

    def test_whoever_is_replaced_and_says_hello_again_is_refused(self, registry: Registry) -> None:
        registry.greet(b"1", hello("slave", "s", slave=machine()), origin(Role.SLAVE), 0.0)
        registry.greet(b"2", hello("slave", "s", slave=machine(), resumes=True), origin(Role.SLAVE), 1.0)
        with pytest.raises(Refused, match="in use by another process at") as caught:
            registry.greet(b"1", hello("slave", "s", slave=machine(), resumes=True), origin(Role.SLAVE), 2.0)
        assert "cloned" in caught.value.hint
        node = registry.get("s")
        assert node is not None
        assert node.peer == b"2"

    def test_a_node_that_reconnects_often_and_repeats_its_hello_is_no_clone(self, registry: Registry) -> None:
        for n in range(20):
            for _ in range(2):
                greeting = registry.greet(b"%d" % n, hello("client", "c", resumes=n > 0), origin(), float(n))
                assert greeting.node.peer == b"%d" % n
