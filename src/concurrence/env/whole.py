"""All or nothing on disk: folders and files that appear complete under their name, or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
"""How a draft is opened: nobody can have prepared it, and no child process gets it."""


@contextmanager
def whole_folder(path: Path) -> Generator[Path]:
    """A folder to fill, which becomes ``path`` at the end of the block; if that raises, nothing is left of it.

    Args:
        path: Where it shall be; it must be empty or not exist. Missing parents are made.

    Raises:
        OSError: The system refuses.
    """
    path = path.absolute()
    parents = make_parents(path.parent)
    is_there = path.is_dir()
    draft = (path if is_there else path.parent) / f".{path.name}.{secrets.token_hex(4)}.new"
    try:
        draft.mkdir()
        yield draft
        if is_there:
            # Not replaced: it may be somebody's working directory, or a file system of its own.
            _move_into(draft, path)
        else:
            draft.rename(path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)  # the error that is under way matters more
        for parent in parents:
            with suppress(OSError):
                parent.rmdir()
        raise


def make_parents(folder: Path) -> list[Path]:
    """Make a folder and those around it; those that were made, the innermost first.

    Raises:
        OSError: The system refuses.
    """
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # a file is in the place of the folder
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    return missing


def _move_into(draft: Path, path: Path) -> None:
    others = [entry for entry in path.iterdir() if entry != draft]
    if others:
        raise FileExistsError(f"{others[0]} was just made by another process")
    # Files last: the stamp, which makes an environment of a folder, is one.
    entries = sorted(draft.iterdir(), key=lambda entry: (entry.is_file(), entry.name))
    moved: list[Path] = []
    try:
        for entry in entries:
            target = path / entry.name
            moved.append(target)
            entry.rename(target)
        draft.rmdir()
    except BaseException:
        for entry in moved:
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        raise


@contextmanager
def whole_file(path: Path, *, mode: int, replace: bool, like: os.stat_result | None = None) -> Generator[BinaryIO]:
    """A file to write, which gets its name at the end of the block; if that raises, nothing is left of it.

    Args:
        path: Its name.
        mode: Who may read and write it, whatever the umask.
        replace: Whether it may take the place of another file.
        like: A file that it gets the owner of, if we may give files away.

    Raises:
        FileExistsError: There is such a file, and it may not be replaced.
        OSError: The system refuses.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(draft, _NEW, mode & 0o700)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _take_after(file.fileno(), mode, like)
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            _rename_to_new(draft, path)
        _sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def new_file_mode() -> int:
    """The mode of a file that is made without a word about it, as the umask has it."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _take_after(descriptor: int, mode: int, like: os.stat_result | None) -> None:
    if sys.platform == "win32":
        return
    if like is not None:
        with suppress(PermissionError):  # only root may give files away
            os.fchown(descriptor, like.st_uid, like.st_gid)
    os.fchmod(descriptor, mode)  # the last, for a change of the owner takes rights away


def _sync_folder(folder: Path) -> None:
    """Have the new name on the disk as well."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename_to_new(draft: Path, path: Path) -> None:
    try:
        path.hardlink_to(draft)  # unlike a rename, it fails if there is such a file by now
    except FileExistsError:
        raise
    except OSError:  # a file system without such links
        if path.exists():
            raise FileExistsError(f"{path} exists") from None
        draft.rename(path)


def write_whole(path: Path, text: str) -> None:
    """Replace a text file in one step; a new one is as readable as any other, an old one keeps its mode."""
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        mode = new_file_mode()
    with whole_file(path, mode=mode, replace=True) as file:
        file.write(text.encode("utf-8"))
