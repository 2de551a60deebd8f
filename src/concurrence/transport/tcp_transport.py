"""The transport over plain TCP with TLS: chosen by ``[node] transport = "tcp"``, on all machines of a swarm."""

from __future__ import annotations

import importlib.util
import threading
from typing import TYPE_CHECKING

from concurrence.component import Component, ComponentManager
from concurrence.env.options import BoolOption
from concurrence.errors import ComponentError
from concurrence.transport.addresses import split_address
from concurrence.transport.api import IClient, IServer, ITransport, IWorkQueue, IWorkSource
from concurrence.transport.limits import max_frame_option
from concurrence.transport.security import Credentials, KeyRing

if TYPE_CHECKING:
    from concurrence.transport.tcp_ends import Ends


class TCPTransport(Component, ITransport):
    """Encrypted by TLS 1.3 and authenticated by the same keys as ZeroMQ's; one poll loop, no other threads."""

    max_frame_bytes = max_frame_option()
    uses_tls = BoolOption(
        "transport",
        "tls",
        True,
        "Whether TCPTransport encrypts. Without, it works on the loopback interface alone, and keys are proven "
        "all the same: for measuring. It must be the same at both ends.",
    )

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self._lock = threading.Lock()
        self._ends: Ends | None = None

    def server(self, address: str, keys: KeyRing) -> IServer:
        """Listen; see :meth:`ITransport.server`."""
        split_address(address)
        return self._opened().server(address, keys)

    def client(self, credentials: Credentials) -> IClient:
        """Connect; see :meth:`ITransport.client`."""
        split_address(credentials.address)
        return self._opened().client(credentials)

    def work_queue(self, address: str, keys: KeyRing) -> IWorkQueue:
        """Listen for slaves that pull; see :meth:`ITransport.work_queue`."""
        split_address(address)
        return self._opened().work_queue(address, keys)

    def work_source(self, address: str, credentials: Credentials) -> IWorkSource:
        """Pull work; see :meth:`ITransport.work_source`."""
        split_address(address)
        return self._opened().work_source(address, credentials)

    def close(self) -> None:
        """Close whatever is open; what was sent is flushed for a moment. Repeatable."""
        with self._lock:
            ends, self._ends = self._ends, None
        if ends is not None:
            ends.close()

    def _opened(self) -> Ends:
        with self._lock:
            if self._ends is None:
                self._ends = _make_ends(self.max_frame_bytes, uses_tls=self.uses_tls)
            return self._ends


def _make_ends(max_frame_bytes: int, *, uses_tls: bool) -> Ends:
    from concurrence.transport.tcp_poll import has_epoll  # noqa: PLC0415  with what follows

    if not has_epoll():
        raise ComponentError(
            "TCPTransport needs epoll and eventfd, which this system lacks: it runs on Linux",
            hint='Use ZeroMQ: [node] transport = "zmq", on all machines.',
        )
    if importlib.util.find_spec("cryptography") is None:
        raise ComponentError(
            "TCPTransport needs the package cryptography, which is not installed",
            hint="pip install 'concurrence[tcp]', or use ZeroMQ: [node] transport = \"zmq\".",
        )
    from concurrence.transport.tcp_ends import Ends  # noqa: PLC0415  its libraries take 60 ms, which others save

    return Ends(max_frame_bytes, uses_tls=uses_tls)
