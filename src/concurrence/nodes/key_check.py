"""What is wrong with the keys and the lock of an environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from concurrence.env.env_check import Finding
from concurrence.env.layout import in_shell
from concurrence.errors import ConfigError, UsageError
from concurrence.nodes.keys import PUBLISHED_ROLES
from concurrence.nodes.locking import LOCK_FILE
from concurrence.transport.security import AUTHORIZED_FILE, MASTER_FILE, KeyRing, Role, read_connect_file
from concurrence.transport.tokens import TOKEN_FILE, read_tokens

_RESTART = "the master makes a new one when it next starts; copy that to the other machines"


def check_keys(path: Path) -> Iterator[Finding]:
    """What is wrong with the keys in an environment's folder. Wrong modes are :func:`check_folder`'s business."""
    closed = _closed_folders(path)
    for folder in closed:
        why = "you may not look into it, so its keys are not checked"
        yield Finding("closed folder", str(folder), why, "Check it as the user whom it belongs to.")
    if closed:
        return
    yield from _check_leftovers(path)
    if not has_keys(path) and not _has_run(path):
        return
    ring: KeyRing | None = None
    master, authorized = path / "keys" / MASTER_FILE, path / "keys" / AUTHORIZED_FILE
    if not master.exists():
        yield Finding(
            "missing key",
            str(master),
            "a master ran here, and every connect file relies on its key",
            _cure_of_missing(path),
        )
    elif not _is_private(master):
        return  # the mode is told already, and nothing is read before it is right
    else:
        try:
            ring = KeyRing.load(path / "keys")
        except UsageError as error:
            if authorized.exists() and not _is_private(authorized):
                return
            yield _broken(error, master, "Restore it from a backup.")
        else:
            yield from _check_authorized(authorized, ring)
    yield from _check_tokens(path / "keys" / TOKEN_FILE)
    for role in PUBLISHED_ROLES:
        place = path / "connect" / f"{role.value}.toml"
        if place.exists() and _is_private(place):
            yield from _check_connect_file(place, role, ring)


def has_keys(path: Path) -> bool:
    """Whether a master has made keys in an environment's folder, as far as one may look into it."""
    if _closed_folders(path):
        return False
    keys = (path / "keys" / name for name in (MASTER_FILE, AUTHORIZED_FILE))
    return any(place.exists() for place in (*keys, *_connect_files(path)))


def _closed_folders(path: Path) -> list[Path]:
    folders = (path / "keys", path / "connect")
    return [folder for folder in folders if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK)]


def _has_run(path: Path) -> bool:
    try:
        return (path / LOCK_FILE).stat().st_size > 0  # it notes its address there
    except OSError:
        return False


def _cure_of_missing(path: Path) -> str:
    authorized = path / "keys" / AUTHORIZED_FILE
    rest = [*([authorized] if authorized.exists() else []), *_connect_files(path)]
    first = f"remove the rest: rm {' '.join(in_shell(place) for place in rest)}; then " if rest else ""
    return f"Restore it from a backup. Or {first}start the master: it makes new keys and connect files."


def check_lock(path: Path) -> Iterator[Finding]:
    """Whether a master could lock the environment. A lock is never stale: it goes with its process."""
    lock = path / LOCK_FILE
    if lock.is_symlink() or (lock.exists() and not lock.is_file()):
        why = "a master locks this file, and it is none"
        yield Finding("not a lock file", str(lock), why, f"Move it away: mv {in_shell(lock)} NAME")


def _connect_files(path: Path) -> list[Path]:
    return [place for role in PUBLISHED_ROLES if (place := path / "connect" / f"{role.value}.toml").exists()]


def _check_tokens(tokens: Path) -> Iterator[Finding]:
    if tokens.exists() and _is_private(tokens):
        try:
            read_tokens(tokens)
        except UsageError as error:
            yield _broken(error, tokens, f"rm {in_shell(tokens)}; the next start makes new tokens")


def _check_authorized(authorized: Path, ring: KeyRing) -> Iterator[Finding]:
    if not ring.authorized():
        why = "the master's key is there, but no key may connect to it: all connect files are void"
        cure = "Restore it from a backup; or start the master, and copy its new connect files to other machines"
        yield Finding("no authorized keys", str(authorized), why, cure)


def _check_connect_file(place: Path, role: Role, ring: KeyRing | None) -> Iterator[Finding]:
    cure = f"rm {in_shell(place)}; {_RESTART}"
    try:
        kept = read_connect_file(place)
    except UsageError as error:
        yield _broken(error, place, cure)
        return
    if kept.role is not role:
        why = f"it holds a key for the role {kept.role.value}, not {role.value}"
        yield Finding("wrong role", str(place), why, cure)
    elif ring is not None and kept.server_key != ring.keys.public:
        yield Finding("stale connect file", str(place), "it names the key of another master", cure)
    elif ring is not None and ring.role_of(kept.keys.public) is not role:
        why = f"its key is not among those that may connect as {role.value}"
        yield Finding("stale connect file", str(place), why, cure)


def _check_leftovers(path: Path) -> Iterator[Finding]:
    for folder in (path / "keys", path / "connect"):
        try:
            names = sorted(folder.iterdir())
        except OSError:  # missing: that is told already
            continue
        for place in names:
            if place.name.startswith(".") and ".toml." in place.name:
                why = "a process that was killed left half a secret file behind"
                yield Finding("leftover", str(place), why, f"rm {in_shell(place)}")


def _broken(error: UsageError, place: Path, cure: str) -> Finding:
    where = error.source if isinstance(error, ConfigError) and error.source else str(place)
    why = error.message.removeprefix(f"{where}: ")
    return Finding("broken key file", where, why, cure)


def _is_private(place: Path) -> bool:
    return not place.stat().st_mode & 0o077
