"""How many processors this process may use: those that it is bound to, within the quota of its container."""

from __future__ import annotations

import os
from math import ceil, inf
from pathlib import Path

from concurrence.workers.control_groups import CGROUPS, group_folders
from concurrence.workers.groups import PROC


def available_cores() -> int:
    """How many processors this process may use, by its affinity and the CPU quota of its container; one at least.

    A quota of two and a half processors counts as three: two workers would leave half of one unused, and three
    wait for a moment when it is used up.
    """
    return cores_within(PROC, CGROUPS)


def cores_within(proc: Path, cgroups: Path) -> int:
    """The same, where the system tells of its processes and of its control groups in these folders."""
    quotas = (_quota(folder, version) for folder, version in group_folders("cpu", proc, cgroups))
    least = min(quotas, default=inf)
    bound = _bound_to()
    return bound if least >= bound else max(1, ceil(least))


def _bound_to() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _quota(folder: Path, version: int) -> float:
    """How many processors a control group may use; infinity for all, or if it does not tell."""
    try:
        if version == 2:
            quota, period = (folder / "cpu.max").read_text("ascii").split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period"))
        # "max" and -1 are no quota.
        return inf if quota == "max" or int(quota) < 0 else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return inf
