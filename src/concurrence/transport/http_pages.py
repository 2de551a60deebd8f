"""What a node serves over HTTP besides its methods: plain data, told without a web framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TypeAlias

from concurrence.errors import UsageError
from concurrence.transport.security import Role
from concurrence.transport.tokens import ApiTokens, Sessions

JSON = "application/json"
PEOPLE = frozenset({Role.ADMIN, Role.CLIENT})
"""Who may look at how a swarm is. Slaves' machines need not know."""
EVERYBODY = frozenset({Role.ADMIN, Role.CLIENT, Role.SLAVE})
"""Whoever has a token."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What is served.

    Attributes:
        body: The bytes.
        media_type: What they are.
        status: The HTTP status.
    """

    body: bytes
    media_type: str = JSON
    status: int = 200


Make: TypeAlias = "Callable[[], HttpAnswer]"


@dataclass(frozen=True, slots=True)
class HttpPages:
    """What there is to be had by GET.

    Attributes:
        made: By path, what makes it: called on the node's own thread, for each request.
        fixed: By path, what is always the same.
        events: Makes one event for those who listen at ``/events``, JSON in one line: called on the node's own
            thread, once a second while anybody listens; None if there are none.
        front: What a browser is told that has no session, with one style element; empty for the same as others.
    """

    made: dict[str, Make] = field(default_factory=dict[str, Make])
    fixed: dict[str, HttpAnswer] = field(default_factory=dict[str, HttpAnswer])
    events: Callable[[], bytes] | None = None
    front: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How a node serves HTTP.

    Attributes:
        host: The address to listen on.
        port: The port; 0 for a free one.
        tokens: The tokens; without any it listens on the loopback interface only, and lets nobody in.
        sessions: The sessions of browsers.
        hosts: Names besides the host's own, and those of the loopback interface, under which it may be asked.
        rate: Requests that a caller may have in a second; 0 for any number.
        connections: How many there may be at once.
        answer_seconds: How long the node's thread may take for an answer.
        head_seconds: How long the head of a request may take.
        request_seconds: How long its body and the answer may take.
    """

    host: str
    port: int
    tokens: ApiTokens
    sessions: Sessions = field(default_factory=Sessions)
    hosts: tuple[str, ...] = ()
    rate: float = 0.0
    connections: int = 256
    answer_seconds: float = 10.0
    head_seconds: float = 10.0
    request_seconds: float = 30.0

    def check(self) -> None:
        """Whether it may be served so.

        Raises:
            UsageError: It would listen for everybody, without tokens.
        """
        if not self.tokens and not is_loopback(self.host):
            raise UsageError(
                f"the API may not listen at {self.host} without tokens: everybody could use it",
                hint="Give it tokens, or have it listen at 127.0.0.1.",
            )

    def own_hosts(self) -> frozenset[str]:
        """The names under which it may be asked."""
        names = {"localhost", "127.0.0.1", "[::1]", *(name.lower() for name in self.hosts)}
        return frozenset(names | {url_host(self.host)})


def is_loopback(host: str) -> bool:
    """Whether an address reaches this machine alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def url_host(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host.lower()}]" if ":" in host and not host.startswith("[") else host.lower()
