"""Whether this process is a fork of another one."""

from __future__ import annotations

import os


class Forks:
    """Counts the forks that led to this process: cheaper to ask twice a task than the system for a process id."""

    def __init__(self) -> None:
        self.generation = 0
        os.register_at_fork(after_in_child=self._count)

    def _count(self) -> None:
        self.generation += 1


forks = Forks()
"""Those of this process."""
