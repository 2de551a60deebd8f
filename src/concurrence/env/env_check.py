"""What is wrong with an environment: its folder, its configuration, its plug-ins. Each finding says what to do.

The checks of a folder need no environment that opens: what cannot be opened is what they are for.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from concurrence.env.checks import check_config, declared_options, default_errors, variable_errors
from concurrence.env.config import Config, ConfigValue
from concurrence.env.environment import Environment
from concurrence.env.layout import (
    CONFIG_FILE,
    LAYOUT,
    README_FILE,
    SECRET_FILE_MODE,
    SECRET_FOLDER_MODE,
    STAMP_FILE,
    STAMP_VERSION,
    Entry,
    in_shell,
    make_folder,
    readme_text,
    stamp_text,
    stamp_version,
)
from concurrence.env.whole import write_whole
from concurrence.errors import ConfigError

_SHOWN_LINES = 6
_SECRETS = tuple(entry for entry in LAYOUT if entry.is_secret)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        what: What is wrong, in a few words.
        where: The file, folder or line.
        why: Why that matters, or the text of the error.
        cure: What to do; a command where there is one.
        repair: Does it; None if a person has to.
    """

    what: str
    where: str
    why: str
    cure: str
    repair: Callable[[], None] | None = field(default=None, repr=False, compare=False)


def check_folder(path: Path) -> Iterator[Finding]:
    """What is wrong with the folder of an environment: stamp, missing parts, modes, owners."""
    yield from _check_stamp(path)
    yield from _check_parts(path)
    yield from _check_modes(path)
    yield from _check_owners(path)


def check_opened(environment: Environment) -> Iterator[Finding]:
    """What is wrong with the config and the plug-ins of an environment that could be opened."""
    yield from _check_plugins(environment)
    yield from _check_config(environment)


def config_finding(error: ConfigError) -> Finding:
    """What a wrong config amounts to."""
    place = error.source if error.line is None else f"{error.source}:{error.line}"
    why = error.message.removeprefix(f"{place}: ")
    return Finding("wrong configuration", place or CONFIG_FILE, why, error.hint or "Correct it.")


# --- the folder ---


def _check_stamp(path: Path) -> Iterator[Finding]:
    version, stamp = stamp_version(path), path / STAMP_FILE
    if version is None:
        what = "damaged stamp" if stamp.exists() else "missing stamp"
        line = shlex.quote(stamp_text(STAMP_VERSION).strip())
        cure = f"If it is an environment of this version: echo {line} > {in_shell(stamp)}. Else restore a backup."
        yield Finding(what, str(stamp), "without it the folder is not an environment, and does not open", cure)
    elif version > STAMP_VERSION:
        why = f"it has the layout {version}, and this version of Concurrent knows {STAMP_VERSION}"
        yield Finding("newer environment", str(stamp), why, "Upgrade Concurrent.")
    elif version < STAMP_VERSION:
        why = f"it has the layout {version}, and this version of Concurrent needs {STAMP_VERSION}"
        yield Finding("older environment", str(stamp), why, f"concurrence env upgrade {in_shell(path)}")


def _check_parts(path: Path) -> Iterator[Finding]:
    for entry in LAYOUT:
        place = path / entry.name
        if entry.name == STAMP_FILE or (place.is_dir() if entry.is_folder else place.is_file()):
            continue
        kind = "folder" if entry.is_folder else "file"
        if place.exists() or place.is_symlink():
            yield Finding(
                f"not a {kind}", str(place), " ".join(entry.meaning), f"Move it away: mv {in_shell(place)} NAME"
            )
            continue
        command = _command_to_make(place, entry)
        yield Finding(f"missing {kind}", str(place), " ".join(entry.meaning), command, _maker(path, entry))


def _command_to_make(place: Path, entry: Entry) -> str:
    if entry.is_folder:
        return f"mkdir{' -m 700' if entry.is_secret else ''} {in_shell(place)}"
    if entry.name == README_FILE:
        return f"concurrence env check --fix {in_shell(place.parent)}"
    return f"touch {in_shell(place)}"


def _maker(path: Path, entry: Entry) -> Callable[[], None]:
    if entry.is_folder:
        return lambda: make_folder(path, entry)
    text = readme_text() if entry.name == README_FILE else ""
    return lambda: write_whole(path / entry.name, text)


def _check_modes(path: Path) -> Iterator[Finding]:
    for entry in _SECRETS:
        for place in _with_contents(path / entry.name):
            yield from _check_secret(place)
    for entry in LAYOUT:
        if not entry.is_secret:
            yield from _check_writable(path / entry.name)
    yield from _check_writable(path)


def _check_secret(place: Path) -> Iterator[Finding]:
    mode = place.stat().st_mode
    wanted = SECRET_FOLDER_MODE if stat.S_ISDIR(mode) else SECRET_FILE_MODE
    if not mode & 0o077:
        return
    why = f"others than its owner may read or write it (mode {stat.S_IMODE(mode):04o}); what is in it is secret"
    cure = f"chmod {wanted:o} {in_shell(place)}"
    yield Finding("wrong mode", str(place), why, cure, lambda: place.chmod(wanted))


def _check_writable(place: Path) -> Iterator[Finding]:
    if not place.exists() or not place.stat().st_mode & stat.S_IWOTH:
        return
    mode = stat.S_IMODE(place.stat().st_mode)
    yield Finding(
        "wrong mode",
        str(place),
        f"everybody may change it (mode {mode:04o}), and with it what runs here",
        f"chmod o-w {in_shell(place)}",
        lambda: place.chmod(mode & ~stat.S_IWOTH),
    )


def _check_owners(path: Path) -> Iterator[Finding]:
    if not path.exists():
        return
    owner, me = path.stat().st_uid, os.geteuid()
    if me not in (0, owner):
        why = f"it belongs to {_user(owner)}, and you are {_user(me)}"
        cure = f"Work as {_user(owner)}, or: sudo chown -R {_user(me)} {in_shell(path)}"
        yield Finding("somebody else's folder", str(path), why, cure)
    for entry in LAYOUT:
        for place in _with_contents(path / entry.name) if entry.is_folder else [path / entry.name]:
            if place.exists() and place.stat().st_uid != owner:
                why = f"it belongs to {_user(place.stat().st_uid)}, and the environment to {_user(owner)}"
                cure = f"sudo chown {_user(owner)} {in_shell(place)}"
                yield Finding("wrong owner", str(place), why, cure)


def _with_contents(folder: Path) -> Iterator[Path]:
    """A folder and what lies directly in it; nothing if it does not exist or may not be looked into."""
    if not folder.is_dir():
        return
    yield folder
    if os.access(folder, os.R_OK | os.X_OK):
        yield from (place for place in sorted(folder.iterdir()) if place.exists())


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a user of another machine
        return str(number)


# --- plug-ins and configuration ---


def _check_plugins(environment: Environment) -> Iterator[Finding]:
    for failure in environment.plugin_failures:
        lines = failure.traceback.rstrip().splitlines()[-_SHOWN_LINES:]
        yield Finding(
            f"plug-in {failure.name} cannot be loaded",
            failure.source,
            "\n".join(lines),
            "Correct it, or take it out; the other plug-ins go on without it.",
        )


def _check_config(environment: Environment) -> Iterator[Finding]:
    # Key by key, so that each error is a finding of its own, with its line.
    for section, name, value in environment.config.items():
        try:
            check_config(_only(section, name, value), [type(environment), *environment.registered()], environment)
        except ConfigError as error:
            yield config_finding(error)
    options = declared_options([type(environment), *environment.registered()])
    yield from map(config_finding, variable_errors(environment.config, options))
    yield from map(config_finding, default_errors(environment.config, environment))


def _only(section: str, name: str, value: ConfigValue) -> Config:
    return Config(lambda: [{(section, name): value}])
