"""Pipeline: finds duplicate files, in stages that feed each other: walk, group by size, hash, group by content.

How much there is to do turns out on the way. A task that reads a folder pushes tasks for the folders below; a task
system groups what they see, and pushes tasks that hash what has the size of another file, while the walk goes on.

The files are read where the tasks run: the folder must be visible on every slave, at the same path.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from concurrence import ApplicationNode, ByteSizeOption, IntOption, ITaskSystem, PathOption, UsageError
from concurrence.samples.pipeline_files import printable
from concurrence.samples.pipeline_tasks import Duplicates, PipelineSystem
from concurrence.samples.whole_files import check_file

_MOST_WARNINGS = 20


class Pipeline(ApplicationNode):
    """Finds duplicate files below a folder that all slaves see."""

    folder = PathOption(
        "pipeline", "folder", Path("."), "Where to look; it must be there on every slave, at the same path."
    )
    smallest = ByteSizeOption("pipeline", "smallest", 1, "Smaller files are not looked at.")
    show = IntOption(
        "pipeline", "show", 10, "How many groups of duplicates are printed, and how many names of each.", min=0
    )
    duplicates = PathOption("pipeline", "duplicates", None, "A file for all of them, as JSON; none by default.")

    _so_far = ""

    def app_init(self) -> None:
        """Find out what is wrong before a swarm is started."""
        if self.duplicates is not None:
            check_file(self.duplicates, "pipeline.duplicates", "duplicates.json")

    def get_task_system(self) -> ITaskSystem:
        """The whole pipeline.

        Raises:
            UsageError: There is no such folder, and this machine is the whole swarm.
        """
        root = os.path.abspath(self.folder)
        if self.master is not None:
            self.say(f"looking through {printable(root)}, which must be at this path on every slave")
        elif not os.path.isdir(root):
            raise UsageError(
                f"there is no folder {printable(root)}",
                hint="Name one with: concurrence run pipeline --folder PATH",
            )
        return PipelineSystem(root, self.smallest)

    def progress(self, system_id: int, done: float, total: float, text: str) -> None:
        """Keep how far it is, for the case that somebody interrupts."""
        self._so_far = f"{text}, {done:,.0f} hashed"

    def interrupted(self) -> None:
        """Say how far it was; duplicates are known for sure only at the end."""
        self.say(f"interrupted after {self._so_far or 'nothing'}; nothing was changed")

    def work_finished(self, result: Any, system_id: int) -> None:
        """Say which files are equal, and what could not be read."""
        found: Duplicates = result
        for group in found.groups[: self.show]:
            self.say(f"{group.size:,} bytes, {len(group.paths):,} times:")
            for path in group.paths[: self.show]:
                self.say(f"  {printable(path)}")
            if len(group.paths) > self.show:
                self.say(f"  and {len(group.paths) - self.show:,} more")
        if len(found.groups) > self.show:
            self.say(f"and {len(found.groups) - self.show:,} groups more: --duplicates FILE writes all of them")
        for line in found.summary().splitlines():
            self.say(line)
        self._warn(found)
        is_written = self.duplicates is None or self._write(found, self.duplicates)
        self.shutdown_main_loop(0 if is_written and not (found.problems or found.failures) else 1)

    def _warn(self, found: Duplicates) -> None:
        """Say what could not be read: there may be more."""
        for path, reason in found.problems[:_MOST_WARNINGS]:
            self.log.warning("not read: %s: %s", printable(path), reason)
        for failure in found.failures[:_MOST_WARNINGS]:
            self.log.error("%s", failure)
        if (more := max(len(found.problems), len(found.failures)) - _MOST_WARNINGS) > 0:
            self.log.warning("and %d more could not be read", more)

    def _write(self, found: Duplicates, path: Path) -> bool:
        """Write all groups to a file; whether that went well."""
        groups = [{"size": group.size, "paths": group.paths} for group in found.groups]
        text = json.dumps({"groups": groups, "problems": found.problems, "failures": found.failures}, indent=1)
        try:
            path.write_text(f"{text}\n", "utf-8")  # JSON escapes what is no text
        except OSError as error:
            self.log.error("the duplicates could not be written to %s: %s", path, error.strerror or error)
            return False
        self.announce(path, "the duplicates")
        return True
