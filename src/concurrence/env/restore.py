"""Making an environment from its backup. The archive may come from anywhere: it is not believed unchecked."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

import msgspec

from concurrence.env.backup import (
    CONTENTS,
    FORMAT,
    MANIFEST,
    SECRET_FOLDERS,
    File,
    Manifest,
    copy_hashed,
)
from concurrence.env.layout import (
    SECRET_FILE_MODE,
    SECRET_FOLDER_MODE,
    STAMP_FILE,
    STAMP_VERSION,
    refuse_occupied,
    stamp_version,
)
from concurrence.env.whole import whole_folder
from concurrence.errors import UsageError

_MAX_MANIFEST = 64 << 20
_MAX_ENTRIES = 1_000_000
_PER_ENTRY = 32 << 10  # headers of a member with a long name, and what is read ahead
_KEPT_MODE = 0o755  # of what a backup says: nobody else may write, and nothing is set-uid


class _Damaged(Exception):
    """The archive is not what it should be; the text says how."""


class _Bounded(io.RawIOBase):
    """Reads no more than its reader expects next: an archive can be a thousandth of what it unpacks to.

    That also bounds the headers, which tarfile reads as a whole, and in some versions of Python with great effort.
    """

    def __init__(self, inner: BinaryIO) -> None:
        super().__init__()
        self._inner = inner
        self._left = _PER_ENTRY

    def allow(self, size: int) -> None:
        """Let so many bytes pass from here on, and the headers that follow them."""
        self._left = size + _PER_ENTRY

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._inner.read(max(0, self._left) + 1 if size < 0 else size)
        self._left -= len(chunk)
        if self._left < 0:
            raise _Damaged("it unpacks to more than its manifest says")
        return chunk


def restore_backup(archive: Path, folder: Path) -> Manifest:
    """Make an environment from a backup; it appears only when every file was compared with the manifest.

    Args:
        archive: The backup.
        folder: Where the environment shall be; new or empty.

    Returns:
        What was in the backup.

    Raises:
        EnvironmentInvalid: The folder is an environment already, or holds other things.
        UsageError: The archive cannot be read, is no backup, is damaged, or of a newer version; or the environment
            cannot be made. Nothing is left behind.
    """
    folder = folder.absolute()
    refuse_occupied(folder)
    try:
        # Opened by the system first: an archive that cannot be opened leaves no folder behind.
        with archive.open("rb") as file, whole_folder(folder) as draft:
            return _unpack(archive, file, draft)
    except (_Damaged, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UsageError(
            f"{archive} is no backup that can be restored: {error}",
            hint="Nothing was restored. Use another copy; concurrence env backup PATH makes one.",
        ) from error
    except OSError as error:
        if error.filename == str(archive):
            raise UsageError(f"the backup {archive} cannot be read: {error.strerror}") from error
        place = error.filename if error.filename is not None else folder
        raise UsageError(
            f"{folder} cannot be restored from {archive}: {place}: {error.strerror or error}",
            hint="Nothing was restored. Choose a folder where you may write and the disk has room.",
        ) from error


def _unpack(archive: Path, file: BinaryIO, draft: Path) -> Manifest:
    with gzip.GzipFile(fileobj=file) as unpacked:
        source = _Bounded(cast("BinaryIO", unpacked))
        with tarfile.open(fileobj=cast("BinaryIO", source), mode="r|") as members:
            manifest = _read_manifest(archive, members, source)
            _check_room(manifest, draft)
            _fill(draft, manifest, members, source)
        source.allow(0)
        while source.read(1 << 16):  # to the end, where gzip compares its checksum
            pass
    if stamp_version(draft) != manifest.layout:
        raise _Damaged(f"its {STAMP_FILE} and its manifest disagree")
    return manifest


def _read_manifest(archive: Path, members: tarfile.TarFile, source: _Bounded) -> Manifest:
    first = members.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > _MAX_MANIFEST:
        raise _Damaged(f"it does not begin with a {MANIFEST}")
    source.allow(first.size)
    data = cast("BinaryIO", members.extractfile(first)).read()
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format > FORMAT or head.layout > STAMP_VERSION:
            _refuse_newer(archive, head)
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _Damaged(f"its {MANIFEST} cannot be read: {error}") from error
    if len(manifest.files) + len(manifest.folders) > _MAX_ENTRIES or any(file.size < 0 for file in manifest.files):
        raise _Damaged(f"its {MANIFEST} names impossible sizes")
    _check_paths(manifest)
    return manifest


class _Head(msgspec.Struct):
    """What must be readable in archives of every version, later ones included."""

    format: int
    layout: int
    concurrence: str


def _refuse_newer(archive: Path, head: _Head) -> NoReturn:
    raise UsageError(
        f"{archive} was made by the newer version {head.concurrence} of Concurrent (layout {head.layout}, format "
        f"{head.format}; this one knows {STAMP_VERSION} and {FORMAT})",
        hint=f"Nothing was restored. Restore it with Concurrent {head.concurrence} or later.",
    )


def _check_paths(manifest: Manifest) -> None:
    """All paths stay in the folder, each exists once, and each lies in a folder that came before."""
    folders, files = {""}, set[str]()
    for entry in (*manifest.folders, *manifest.files):
        path = entry.path
        if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
            raise _Damaged(f"it names a file outside of the environment: {path!r}")
        if path in folders or path in files or path.rpartition("/")[0] not in folders:
            raise _Damaged(f"{path!r} is out of order")
        (files if isinstance(entry, File) else folders).add(path)


def _check_room(manifest: Manifest, draft: Path) -> None:
    free = shutil.disk_usage(draft).free
    if manifest.size > free:
        raise UsageError(
            f"the environment needs {manifest.size:,} bytes, and the disk of {draft.parent} has {free:,}",
            hint="Nothing was restored. Make room, or choose a folder on another disk.",
        )


def _fill(draft: Path, manifest: Manifest, members: tarfile.TarFile, source: _Bounded) -> None:
    """Write what the manifest names; the members must be exactly that, in that order."""
    for folder in manifest.folders:
        source.allow(0)
        if not _next(members, folder.path).isdir():
            raise _Damaged(f"{folder.path!r} is not a folder in it")
        (draft / folder.path).mkdir(mode=SECRET_FOLDER_MODE)
    for file in manifest.files:
        source.allow(file.size)
        _write(draft / file.path, file, members)
    extra = members.next()
    if extra is not None:
        raise _Damaged(f"it holds {extra.name!r}, which its manifest does not name")
    # The innermost first, and at the end: in a folder that may not be written to, nothing can be made.
    for folder in reversed(manifest.folders):
        is_secret = folder.path.split("/")[0] in SECRET_FOLDERS
        (draft / folder.path).chmod(SECRET_FOLDER_MODE if is_secret else folder.mode & _KEPT_MODE | 0o700)


def _next(members: tarfile.TarFile, path: str) -> tarfile.TarInfo:
    member = members.next()
    if member is None:
        raise _Damaged(f"it ends before {path!r}")
    if member.name != f"{CONTENTS}/{path}":
        raise _Damaged(f"it holds {member.name!r} where its manifest has {path!r}")
    return member


def _write(place: Path, file: File, members: tarfile.TarFile) -> None:
    member = _next(members, file.path)
    if member.type != tarfile.REGTYPE or member.issparse() or member.size != file.size:
        raise _Damaged(f"{file.path!r} is not the file that its manifest names")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(place, flags, SECRET_FILE_MODE), "wb") as target:
        copied = copy_hashed(cast("BinaryIO", members.extractfile(member)), target)
        if copied != (file.size, file.sha256):
            raise _Damaged(f"{file.path!r} was changed: its SHA-256 is not that of the manifest")
        is_secret = file.path.split("/")[0] in SECRET_FOLDERS
        os.fchmod(target.fileno(), SECRET_FILE_MODE if is_secret else file.mode & _KEPT_MODE | SECRET_FILE_MODE)
