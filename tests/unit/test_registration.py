"""Who may register what, and for how long it stays registered."""

from __future__ import annotations

import pytest

from concurrence.errors import NotFound, Refused, UsageError
from concurrence.nodes import registration
from concurrence.nodes.api import NodeType
from concurrence.nodes.registration import MAX_DATA_BYTES, Registrations
from concurrence.transport.remote import ApiRequest
from concurrence.transport.security import Role

SLAVE = ApiRequest("192.0.2.1", Role.SLAVE, "slave's key")
OTHER = ApiRequest("192.0.2.2", Role.SLAVE, "other key")
ADMIN = ApiRequest("192.0.2.3", Role.ADMIN, "admin's key")
CLIENT = ApiRequest("192.0.2.4", Role.CLIENT, "client's key")


@pytest.fixture
def nodes() -> Registrations:
    made = Registrations(10.0)
    assert not made.register("attic", SLAVE, 7, {"cores": 2}, NodeType.SLAVE, 0.0)
    return made


def test_a_node_stays_while_it_sends_heartbeats(nodes: Registrations) -> None:
    for now in (9.0, 18.0, 27.0):
        nodes.heartbeat("attic", SLAVE, now)
    assert [(each.node, each.address, each.port, each.since) for each in nodes.all(27.0)] == [
        ("attic", "192.0.2.1", 7, 0.0)
    ]
    with pytest.raises(NotFound, match="no such node"):
        nodes.heartbeat("attic", SLAVE, 37.5)
    assert nodes.all(37.5) == []


def test_registering_again_tells_what_changed(nodes: Registrations) -> None:
    assert nodes.register("attic", SLAVE, 8, {}, NodeType.SLAVE, 5.0)
    (node,) = nodes.all(5.0)
    assert (node.port, node.data, node.since, node.heard) == (8, {}, 0.0, 5.0)


def test_an_identity_belongs_to_its_key(nodes: Registrations) -> None:
    with pytest.raises(Refused, match="another key"):
        nodes.register("attic", OTHER, 0, {}, NodeType.SLAVE, 1.0)
    for refused in (nodes.heartbeat, nodes.unregister):
        with pytest.raises(Refused, match="another key"):
            refused("attic", OTHER, 1.0)
    nodes.unregister("attic", ADMIN, 1.0)
    assert len(nodes) == 0


@pytest.mark.parametrize(
    ("request_", "kind"), [(CLIENT, NodeType.SLAVE), (SLAVE, NodeType.CLIENT), (CLIENT, NodeType.MASTER)]
)
def test_a_role_registers_its_own_kind(nodes: Registrations, request_: ApiRequest, kind: NodeType) -> None:
    with pytest.raises(Refused, match="cannot register"):
        nodes.register("new", request_, 0, {}, kind, 0.0)


def test_limits(nodes: Registrations, monkeypatch: pytest.MonkeyPatch) -> None:
    for node, port in (("", 0), ("n" * 65, 0), ("a\nb", 0), ("n", -1), ("n", 65_536)):
        with pytest.raises(UsageError):
            nodes.register(node, SLAVE, port, {}, NodeType.SLAVE, 0.0)
    with pytest.raises(UsageError, match="65,536 bytes"):
        nodes.register("n", SLAVE, 0, {"much": bytes(MAX_DATA_BYTES)}, NodeType.SLAVE, 0.0)
    monkeypatch.setattr(registration, "MAX_REGISTERED", 1)
    with pytest.raises(Refused, match="no more"):
        nodes.register("n", SLAVE, 0, {}, NodeType.SLAVE, 0.0)
    assert not nodes.register("n", SLAVE, 0, {}, NodeType.SLAVE, 11.0)  # the other one's lease is over
