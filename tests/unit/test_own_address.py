"""The address that connect files say when nobody has said one."""

from __future__ import annotations

import pytest

from concurrence.nodes import own_address
from concurrence.nodes.keys import reachable

LISTENING = "tcp://0.0.0.0:7700"


def stand_at(monkeypatch: pytest.MonkeyPatch, routed: str, *interfaces: str) -> None:
    """The machine has these addresses."""
    monkeypatch.setattr(own_address, "routed_address", lambda: routed)
    monkeypatch.setattr(own_address, "interface_addresses", lambda: list(interfaces))


def test_the_way_to_the_world_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_at(monkeypatch, "10.1.2.3", "127.0.0.1", "172.17.0.1", "10.1.2.3")
    assert reachable(LISTENING, "") == "tcp://10.1.2.3:7700"


def test_a_network_without_a_way_out_has_addresses_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_at(monkeypatch, "", "127.0.0.1", "10.1.2.3")
    assert reachable(LISTENING, "") == "tcp://10.1.2.3:7700"


def test_a_machine_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_at(monkeypatch, "", "127.0.0.1")
    assert reachable(LISTENING, "") == "tcp://127.0.0.1:7700"


def test_what_somebody_said_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_at(monkeypatch, "10.1.2.3")
    assert reachable(LISTENING, "swarm.example.org") == "tcp://swarm.example.org:7700"
    assert reachable("tcp://127.0.0.1:7700", "") == "tcp://127.0.0.1:7700"


def test_this_machines_interfaces_are_read() -> None:
    assert "127.0.0.1" in own_address.interface_addresses()


def test_a_system_without_that_call_has_no_interfaces_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_address, "fcntl", None)
    assert own_address.interface_addresses() == []
