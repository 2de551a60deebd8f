"""Who may talk to whom: CURVE keys, roles, and the files that keep them.

The master's own key pair lies in ``master.toml`` of the environment's keys folder, the public keys that may
connect in ``authorized.toml``. A *connect file* holds all that one other machine needs. Whoever can read
one of these files has its powers, so they are made readable by their owner only, and not read otherwise.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import stat
import struct
import tomllib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import cast

import zmq
from zmq.utils import z85

from concurrence.errors import ConfigError, UsageError, did_you_mean

MASTER_FILE = "master.toml"
AUTHORIZED_FILE = "authorized.toml"

_KEY_LENGTH = 40  # 32 bytes in Z85
_MAX_FILE_BYTES = 16 * 1024 * 1024
_CONFIG_FILE = "concurrence.toml"
_ADDRESS = re.compile(r".+:\d{1,5}", re.ASCII)

_MASTER_HEADER = """\
# The master's own key pair. Whoever can read it can pose as the master: keep it secret.
"""
_AUTHORIZED_HEADER = """\
# The public keys that may connect to the master, each with its role.
"""
_CONNECT_HEADER = """\
# Connect file of Concurrent: the one file that another machine needs to join this swarm.
# Whoever has it can connect with the role below: keep it secret, and carry it only over secure channels.
"""


class Role(StrEnum):
    """What a key allows its holder to be."""

    CLIENT = "client"
    SLAVE = "slave"
    ADMIN = "admin"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key pair; both halves are Z85 text.

    Attributes:
        public: The half that others may know.
        secret: The half that nobody else may know; it does not show in ``repr``.
    """

    public: str
    secret: str = field(repr=False)


def new_key_pair() -> KeyPair:
    """A fresh key pair."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode("ascii"), secret.decode("ascii"))


@dataclass(frozen=True, slots=True)
class Credentials:
    """All that a node needs to connect: the contents of a connect file.

    Attributes:
        address: Where the master listens, as ``tcp://host:port``.
        server_key: The master's public key, in Z85; another server is not talked to.
        role: What the master lets ``keys`` be.
        keys: The node's own key pair.
        api: Where the master serves its API over HTTP, as ``http://host:port``; empty if it does not.
        token: What the API wants to see from this role; it does not show in ``repr``.
    """

    address: str
    server_key: str
    role: Role
    keys: KeyPair
    api: str = ""
    token: str = field(default="", repr=False)


class KeyRing:
    """The master's own key pair, and the public keys that may connect. Any thread may ask it.

    Args:
        keys: The master's own key pair.
    """

    def __init__(self, keys: KeyPair) -> None:
        self.keys = keys
        self.revision = 0
        """Grows when a key loses its role, so that a transport can cut connections that already exist."""
        self._roles: dict[str, Role] = {}

    def __repr__(self) -> str:
        return f"KeyRing({self.keys.public}, {len(self._roles)} authorized)"

    @classmethod
    def create(cls) -> KeyRing:
        """A key ring with a fresh key pair that authorizes nobody."""
        return cls(new_key_pair())

    @classmethod
    def load(cls, folder: Path) -> KeyRing:
        """The key ring in a keys folder.

        Raises:
            UsageError: A file is missing, or others than its owner can read it.
            ConfigError: A file is malformed; the text names it.
        """
        path = folder / MASTER_FILE
        table = read_secret_file(path, "Make the keys with the environment, or restore its keys folder.")
        ring = cls(_key_pair(table, path))
        if (folder / AUTHORIZED_FILE).exists():
            path = folder / AUTHORIZED_FILE
            entries = read_secret_file(path, "").get("keys", {})
            if not isinstance(entries, dict):
                raise ConfigError("[keys] must be a table of public keys and roles", source=str(path))
            for public, role in cast("dict[str, object]", entries).items():
                ring.authorize(_checked_key(public, "keys", path), _checked_role(role, path))
        return ring

    def save(self, folder: Path) -> None:
        """Write the key ring into a keys folder, which is made if need be.

        Raises:
            UsageError: The folder holds another master's key, which is never overwritten.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        master = folder / MASTER_FILE
        if not master.exists():
            write_secret_file(master, _MASTER_HEADER + _pair_lines(self.keys), replace=False)
        elif KeyRing.load(folder).keys != self.keys:
            raise UsageError(
                f"{master} holds another master's key",
                hint="Every connect file relies on that key. Move the folder away if it shall be replaced.",
            )
        roles = sorted(self._roles.items(), key=lambda entry: (entry[1], entry[0]))
        lines = "".join(f"{_quoted(public)} = {_quoted(role)}\n" for public, role in roles)
        write_secret_file(folder / AUTHORIZED_FILE, f"{_AUTHORIZED_HEADER}[keys]\n{lines}", replace=True)

    def authorize(self, public: str, role: Role) -> None:
        """Let a public key connect with a role; a role that it had before is replaced."""
        before = self._roles.get(public)
        self._roles[public] = role
        if before not in (None, role):
            self.revision += 1

    def invite(self, address: str, role: Role) -> Credentials:
        """Authorize a fresh key: the credentials of who may connect with it.

        Args:
            address: Where the server listens, as ``tcp://host:port``.
            role: What the key allows.
        """
        keys = new_key_pair()
        self.authorize(keys.public, role)
        return Credentials(address, self.keys.public, role, keys)

    def revoke(self, public: str) -> None:
        """Let a public key connect no more; what it still sends on live connections is dropped."""
        if self._roles.pop(public, None) is not None:
            self.revision += 1

    def role_of(self, public: str) -> Role | None:
        """The role of a public key, or None if it may not connect."""
        return self._roles.get(public)

    def authorized(self) -> dict[str, Role]:
        """The public keys that may connect, and their roles."""
        return dict(self._roles)


def write_connect_file(path: Path, credentials: Credentials) -> None:
    """Write a connect file, readable by its owner only; a file that is there already is replaced."""
    lines = (
        f"address = {_quoted(credentials.address)}\n"
        f"server_key = {_quoted(credentials.server_key)}\n"
        f"role = {_quoted(credentials.role)}\n"
    )
    if credentials.api:
        lines += f"api = {_quoted(credentials.api)}\ntoken = {_quoted(credentials.token)}\n"
    write_secret_file(path, _CONNECT_HEADER + lines + _pair_lines(credentials.keys), replace=True)


def read_connect_file(path: Path, role: Role = Role.CLIENT) -> Credentials:
    """The credentials in a connect file.

    Args:
        path: The file.
        role: The role that is needed: its connect file is proposed where another file was named by mistake.

    Raises:
        UsageError: The file is missing or no connect file, or others than its owner can read it.
        ConfigError: It is malformed, or a key is missing or wrong.
    """
    _refuse_what_is_none(path, role)
    table = read_secret_file(path, "concurrence master --env PATH makes it, in PATH/connect; copy it here.")
    return Credentials(
        address=_text(table, "address", path),
        server_key=_checked_key(_text(table, "server_key", path), "server_key", path),
        role=_checked_role(_text(table, "role", path), path),
        keys=_key_pair(table, path),
        api=_text(table, "api", path) if "api" in table else "",
        token=_text(table, "token", path) if "token" in table else "",
    )


def _refuse_what_is_none(path: Path, role: Role) -> None:
    # Other files of an environment are taken for its connect files, and the folder itself, and the address.
    if not path.exists():
        if _ADDRESS.fullmatch(path.name):
            raise UsageError(
                f"{path.name} is an address; a connect file is needed, which holds the address and the keys",
                hint=f"concurrence master --env PATH makes PATH/connect/{role}.toml: copy it here, and name it.",
            )
        return
    what = "is a folder" if path.is_dir() else _other_kind(path)
    if what:
        raise UsageError(f"{path} is not a connect file: it {what}", hint=_right_file(path, role))


def _other_kind(path: Path) -> str:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")) if path.stat().st_size < _MAX_FILE_BYTES else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return ""  # what is wrong with it is told by whoever reads it in earnest
    if path.name == AUTHORIZED_FILE or table.keys() == {"keys"}:
        return "lists the keys that may connect to a master"
    if path.name == MASTER_FILE or table.keys() == {"public", "secret"}:
        return "holds the master's own keys"
    is_config = path.name == _CONFIG_FILE or any(isinstance(value, dict) for value in table.values())
    return "is a config file" if is_config else ""


def _right_file(path: Path, role: Role) -> str:
    name = f"connect/{role}.toml"
    folder = next((each for each in (path, *path.parents[:2]) if (each / "connect").is_dir()), None)
    if folder is None:
        return f"The environment of the master has one: {name}."
    if (folder / name).exists():
        return f"Use {folder / name}"
    return f"concurrence master --env {shlex.quote(str(folder))} makes {folder / name}: start it first."


def write_secret_file(path: Path, text: str, *, replace: bool) -> None:
    """Write a file that its owner alone can read; it appears under its name complete or not at all.

    Args:
        path: The file.
        text: What it holds.
        replace: Whether a file that is there already may be replaced.

    Raises:
        UsageError: There is one, and it may not.
    """
    # The text appears under its name complete or not at all. The temporary name is random and made with
    # O_EXCL, so that nobody who can write to the folder can have prepared it.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)  # a umask may have taken bits away
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            path.hardlink_to(temporary)  # unlike a rename, it fails if there is such a file by now
    except FileExistsError as error:
        raise UsageError(f"{path} was just made by another process", hint="Try again.") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def read_secret_file(path: Path, hint: str) -> dict[str, object]:
    """What a TOML file with a secret says.

    Args:
        path: The file.
        hint: What to do if it is missing.

    Raises:
        UsageError: It is missing, or others than its owner can read it.
        ConfigError: It is malformed.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MAX_FILE_BYTES) if stat.S_ISREG(mode) else b""
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}", hint=hint) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is not a file", hint=hint)
    if mode & 0o077:
        raise UsageError(
            f"{path} holds a secret, but others than its owner may read or write it (mode {mode & 0o777:04o})",
            hint=f"If nobody else can have read it: chmod 600 {shlex.quote(str(path))}. Otherwise make new keys.",
        )
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not a TOML file: {error}", source=str(path), hint="Fetch a fresh copy.") from error


def _key_pair(table: dict[str, object], path: Path) -> KeyPair:
    public = _checked_key(_text(table, "public", path), "public", path)
    secret = _checked_key(_text(table, "secret", path), "secret", path)
    if zmq.curve_public(secret.encode("ascii")).decode("ascii") != public:
        raise ConfigError("the public and the secret key do not belong together", source=str(path))
    return KeyPair(public, secret)


def _text(table: dict[str, object], name: str, path: Path) -> str:
    value = table.get(name)
    if value is None:
        raise ConfigError(f"the key {name!r} is missing", source=str(path), hint="Fetch a fresh copy.")
    if not isinstance(value, str):
        raise ConfigError(f"{name}: expected a string, found {value!r}", source=str(path))
    return value


def _checked_key(key: str, name: str, path: Path) -> str:
    if not _is_key(key):  # its text is not repeated: it may be a secret
        raise ConfigError(f"{name}: expected a key of {_KEY_LENGTH} characters in Z85", source=str(path))
    return key


def _is_key(text: str) -> bool:
    try:
        return len(text) == _KEY_LENGTH and bool(z85.decode(text))
    except (KeyError, ValueError, struct.error):
        return False


def _checked_role(role: object, path: Path) -> Role:
    try:
        return Role(cast("str", role))
    except ValueError as error:
        hint = f"{did_you_mean(str(role), Role)} Roles: {', '.join(Role)}.".lstrip()
        raise ConfigError(f"there is no role {role!r}", source=str(path), hint=hint) from error


def _pair_lines(keys: KeyPair) -> str:
    return f"public = {_quoted(keys.public)}\nsecret = {_quoted(keys.secret)}\n"


def _quoted(text: str) -> str:
    # JSON's strings are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
