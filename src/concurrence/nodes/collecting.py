"""Coming for a detached task system: the application behind ``concurrence attach``."""

from __future__ import annotations

from typing import Any

from concurrence.errors import TaskError, UsageError
from concurrence.ids import SystemId
from concurrence.nodes.application import ApplicationNode
from concurrence.wire.faults import KIND_RESULT


class DetachedCollector(ApplicationNode):
    """Attaches to a detached task system, shows how it goes, and prints its result.

    Attributes:
        wanted: The system.
    """

    wanted = SystemId(0)

    def start_processing(self) -> None:
        """Ask for it."""
        self.attach_tasksystem(self.wanted)

    def work_finished(self, result: Any, system_id: SystemId) -> None:
        """Print its result."""
        if system_id == self.wanted:
            self.say(str(result))
            self.shutdown_main_loop()

    def push_tasksystem_failed(self, system_id: SystemId, error: TaskError) -> None:
        """Say why there is no result.

        Raises:
            UsageError: There is one that cannot be read here; without an acknowledgement the master keeps it.
        """
        if error.kind == KIND_RESULT and error.cause is not None:
            raise UsageError(
                f"{error.message}; the master keeps it",
                hint="Name the application whose classes it needs: concurrence attach SYSTEM --app FILE.py",
            )
        super().push_tasksystem_failed(system_id, error)
