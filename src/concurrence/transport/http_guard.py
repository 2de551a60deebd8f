"""Who may ask what over HTTP: Host, Origin, token, role and rate of each request, before anything of it is done.

Host is checked because a page of anybody can have a browser ask a name that leads here (DNS rebinding), Origin
because any page can have a browser send requests anywhere. Both are checked whatever the method and the path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from concurrence.errors import ConcurrenceError
from concurrence.transport.http_limits import RateLimit
from concurrence.transport.security import Role
from concurrence.transport.tokens import ApiTokens, Caller, Sessions

BAD_TOKENS_PER_SECOND, BAD_TOKENS_AT_ONCE = 5.0, 20.0
MAX_HEAD_BYTES = 32 * 1024
OPEN_PATHS = frozenset({"/health", "/login"})
"""What needs no token: whether the node lives, and where a browser shows the code that it has."""

_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,255})(?::([0-9]{1,5}))?", re.ASCII)
_ORIGIN = re.compile(r"(https?)://(.{1,300})", re.ASCII)
_SAME_SITE = ("same-origin", "none")
_SHOWN = 80


class HttpRefused(ConcurrenceError):
    """The caller's fault, as the status says.

    Args:
        status: The HTTP status.
        kind: One word for counting.
        message: What is wrong.
        hint: What to do.
    """

    def __init__(self, status: int, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.kind = kind


@dataclass(slots=True)
class Request:
    """What the guard looks at.

    Attributes:
        address: The caller's network address, without port.
        path: The path.
        headers: By lower-case name. A header that came twice is in ``repeated``.
        repeated: The names of headers that came more than once.
        size: Bytes of the request's head.
    """

    address: str
    path: str
    headers: Mapping[str, str]
    repeated: Collection[str] = field(default_factory=tuple[str, ...])
    size: int = 0


class Guard:
    """Decides who may come in.

    Args:
        tokens: The tokens.
        sessions: The sessions of browsers.
        hosts: The names under which the node may be asked, in lower case, without ports; IPv6 in brackets.
        cookie: The name of the sessions' cookie.
        rate: Requests that one caller may have in a second; 0 for any number.
        now: Tells the time in seconds.
    """

    def __init__(
        self,
        tokens: ApiTokens,
        sessions: Sessions,
        hosts: Collection[str],
        cookie: str,
        rate: float,
        now: Callable[[], float],
    ) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._hosts = frozenset(hosts)
        self._cookie = cookie
        self._now = now
        self._rates = RateLimit(rate, 2 * rate) if rate else None
        self._bad_tokens = RateLimit(BAD_TOKENS_PER_SECOND, BAD_TOKENS_AT_ONCE)

    def check(self, request: Request) -> Caller | None:
        """Who is calling; None for what needs no token.

        Raises:
            HttpRefused: The request may not come in.
        """
        if request.size > MAX_HEAD_BYTES:
            raise HttpRefused(431, "head", f"the head of the request has more than {MAX_HEAD_BYTES} bytes")
        self._check_host(request)
        self._check_origin(request)
        encoding = request.headers.get("content-encoding", "identity").lower()
        if encoding != "identity":
            raise HttpRefused(415, "encoding", f"the body is packed: {_shown(encoding)}", "Send it as it is.")
        if request.path in OPEN_PATHS:
            self._charge(request.address)
            return None
        caller = self._caller(request)
        self._charge(f"{request.address} {caller.key}")
        return caller

    def _check_host(self, request: Request) -> None:
        host = request.headers.get("host", "")
        if "host" in request.repeated or not self._is_own(host):
            raise HttpRefused(
                421,
                "host",
                f"the request is for the host {_shown(host)}, which this node does not go by",
                "List the names that it has in [api] allowed_hosts.",
            )

    def _check_origin(self, request: Request) -> None:
        origin = request.headers.get("origin")
        if origin is None and "origin" not in request.repeated:
            return
        match = _ORIGIN.fullmatch(origin or "")
        if "origin" in request.repeated or match is None or not self._is_own(match[2]):
            raise HttpRefused(403, "origin", f"the request comes from a page of {_shown(origin or '')}")

    def _is_own(self, host: str) -> bool:
        match = _HOST.fullmatch(host.lower())
        return match is not None and match[1].rstrip(".") in self._hosts

    def _caller(self, request: Request) -> Caller:
        headers = request.headers
        presented = headers.get("authorization", "")
        cookie = "" if presented else _cookie(headers.get("cookie", ""), self._cookie)
        caller: Caller | None = None
        if presented and "authorization" not in request.repeated:
            scheme, _, token = presented.partition(" ")
            caller = self._tokens.caller(token.strip()) if scheme.lower() == "bearer" else None
        elif cookie:
            # Another port of this host is the same site for a browser, and its pages may have the cookie sent.
            if headers.get("sec-fetch-site", "none") not in _SAME_SITE:
                raise HttpRefused(403, "origin", "a page of another origin made the browser ask this")
            caller = self._sessions.caller(cookie)
        if caller is not None:
            return caller
        if not self._bad_tokens.allows(request.address, self._now()):
            raise HttpRefused(429, "token", "too many requests without a valid token", "Use a valid one.")
        what = "the token is not valid" if presented else "the session is over" if cookie else "there is no token"
        raise HttpRefused(
            401,
            "token",
            what,
            "Send the header Authorization: Bearer TOKEN, with the token in connect/ROLE.toml of the master's "
            "environment; for a browser see: concurrence status --open",
        )

    def _charge(self, who: str) -> None:
        if self._rates is not None and not self._rates.allows(who, self._now()):
            raise HttpRefused(429, "rate", "too many requests in a short time", "Ask less often.")


def allow(caller: Caller | None, roles: Collection[Role], what: str) -> Caller:
    """Whether a caller may have something.

    Args:
        caller: Who asks.
        roles: Who may, besides an administrator.
        what: What they ask for.

    Raises:
        HttpRefused: They may not.
    """
    if caller is None or (caller.role is not Role.ADMIN and caller.role not in roles):
        role = caller.role.value if caller is not None else "none"
        raise HttpRefused(403, "role", f"the role {role} may not ask for {what}", "Use another role's token.")
    return caller


def _cookie(header: str, name: str) -> str:
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
