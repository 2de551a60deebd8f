"""All transports keep what every transport has to keep, and one that does not is found out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from concurrence.component import Component
from concurrence.testing import environment
from concurrence.testing.conformance import TransportConformance
from concurrence.testing.transport_conformance import Ends
from concurrence.transport.memory import MemoryClient, MemoryTransport
from concurrence.transport.security import Credentials, KeyRing
from concurrence.transport.tcp_transport import TCPTransport
from concurrence.transport.zmq_transport import ZMQTransport
from concurrence.wire.codec import Frame


class TestZMQ(TransportConformance):
    transport = ZMQTransport


class TestTCP(TransportConformance):
    transport = TCPTransport


class TestMemory(TransportConformance):
    transport = MemoryTransport


class LosesEmptyFrames(MemoryTransport):
    def client(self, credentials: Credentials) -> MemoryClient:
        client: Any = super().client(credentials)
        send = client.send

        def lossy(frames: Sequence[Frame]) -> bool:
            return send([frame for frame in frames if frame])

        client.send = lossy
        return client


class TrustsEverybody(MemoryTransport):
    def client(self, credentials: Credentials) -> MemoryClient:
        listeners: dict[str, Any] = dict(self.network.listeners)
        for server in listeners.values():
            server.keys.authorize(credentials.keys.public, credentials.role)
        return super().client(credentials)


@pytest.mark.parametrize(
    ("transport", "test", "arguments"),
    [
        (LosesEmptyFrames, "test_a_message_there_and_back", ["client"]),
        (TrustsEverybody, "test_a_wrong_key_gets_nowhere", ["client"]),
    ],
)
def test_who_forgets_something_is_found_out(transport: type[Component], test: str, arguments: list[str]) -> None:
    suite = TransportConformance()
    with environment(transport) as opened:
        made: Any = opened.component(transport)
        suite.keys = KeyRing.create()
        suite.ends = Ends(made, suite.keys)
        try:
            with pytest.raises(AssertionError):
                getattr(suite, test)(*arguments)
        finally:
            suite.ends.close()
