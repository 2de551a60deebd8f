"""What the tasks of the pipeline sample do with folders and files: read, and never follow, block or change."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from concurrence import UsageError

GONE = (FileNotFoundError, NotADirectoryError)
"""What the system raises of a file or folder that is not there any more."""


class Seen(NamedTuple):
    """A name of a file that was seen by a walk."""

    path: str
    size: int


class Listing(NamedTuple):
    """What a walk saw.

    Attributes:
        files: All regular files.
        folders: How many folders were read.
        skipped: How many symbolic links, pipes, sockets and devices there were: they are not followed or read.
        vanished: How many folders were gone before they were read.
        problems: What could not be read, and why.
        left: Folders that were not read, of those that a task does not push itself.
    """

    files: list[Seen]
    folders: int
    skipped: int
    vanished: int
    problems: list[tuple[str, str]]
    left: list[str]


class Changed(Exception):
    """A file is not any more what the walk saw: nobody's fault, and no news of it is lost by leaving it out."""


def check_visible(root: str) -> None:
    """See that this machine has the folder at all; if it has not, what is missing below is no news.

    Raises:
        UsageError: It has not.
    """
    if not os.path.isdir(root):
        raise UsageError(
            f"there is no folder {root} on this slave",
            hint="It must be there on every slave, at the same path: share it by NFS, or run without --master.",
        )


def read_folders(folders: Iterable[str], most: int) -> Listing:
    """Read some folders and what is below them, until so many entries were seen.

    Args:
        folders: What to read; at least one is read.
        most: Entries after which no further folder is begun.
    """
    files: list[Seen] = []
    below = deque(folders)
    problems: list[tuple[str, str]] = []
    read = skipped = vanished = entries = 0
    while below and entries < most:
        folder = below.popleft()
        try:
            with os.scandir(folder) as found:
                inside = list(found)
        except GONE:
            vanished += 1
            continue
        except OSError as error:
            problems.append((folder, error.strerror or str(error)))
            continue
        read += 1
        entries += len(inside)
        for entry in inside:
            try:
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    files.append(Seen(entry.path, os.lstat(entry.path).st_size))
                else:
                    skipped += 1
            except GONE:
                vanished += 1
            except OSError as error:
                problems.append((entry.path, error.strerror or str(error)))
    return Listing(files, read, skipped, vanished, problems, list(below))


def digest_of(file: Seen) -> bytes:
    """A digest of what is in a file.

    Raises:
        OSError: It cannot be read, or is not there any more.
        Changed: It is another one by now, or is being written.
    """
    # What has become a pipe or a link meanwhile must neither block nor lead elsewhere.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(file.path, "rb", opener=lambda path, mode: os.open(path, mode | flags)) as opened:
        before = os.fstat(opened.fileno())
        if not stat.S_ISREG(before.st_mode) or before.st_size != file.size:
            raise Changed(file.path)
        digest = hashlib.file_digest(opened, "blake2b").digest()
        after = os.fstat(opened.fileno())
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise Changed(file.path)
        return digest


def identity_of(file: Seen) -> tuple[int, int]:
    """What a file is on this machine, whatever names it has: two hard links are one file.

    It says nothing on another machine, which numbers what it mounts itself.

    Raises:
        OSError: It is not there any more.
        Changed: It is another one by now.
    """
    about = os.lstat(file.path)
    if not stat.S_ISREG(about.st_mode) or about.st_size != file.size:
        raise Changed(file.path)
    return about.st_dev, about.st_ino


def printable(path: str) -> str:
    """A path as it can be printed: what no terminal should get is written as an escape."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in path)
