"""Backups of an environment: one archive, which says itself what is in it; ``restore.py`` reads it."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import tarfile
import tempfile
from contextlib import suppress
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from concurrence.env.layout import LAYOUT, check_stamp, in_shell
from concurrence.env.whole import whole_file
from concurrence.errors import UsageError
from concurrence.version import __version__

FORMAT = 1
"""The form of archive that this version writes and reads."""

MANIFEST = "manifest.json"
CONTENTS = "environment"
"""The folder in the archive below which the files of the environment lie."""

MODE = 0o600
CHUNK = 1 << 20
SECRET_FOLDERS = frozenset(entry.name for entry in LAYOUT if entry.is_secret)
_LEFT_OUT_FOLDERS = frozenset({"__pycache__"})
_LOCKS = ".lock"


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file in a backup.

    Attributes:
        path: Below the environment's folder, with slashes.
        size: In bytes.
        mode: Its permissions.
        sha256: Of its contents, in hexadecimal.
    """

    path: str
    size: int
    mode: int
    sha256: str


class Folder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A folder in a backup.

    Attributes:
        path: Below the environment's folder, with slashes.
        mode: Its permissions.
    """

    path: str
    mode: int


class Manifest(msgspec.Struct, frozen=True):
    """What a backup says of itself; further fields of later versions are ignored.

    Attributes:
        format: The form of the archive.
        layout: The stamp of the environment.
        concurrence: The version that made it.
        time: When, in ISO 8601.
        has_keys: Whether secret files are in it.
        master: Who ran as its master while it was made; empty if nobody did.
        folders: All folders, outer ones first.
        files: All files, in the order of the archive.
    """

    format: int
    layout: int
    concurrence: str
    time: str
    has_keys: bool
    master: str
    folders: list[Folder]
    files: list[File]

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(file.size for file in self.files)


class Backup(msgspec.Struct, frozen=True):
    """What became of a backup.

    Attributes:
        path: The archive.
        manifest: What is in it.
        left_out: What is not: paths below the environment's folder, each with the reason.
    """

    path: Path
    manifest: Manifest
    left_out: list[str]


def default_target(folder: Path, now: datetime, label: str = "backup") -> Path:
    """Where a backup goes unless somebody says otherwise: beside the environment."""
    return folder.parent / f"{folder.name}-{label}-{now:%Y%m%dT%H%M%SZ}.tar.gz"


def write_backup(
    folder: Path,
    target: Path,
    *,
    now: datetime,
    keys: bool = True,
    replace: bool = False,
    master: str = "",
) -> Backup:
    """Write an archive of an environment, of whatever layout this version knows. It need not open.

    The files are copied first and packed from the copy: what a running master changes meanwhile tears no file.

    Args:
        folder: The environment's.
        target: The archive to write; readable by its owner only.
        now: The time, in UTC.
        keys: Whether what is in the secret folders is in it.
        replace: Whether the archive may replace another file.
        master: Who runs as its master, for the manifest.

    Raises:
        EnvironmentInvalid: The folder is no environment, or cannot be read.
        UsageError: The archive exists, lies in the environment, or cannot be written.
    """
    folder, target = folder.absolute(), target.absolute()
    layout = check_stamp(folder)
    _refuse_target(folder, target, replace=replace)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
            copier = _Copier(folder, Path(temporary), keys=keys)
            copier.run()
            manifest = Manifest(
                FORMAT, layout, __version__, now.isoformat(), copier.has_keys, master, copier.folders, copier.files
            )
            with whole_file(target, mode=MODE, replace=replace) as file:
                _pack(manifest, Path(temporary), file, now)
    except FileExistsError as error:
        raise _exists(target) from error
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else str(target)
        raise UsageError(
            f"the backup of {folder} cannot be made: {place}: {error.strerror or error}",
            hint="Nothing of it was left behind. Name another place for it with: --to FILE.tar.gz",
        ) from error
    return Backup(target, manifest, copier.left_out)


def _refuse_target(folder: Path, target: Path, *, replace: bool) -> None:
    if target.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"{target} lies in the environment itself", hint="Name a place outside of it: --to FILE.tar.gz"
        )
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", hint=f"mkdir -p {in_shell(target.parent)}")
    if target.is_dir():
        raise UsageError(f"{target} is a folder", hint="Name a file: --to FILE.tar.gz")
    if not replace and (target.exists() or target.is_symlink()):
        raise _exists(target)


def _exists(target: Path) -> UsageError:
    return UsageError(f"{target} exists already", hint="Name another file, or replace it with: --force")


class _Copier:
    """Copies what belongs into a backup, and lists it."""

    def __init__(self, source: Path, target: Path, *, keys: bool) -> None:
        self._source = source
        self._target = target
        self._keys = keys
        self.has_keys = False
        self.folders: list[Folder] = []
        self.files: list[File] = []
        self.left_out: list[str] = []

    def run(self) -> None:
        """Copy everything."""
        self._enter(self._source, "", frozenset())

    def _enter(self, folder: Path, prefix: str, around: frozenset[tuple[int, int]]) -> None:
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in around:
            self.left_out.append(f"{prefix.rstrip('/')}: a link to a folder around it")
            return
        if prefix:
            self.folders.append(Folder(prefix.rstrip("/"), stat.S_IMODE(status.st_mode)))
            (self._target / prefix).mkdir(mode=0o700)
        if not self._keys and prefix.rstrip("/") in SECRET_FOLDERS:
            return
        for place in sorted(folder.iterdir()):
            self._visit(place, f"{prefix}{place.name}", around | {identity})

    def _visit(self, place: Path, name: str, around: frozenset[tuple[int, int]]) -> None:
        # Links are followed: what they lead to has to be on the other machine too.
        if place.name in _LEFT_OUT_FOLDERS or (place.suffix == _LOCKS and name.startswith("state/")):
            return
        if not _is_utf8(name):
            self.left_out.append(f"{name!r}: its name is not UTF-8")
        elif place.is_dir():
            self._enter(place, f"{name}/", around)
        elif place.is_file():
            with suppress(FileNotFoundError):  # a running master may have removed it just now
                self._copy(place, name)
        elif place.is_symlink():
            self.left_out.append(f"{name}: a link that leads nowhere")
        elif place.exists():
            self.left_out.append(f"{name}: neither a file nor a folder")

    def _copy(self, place: Path, name: str) -> None:
        with place.open("rb") as source:
            mode = stat.S_IMODE(os.fstat(source.fileno()).st_mode)
            with (self._target / name).open("xb") as target:
                size, digest = copy_hashed(source, target)
        self.has_keys = self.has_keys or name.split("/", maxsplit=1)[0] in SECRET_FOLDERS
        self.files.append(File(name, size, mode, digest))


def copy_hashed(source: BinaryIO, target: BinaryIO) -> tuple[int, str]:
    """Copy a file to its end.

    Returns:
        How many bytes there were, and their SHA-256.
    """
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        target.write(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _pack(manifest: Manifest, copies: Path, file: BinaryIO, now: datetime) -> None:
    # The manifest first: whoever unpacks knows from the start what has to follow, and how much of it.
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    with (
        gzip.GzipFile("", "wb", fileobj=file, compresslevel=6, mtime=int(now.timestamp())) as packed,
        tarfile.open(fileobj=cast("BinaryIO", packed), mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        _add(archive, MANIFEST, len(text), MODE, now, BytesIO(text))
        for entry in manifest.folders:
            _add(archive, f"{CONTENTS}/{entry.path}", 0, entry.mode, now, None)
        for entry in manifest.files:
            with (copies / entry.path).open("rb") as source:
                _add(archive, f"{CONTENTS}/{entry.path}", entry.size, entry.mode, now, source)


def _add(
    archive: tarfile.TarFile, name: str, size: int, mode: int, now: datetime, source: BinaryIO | None
) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, mode, int(now.timestamp())
    if source is None:
        member.type = tarfile.DIRTYPE
    archive.addfile(member, source)
