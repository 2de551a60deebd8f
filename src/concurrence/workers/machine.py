"""How much memory this machine has left, for the control group of this process at most; Linux only."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from concurrence.workers.control_groups import CGROUPS, group_folders
from concurrence.workers.groups import PROC

# Of a control group's folder: its limit, what it uses, and the name of what could be dropped of that, by version.
_FILES = (
    (2, "memory.max", "memory.current", b"inactive_file "),
    (1, "memory.limit_in_bytes", "memory.usage_in_bytes", b"total_inactive_file "),
)
_NO_LIMIT = 1 << 60  # what version 1 says instead of nothing


class Memory(NamedTuple):
    """The memory of a machine, or of the control group that has less left: bytes in all, and bytes available."""

    total: int
    available: int


class Machine:
    """Where the memory of this process comes from.

    Args:
        proc: Where the system tells of its processes.
        cgroups: Where it tells of its control groups.
    """

    def __init__(self, proc: Path = PROC, cgroups: Path = CGROUPS) -> None:
        self._proc = proc
        groups = group_folders("memory", proc, cgroups)
        self._folders = [(folder, version) for folder, version in groups if folder.is_dir()]

    def memory(self) -> Memory | None:
        """What there is; None if the system does not tell."""
        try:
            lines = (self._proc / "meminfo").read_bytes().splitlines()
        except OSError:
            return None
        values = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(b":") for line in lines)}
        if b"MemTotal" not in values or b"MemAvailable" not in values:
            return None
        found = [Memory(values[b"MemTotal"], values[b"MemAvailable"])]
        found += [memory for folder, version in self._folders if (memory := _of_group(folder, version))]
        return min(found, key=lambda memory: memory.available)

    def oom_kills(self) -> int:
        """How many processes the system has killed for want of memory; 0 if it does not tell."""
        try:
            for line in (self._proc / "vmstat").read_bytes().splitlines():
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
        except (OSError, ValueError, IndexError):
            return 0
        return 0


def _of_group(folder: Path, version: int) -> Memory | None:
    _, limit_file, usage_file, droppable = next(entry for entry in _FILES if entry[0] == version)
    try:
        text = (folder / limit_file).read_text("ascii").strip()
        limit = sys.maxsize if text == "max" else int(text)
        if limit >= _NO_LIMIT:
            return None
        usage = int((folder / usage_file).read_text("ascii"))
        stat = (folder / "memory.stat").read_bytes().splitlines()
        usage -= sum(int(line.split()[1]) for line in stat if line.startswith(droppable))
    except (OSError, ValueError, IndexError):
        return None
    return Memory(limit, max(limit - usage, 0))
