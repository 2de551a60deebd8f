"""Network addresses: what may be written in a config, and what a peer's address looks like."""

from __future__ import annotations

import ipaddress
import re

from concurrence.errors import UsageError

_ADDRESS = re.compile(r"tcp://(?P<host>\[[^\]]+\]|[^:\[\]/\s]+):(?P<port>[0-9]{1,5})")


def split_address(address: str) -> tuple[str, int]:
    """Host and port of an address ``tcp://host:port``; an IPv6 host keeps its brackets.

    Raises:
        UsageError: The address has another form.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > 65_535:
        raise UsageError(f"{address!r} is not an address", hint="Write tcp://HOST:PORT.")
    return match["host"], int(match["port"])


def plain_address(address: str) -> str:
    """A network address as people write it: IPv4 stays IPv4, even on a socket that speaks both."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
