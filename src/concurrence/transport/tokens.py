"""Tokens of the API over HTTP: one per role, and what browsers get instead of them.

A token is what a key is on the compute channel: whoever has it may do what its role may. It lies in
``tokens.toml`` of the environment's keys folder, and in the connect file of its role.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

from concurrence.errors import ConfigError
from concurrence.transport.security import Role, read_secret_file, write_secret_file

TOKEN_FILE = "tokens.toml"
TOKEN_ROLES = (Role.ADMIN, Role.CLIENT, Role.SLAVE)
MAX_TOKEN = 200
"""Characters of what may come as a token; anything longer is none."""
MIN_TOKEN = 32

_HEADER = """\
# The tokens of the API over HTTP, one per role. Whoever has one has the powers of that role: keep them secret.
# A token is replaced by removing its line and starting the node again.
"""


def new_token() -> str:
    """A fresh secret of 256 bits, of letters, digits, ``-`` and ``_``."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from, as its token says.

    Attributes:
        role: What it may do.
        key: Which token it was: the first half of a digest, which says nothing of the token itself.
        reads_only: Whether it may look, and not call methods: a browser's session.
    """

    role: Role
    key: str
    reads_only: bool = False


class ApiTokens:
    """The tokens of one node. Any thread may ask them.

    Args:
        tokens: The token of each role.
    """

    def __init__(self, tokens: dict[Role, str]) -> None:
        self._tokens = dict(tokens)
        self._callers = [
            (digest := _digest(token), Caller(role, f"token:{digest.hex()[:16]}"))
            for role, token in tokens.items()
        ]

    def __repr__(self) -> str:
        return f"ApiTokens({', '.join(self._tokens)})"

    def __bool__(self) -> bool:
        return bool(self._tokens)

    @classmethod
    def create(cls) -> ApiTokens:
        """Fresh tokens that nobody knows."""
        return cls({role: new_token() for role in TOKEN_ROLES})

    @classmethod
    def of(cls, folder: Path) -> ApiTokens:
        """The tokens in a keys folder; those that are missing are made and kept.

        Raises:
            UsageError: Others than the file's owner can read it.
            ConfigError: It is malformed.
        """
        path = folder / TOKEN_FILE
        kept = read_tokens(path) if path.exists() else {}
        missing = [role for role in TOKEN_ROLES if role not in kept]
        if missing:
            kept.update({role: new_token() for role in missing})
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lines = "".join(f"{role.value} = {json.dumps(kept[role])}\n" for role in TOKEN_ROLES)
            write_secret_file(path, f"{_HEADER}[tokens]\n{lines}", replace=True)
        return cls(kept)

    def token(self, role: Role) -> str:
        """The token of a role; empty if it has none."""
        return self._tokens.get(role, "")

    def caller(self, presented: str) -> Caller | None:
        """Whose token this is, or None; how long that takes does not depend on how much of it is right."""
        digest = _digest(presented[:MAX_TOKEN])
        found: Caller | None = None
        for known, caller in self._callers:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


_Kept: TypeAlias = "OrderedDict[bytes, tuple[float, Caller]]"
"""By the digest of a secret: until when it is good, and whose it is."""


class Sessions:
    """What browsers come in with: a code that is good once, for which they get a cookie. Any thread may use it.

    Args:
        now: Tells the time in seconds.
    """

    CODE_SECONDS = 60.0
    SESSION_SECONDS = 12 * 3600.0
    MAX_CODES = 64
    MAX_SESSIONS = 256

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._codes: _Kept = OrderedDict()
        self._sessions: _Kept = OrderedDict()

    def new_code(self, role: Role, key: str) -> str:
        """A code for a browser of somebody with this role and key; of too many the oldest is void."""
        code = new_token()
        with self._lock:
            self._keep(self._codes, code, self.CODE_SECONDS, Caller(role, key, reads_only=True), self.MAX_CODES)
        return code

    def redeem(self, code: str) -> str | None:
        """The cookie for a code, which is void from now on; None if it is none, or too old."""
        with self._lock:
            ends, caller = self._codes.pop(_digest(code[:MAX_TOKEN]), (0.0, None))
            if caller is None or ends < self._now():
                return None
            cookie = new_token()
            self._keep(self._sessions, cookie, self.SESSION_SECONDS, caller, self.MAX_SESSIONS)
        return cookie

    def caller(self, cookie: str) -> Caller | None:
        """Whose cookie this is; None if it is none, or too old."""
        with self._lock:
            # By its digest: what a dictionary's comparison takes tells nothing of the cookie.
            ends, caller = self._sessions.get(_digest(cookie[:MAX_TOKEN]), (0.0, None))
        return caller if caller is not None and ends >= self._now() else None

    def _keep(
        self,
        kept: _Kept,
        secret: str,
        lasts: float,
        caller: Caller,
        most: int,
    ) -> None:
        kept[_digest(secret)] = (self._now() + lasts, caller)
        while len(kept) > most:
            kept.popitem(last=False)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def read_tokens(path: Path) -> dict[Role, str]:
    """The tokens in a file.

    Raises:
        UsageError: It is missing, or others than its owner can read it.
        ConfigError: It is malformed.
    """
    table = read_secret_file(path, "").get("tokens", {})
    if not isinstance(table, dict):
        raise ConfigError("[tokens] must be a table of roles and tokens", source=str(path))
    tokens: dict[Role, str] = {}
    for name, token in cast("dict[str, object]", table).items():
        if name not in [role.value for role in TOKEN_ROLES]:
            raise ConfigError(f"there is no role {name!r} that has a token", source=str(path))
        if not isinstance(token, str) or not MIN_TOKEN <= len(token) <= MAX_TOKEN or not token.isascii():
            # Its text is not repeated: it may be a secret.
            text = f"{name}: expected a token of {MIN_TOKEN} to {MAX_TOKEN} ASCII characters"
            raise ConfigError(text, source=str(path), hint="Remove the line; the node makes a new one.")
        tokens[Role(name)] = token
    if len(set(tokens.values())) < len(tokens):
        raise ConfigError("two roles have the same token", source=str(path), hint="Remove one of the lines.")
    return tokens
