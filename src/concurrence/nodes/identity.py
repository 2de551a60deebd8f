"""What a node says of itself: identity, machine, measured speed."""

from __future__ import annotations

import os
import platform
import socket
import time
from pathlib import Path

from concurrence.ids import new_node_id, new_session
from concurrence.wire.messages import PROTOCOL_VERSION, Hello, SlaveDescription


class Identity:
    """A node's identity for the life of its process.

    Args:
        kind: ``client``, ``slave``, ``host`` or ``admin``.
        name: What people see.
        package: This version of Concurrent.
    """

    def __init__(self, kind: str, name: str, package: str) -> None:
        self.kind = kind
        self.name = name
        self.node = new_node_id()
        self._package = package
        self._session = new_session()

    def hello(
        self,
        resumes: bool,
        *,
        slave: SlaveDescription | None = None,
        chunks: list[int] | None = None,
        left: dict[int, list[int]] | None = None,
        system: int = 0,
        ticket: str = "",
        drains: bool = False,
    ) -> Hello:
        """The greeting.

        Args:
            resumes: Whether this incarnation was welcomed before.
            slave: A slave's machine.
            chunks: What a slave still has.
            left: See :class:`~concurrence.wire.link_messages.Hello`.
            system: A host's system, or that of a client's plain tasks.
            ticket: A host's.
            drains: Whether a slave takes no work.
        """
        version = platform.python_version_tuple()
        return Hello(
            protocol=PROTOCOL_VERSION,
            package=self._package,
            kind=self.kind,
            node=self.node,
            session=self._session,
            name=self.name,
            python=f"{version[0]}.{version[1]}",
            pid=os.getpid(),
            resumes=resumes,
            slave=slave,
            ticket=ticket,
            system=system,
            chunks=chunks or [],
            drains=drains,
            left=left or {},
        )


def host_name() -> str:
    """This machine's name, up to the first dot."""
    return socket.gethostname().partition(".")[0] or "localhost"


def describe_machine(workers: int, credit: int, labels: dict[str, float]) -> SlaveDescription:
    """What a slave tells of its machine.

    Args:
        workers: Number of its worker processes.
        credit: Number of chunks that it takes at once.
        labels: Resources beyond ``cpu``.
    """
    return SlaveDescription(
        workers=workers,
        credit=credit,
        cores=os.cpu_count() or 1,
        memory=_memory(),
        cpu_model=_cpu_model(),
        speed=_speed(),
        system=f"{platform.system()} {platform.release()}",
        labels=labels,
    )


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):  # a system that does not tell
        return 0


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


_SPEED_ROUNDS = 20_000  # about a millisecond


def _speed() -> float:
    """Millions of iterations of a fixed pure-Python loop per second of CPU time; the best of three."""
    best = 0.0
    for _ in range(3):
        start = time.thread_time()
        total = 0
        for number in range(_SPEED_ROUNDS):
            total += number & 7
        best = max(best, _SPEED_ROUNDS / max(1e-9, time.thread_time() - start) / 1e6)
    return round(best, 2)
