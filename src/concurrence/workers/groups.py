"""Which processes workers and their tasks started, read from ``/proc``; elsewhere none are known."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

PROC: Final = Path("/proc")
PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

# Fields of /proc/PID/stat, counted from behind the name, which may contain anything.
_STATE, _GROUP, _STARTED, _RESIDENT = 0, 2, 19, 21


class Member(NamedTuple):
    """A process.

    Attributes:
        pid: Its id.
        group: The id of its process group: that of the worker.
        started: When it started, in seconds since the machine did.
        resident: Bytes of memory that it has in use, with what it shares.
    """

    pid: int
    group: int
    started: float
    resident: int


def members(groups: Collection[int], proc: Path = PROC) -> list[Member]:
    """The processes of these process groups that have not ended.

    Args:
        groups: The ids of the groups.
        proc: Where the system tells of its processes.
    """
    try:
        names = os.listdir(proc)
    except OSError:
        return []
    found = (_member(int(name), groups, proc) for name in names if name.isdecimal())
    return [member for member in found if member is not None]


def resident(pid: int, proc: Path = PROC) -> int:
    """Bytes of memory that a process has in use, with what it shares; 0 if it is gone."""
    try:
        with open(proc / str(pid) / "statm", "rb", 0) as file:
            return int(file.read(128).split()[1]) * PAGE
    except (OSError, IndexError, ValueError):
        return 0


def proportional(pid: int, proc: Path = PROC) -> int:
    """Bytes of memory of a process, with its share of what it shares with others; 0 if that cannot be told.

    Much dearer than :func:`resident`: the kernel walks through all of its memory.
    """
    try:
        with open(proc / str(pid) / "smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        return 0
    return 0


def children(proc: Path = PROC) -> list[int]:
    """The children of this process, which has one thread; those that ended and were not asked for too."""
    pid = os.getpid()
    try:
        return [int(word) for word in (proc / str(pid) / "task" / str(pid) / "children").read_bytes().split()]
    except (OSError, ValueError):
        return []


def uses_folder(pid: int, folder: Path, proc: Path = PROC) -> bool:
    """Whether a process was started with this folder for its temporary files."""
    try:
        return b"TMPDIR=" + os.fsencode(folder) in (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _member(pid: int, groups: Collection[int], proc: Path) -> Member | None:
    try:
        with open(proc / str(pid) / "stat", "rb", 0) as file:
            data = file.read(1024)
        fields = data[data.rindex(b")") + 2 :].split()
        group = int(fields[_GROUP])
        if group not in groups or fields[_STATE] in (b"Z", b"X"):
            return None
        return Member(pid, group, int(fields[_STARTED]) / _TICKS, int(fields[_RESIDENT]) * PAGE)
    except (OSError, IndexError, ValueError):
        return None  # it has ended meanwhile
