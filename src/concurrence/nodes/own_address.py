"""The address of this machine that others most likely reach it at."""

from __future__ import annotations

import socket
import struct
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_DOCUMENTATION_ADDRESS = ("192.0.2.1", 9)  # RFC 5737: leads nowhere, and nothing is sent
_SIOCGIFADDR = 0x8915  # netdevice(7): the answer is a name of 16 bytes and a sockaddr_in, whose address is at 4
_LOOPBACK = "127."


def own_address() -> str:
    """The address from which this machine speaks to the world; in a network without a way out, the first there."""
    return routed_address() or next((a for a in interface_addresses() if not a.startswith(_LOOPBACK)), "127.0.0.1")


def routed_address() -> str:
    """The address from which this machine speaks to the world; empty if there is no route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_DOCUMENTATION_ADDRESS)
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def interface_addresses() -> list[str]:
    """The IPv4 address of each network interface that has one, in the system's order; on Windows none."""
    if fcntl is None:
        return []
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("16s24x", name.encode()))
            except OSError:  # it has none
                continue
            found.append(socket.inet_ntoa(answer[20:24]))
    return found
