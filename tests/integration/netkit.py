"""A network of this machine's own: namespaces with an address each, joined by a bridge; a cable can be pulled out.

It takes root and ``ip`` of iproute2. Where they are missing the tests that need it are skipped, and say so; in
``.ci/run`` that is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress

import pytest

needs_network = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or shutil.which("ip") is None,
    reason="network namespaces take root, and ip of iproute2: run the tests as root to include this one",
)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20.0, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


class Network:
    """Hosts on one bridge; the test itself is at the bridge.

    Attributes:
        address: The test's own address.
        hosts: Their names, and the last byte of their addresses.
    """

    def __init__(self) -> None:
        number = os.getpid() % 62_000
        self._tag = f"ct{number}"
        self._prefix = f"10.{200 + number // 2_480 % 50}.{number % 248}"  # of its own, however many run at a time
        self.address = f"{self._prefix}.1"
        self.hosts: dict[str, int] = {}
        _ip("link", "add", self._tag, "type", "bridge")
        _ip("address", "add", f"{self.address}/24", "dev", self._tag)
        _ip("link", "set", self._tag, "up")

    def add(self, name: str) -> str:
        """A host; its address."""
        number = self.hosts[name] = len(self.hosts) + 2
        space, cable = self._space(name), self._cable(name)
        _ip("netns", "add", space)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("link", "set", cable, "master", self._tag)
        _ip("link", "set", cable, "up")
        address = f"{self._prefix}.{number}"
        for words in (["address", "add", f"{address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
            _ip("-n", space, *words)
        _ip("-n", space, "link", "set", "lo", "up")
        return address

    def within(self, name: str) -> tuple[str, ...]:
        """What runs a command there."""
        return ("ip", "netns", "exec", self._space(name))

    def pull(self, *names: str) -> None:
        """Pull their cables out: nothing comes or goes, and nobody is told."""
        for name in names:
            _ip("link", "set", self._cable(name), "down")

    def plug(self, *names: str) -> None:
        """Put them in again."""
        for name in names:
            _ip("link", "set", self._cable(name), "up")

    def throttle(self, name: str, rate: str) -> None:
        """Let no more through towards a host than so much a second, as in ``10mbit``."""
        _ip("link", "set", self._cable(name), "up")
        words = ["tc", "qdisc", "replace", "dev", self._cable(name), "root", "tbf", "rate", rate]
        words += ["burst", "32kb", "latency", "400ms"]
        subprocess.run(words, check=True, capture_output=True, timeout=20.0)

    def close(self) -> None:
        """Take it all down."""
        for name in self.hosts:
            # The cable by itself: with its namespace it would go some time later, and the next test has one alike.
            with suppress(AssertionError):
                _ip("link", "delete", self._cable(name))
            with suppress(AssertionError):
                _ip("netns", "delete", self._space(name))
        _ip("link", "delete", self._tag)

    def _space(self, name: str) -> str:
        return f"{self._tag}-{name}"

    def _cable(self, name: str) -> str:
        return f"{self._tag}{self.hosts[name]}v"


@contextmanager
def network() -> Generator[Network]:
    """A network for the time of a test."""
    made = Network()
    try:
        yield made
    finally:
        made.close()
