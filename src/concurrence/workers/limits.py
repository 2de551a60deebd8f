"""What a worker may use of its machine: limits that the system enforces, and what the slave watches itself.

The system's own limits are per process. They are no answer to a task that starts processes, to memory that counts
only once it is touched, or, as root, to the number of processes. So the slave looks at each worker's process group
as a whole; see :mod:`concurrence.workers.watching`.
"""

from __future__ import annotations

import logging
from types import ModuleType

import msgspec

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows
    resource = None

_log = logging.getLogger(__name__)


class SystemLimits(msgspec.Struct, frozen=True):
    """Limits that the system enforces on each process of a worker.

    Attributes:
        core_dumps: Whether a crash may leave its memory in a file.
        open_files: How many descriptors it may have; 0 for as many as the slave.
        address_space: Bytes of addresses, touched or not; 0 for no limit.
        data: Bytes of data, without what is mapped from files; 0 for no limit.
    """

    core_dumps: bool = False
    open_files: int = 0
    address_space: int = 0
    data: int = 0

    def apply(self) -> None:
        """Set them for this process, and for what it starts; a limit that the system does not take is logged."""
        if not self.core_dumps:
            _set("RLIMIT_CORE", 0)
        for name, value in (
            ("RLIMIT_NOFILE", self.open_files),
            ("RLIMIT_AS", self.address_space),
            ("RLIMIT_DATA", self.data),
        ):
            if value:
                _set(name, value)


class WatchLimits(msgspec.Struct, frozen=True):
    """Limits that the slave enforces on a worker with all that its tasks start.

    Attributes:
        memory: Bytes of memory; None for what the machine has, 0 for no watch on memory.
        processes: How many processes; 0 for no limit.
    """

    memory: int | None = None
    processes: int = 0


def _set(name: str, value: int) -> None:
    kind = getattr(resource, name, None)
    if resource is None or kind is None:
        _log.warning("this system knows no %s: it is not limited", name)
        return
    _, hard = resource.getrlimit(kind)
    wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(kind, (wanted, wanted if name == "RLIMIT_CORE" else hard))
    except (OSError, ValueError) as error:
        _log.warning("the system does not take %s = %d: %s", name, value, error)
