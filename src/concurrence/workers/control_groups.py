"""The control groups of this process, any of which may bound what it uses; Linux only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")


def group_folders(controller: str, proc: Path, cgroups: Path) -> Iterator[tuple[Path, int]]:
    """The folders of the control groups that this process is in, innermost first.

    Args:
        controller: What is bounded, as the system calls it: ``memory``, ``cpu``.
        proc: Where the system tells of its processes.
        cgroups: Where it tells of its control groups.

    Yields:
        A folder, and the version of control groups that says what its files are. A container sees only some of
        them: not all have to exist.
    """
    try:
        lines = (proc / "self" / "cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, version = cgroups, 2
        elif controller in controllers.split(","):
            root, version = cgroups / controller, 1
        else:
            continue
        inside = PurePosixPath(path.lstrip("/"))
        for part in (inside, *inside.parents):
            yield root / part, version
