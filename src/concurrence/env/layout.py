"""The folder of an environment: what lies where, what each thing is for, and the stamp that names its layout."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from concurrence.errors import EnvironmentInvalid

CONFIG_FILE = "concurrence.toml"
STAMP_FILE = "VERSION"
README_FILE = "README.txt"
STAMP_VERSION = 2
"""The layout of the folder that this version makes and opens."""

SECRET_FOLDER_MODE = 0o700
SECRET_FILE_MODE = 0o600
CREATE_HINT = "concurrence env create PATH"

_STAMP = re.compile(r"concurrence environment (\d{1,9})\s*")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in the folder of an environment.

    Attributes:
        name: Its name there.
        meaning: What it is for, in lines for people.
        is_folder: Whether it is a folder.
        is_secret: Whether only its owner may read it and what is in it.
    """

    name: str
    meaning: tuple[str, ...]
    is_folder: bool = False
    is_secret: bool = False

    @property
    def shown(self) -> str:
        """Its name, with a slash if it is a folder."""
        return f"{self.name}/" if self.is_folder else self.name


LAYOUT = (
    Entry(CONFIG_FILE, ("The configuration. Options without a value here have their defaults.",)),
    Entry(
        "plugins",
        ("Your own components: modules and packages of Python, loaded whenever", "the environment is opened."),
        is_folder=True,
    ),
    Entry(
        "keys",
        (
            "Secret. The master's key pair, master.toml, the public keys that may",
            "connect, authorized.toml, and the tokens of the API, tokens.toml.",
        ),
        is_folder=True,
        is_secret=True,
    ),
    Entry(
        "connect",
        ("Secret. The connect files that other machines need to join: slave.toml,", "client.toml and admin.toml."),
        is_folder=True,
        is_secret=True,
    ),
    Entry("state", ("What a master has to remember, and its lock. Not for editing.",), is_folder=True),
    Entry(STAMP_FILE, ("The layout of this folder. Only concurrence env upgrade changes it.",)),
    Entry(README_FILE, ("This explanation.",)),
)
"""All that belongs into the folder of an environment."""


def readme_text() -> str:
    """The file that explains an environment to those who find it."""
    lines = [
        "An environment of Concurrent: a folder that holds all that a swarm's master or an application needs.",
        "",
    ]
    for entry in LAYOUT:
        first, *others = entry.meaning
        lines += [f"{entry.shown:<18}{first}", *(f"{'':<18}{line}" for line in others)]
    lines += [
        "",
        "concurrence env info PATH      shows what is in it",
        "concurrence env check PATH     says what is wrong with it",
        "concurrence env backup PATH    writes one file from which env restore makes it again, here or elsewhere",
    ]
    return "\n".join(lines) + "\n"


def make_layout(folder: Path, config: str = "") -> None:
    """Fill an empty folder with all that belongs into an environment; the stamp comes last.

    Args:
        folder: The folder.
        config: What its config file shall say.

    Raises:
        OSError: The system refuses.
    """
    for entry in LAYOUT:
        if entry.is_folder:
            make_folder(folder, entry)
    (folder / CONFIG_FILE).write_text(config, encoding="utf-8")
    (folder / README_FILE).write_text(readme_text(), encoding="utf-8")
    (folder / STAMP_FILE).write_text(stamp_text(STAMP_VERSION), encoding="utf-8")


def make_folder(parent: Path, entry: Entry) -> None:
    """Make one folder of an environment, private if it is for secrets."""
    (parent / entry.name).mkdir(mode=SECRET_FOLDER_MODE if entry.is_secret else 0o777)
    if entry.is_secret:
        (parent / entry.name).chmod(SECRET_FOLDER_MODE)  # mkdir's mode is cut by the umask


def stamp_text(version: int) -> str:
    """What the stamp of a layout says."""
    return f"concurrence environment {version}\n"


def stamp_version(folder: Path) -> int | None:
    """The layout that a folder's stamp names, or None if it has no stamp that can be read."""
    try:
        match = _STAMP.fullmatch((folder / STAMP_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return int(match[1]) if match else None


def missing_folder(path: Path) -> str:
    """Why there is no folder at a path, in words that follow the path."""
    if path.exists():
        return "is not a folder"
    return "is a link that leads nowhere" if path.is_symlink() else "does not exist"


def in_shell(path: Path) -> str:
    """A path as one types it in a shell."""
    return shlex.quote(str(path))


def is_environment(path: Path) -> bool:
    """Whether a folder carries the stamp of an environment, of whatever version."""
    return stamp_version(path) is not None


def check_stamp(path: Path) -> int:
    """The layout of an environment that this version can open or upgrade.

    Raises:
        EnvironmentInvalid: The folder is no environment, or one of a newer version.
    """
    version = stamp_version(path)
    if version is None:
        if looks_damaged(path):
            raise EnvironmentInvalid(
                f"{path} is not an environment: its stamp {path / STAMP_FILE} is missing or damaged",
                hint=f"See what is wrong with it: concurrence env check {in_shell(path)}. "
                f"A new one is made by {CREATE_HINT}",
            )
        reason = "is not an environment" if path.is_dir() else missing_folder(path)
        raise EnvironmentInvalid(f"{path} {reason}", hint=f"Make one: {CREATE_HINT}")
    if version > STAMP_VERSION:
        raise EnvironmentInvalid(
            f"{path} was made by a newer version of Concurrent (layout {version}; this one knows {STAMP_VERSION})",
            hint=f"Upgrade Concurrent, or make a new environment: {CREATE_HINT}",
        )
    return version


def check_layout(path: Path) -> None:
    """Whether this version can open the environment as it is.

    Raises:
        EnvironmentInvalid: The folder is no environment, or one of a newer or an older version.
    """
    version = check_stamp(path)
    if version < STAMP_VERSION:
        raise EnvironmentInvalid(
            f"{path} was made by an older version of Concurrent (layout {version}; this one has {STAMP_VERSION})",
            hint=f"Bring it up to date: concurrence env upgrade {in_shell(path)}",
        )


def looks_damaged(path: Path) -> bool:
    """Whether a folder without a stamp that can be read has what else makes an environment."""
    return (path / CONFIG_FILE).is_file() and any(
        (path / entry.name).is_dir() for entry in LAYOUT if entry.is_folder
    )


def refuse_occupied(path: Path) -> None:
    """Whether an environment can be made at a path.

    Raises:
        EnvironmentInvalid: It is one already, holds other things, or is no folder.
    """
    try:
        if is_environment(path):
            raise EnvironmentInvalid(f"{path} is an environment already", hint="Use it, or choose another folder.")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            reason = "holds other things" if path.is_dir() else "is not a folder"
            raise EnvironmentInvalid(f"{path} {reason}", hint="Choose an empty or new folder.")
    except PermissionError as error:
        raise EnvironmentInvalid(f"{path} cannot be looked into: {error.strerror}") from error
