"""The keys of a master: kept in its environment, or made for one run; and the connect files that it hands out."""

from __future__ import annotations

from pathlib import Path

from concurrence.env.environment import Environment
from concurrence.errors import UsageError
from concurrence.nodes.own_address import own_address
from concurrence.transport.http_pages import is_loopback
from concurrence.transport.security import (
    MASTER_FILE,
    Credentials,
    KeyPair,
    KeyRing,
    Role,
    new_key_pair,
    read_connect_file,
    write_connect_file,
)
from concurrence.transport.tokens import ApiTokens

PUBLISHED_ROLES = (Role.CLIENT, Role.SLAVE, Role.ADMIN)
_WILDCARDS = ("0.0.0.0", "::", "*")


def connect_path(environment: Environment, role: Role) -> Path:
    """Where an environment keeps the connect file of a role."""
    return environment.path / "connect" / f"{role.value}.toml"


class MasterKeys:
    """A master's key ring with one key per role.

    Args:
        ring: The ring, on which all the keys are authorized.
        keys: The pair of each role.
    """

    def __init__(self, ring: KeyRing, keys: dict[Role, KeyPair]) -> None:
        self.ring = ring
        self._keys = keys
        self._api = ""
        self._tokens = ApiTokens({})

    def add_api(self, address: str, tokens: ApiTokens) -> None:
        """The master has an HTTP port: connect files tell where, and the token of their role."""
        self._api, self._tokens = address, tokens

    @classmethod
    def private(cls) -> MasterKeys:
        """Keys for one run, kept in memory only."""
        return cls._complete(KeyRing.create(), {})

    @classmethod
    def of(cls, environment: Environment) -> MasterKeys:
        """The keys in an environment; those that are missing are made and kept.

        Raises:
            UsageError: A key file is readable by others.
            ConfigError: A key file is malformed.
        """
        folder = environment.path / "keys"
        ring = KeyRing.load(folder) if (folder / MASTER_FILE).exists() else KeyRing.create()
        keys: dict[Role, KeyPair] = {}
        for role in PUBLISHED_ROLES:
            path = connect_path(environment, role)
            if path.exists():
                kept = read_connect_file(path)
                if ring.role_of(kept.keys.public) is role:
                    keys[role] = kept.keys
        made = cls._complete(ring, keys)
        ring.save(folder)
        return made

    @classmethod
    def _complete(cls, ring: KeyRing, keys: dict[Role, KeyPair]) -> MasterKeys:
        for role in PUBLISHED_ROLES:
            if role not in keys:
                keys[role] = new_key_pair()
                ring.authorize(keys[role].public, role)
        return cls(ring, keys)

    def credentials(self, role: Role, address: str) -> Credentials:
        """What a node with this role needs to connect."""
        if role is Role.HOST and role not in self._keys:
            # Made for this run and never written: it must not leave the machine.
            self._keys[role] = new_key_pair()
            self.ring.authorize(self._keys[role].public, role)
        token = self._tokens.token(role)
        api = self._api if token else ""
        return Credentials(address, self.ring.keys.public, role, self._keys[role], api, token)

    def publish(self, environment: Environment, address: str) -> None:
        """Write the connect files, with the address at which the master can be reached."""
        for role in PUBLISHED_ROLES:
            write_connect_file(connect_path(environment, role), self.credentials(role, address))


def reachable(address: str, advertised: str) -> str:
    """The address that other machines are told.

    Args:
        address: Where the master listens, as ``tcp://host:port``.
        advertised: The host that its operator wants them to be told; empty for a guess.
    """
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    if advertised:
        return f"tcp://{advertised}:{port}"
    if host.strip("[]") not in _WILDCARDS:
        return address
    return f"tcp://{own_address()}:{port}"


def reachable_url(url: str, advertised: str) -> str:
    """The same for the address of an HTTP port, as ``http://host:port``."""
    return "http" + reachable("tcp" + url.removeprefix("http"), advertised).removeprefix("tcp")


def local(address: str) -> str:
    """The address under which this machine itself reaches it."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return f"tcp://127.0.0.1:{port}" if host.strip("[]") in _WILDCARDS else address


def is_local(address: str) -> bool:
    """Whether an address reaches this machine alone."""
    return is_loopback(address.removeprefix("tcp://").rpartition(":")[0])


def at_host_of(address: str, other: str) -> str:
    """``address`` with the host of ``other``: a slave reaches the work queue where it reached its master.

    Raises:
        UsageError: ``other`` is no address.
    """
    host, separator, _ = other.removeprefix("tcp://").rpartition(":")
    if not separator:
        raise UsageError(f"{other!r} is not an address: expected tcp://host:port")
    return f"tcp://{host}:{address.rpartition(':')[2]}"
