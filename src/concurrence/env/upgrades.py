"""Bringing environments of older versions up to date: one step from each layout to the next.

To change the layout: raise ``STAMP_VERSION``, and add the step from the layout before. A step may be interrupted
and is then run again, so it looks before it acts. It never removes what it did not make.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from concurrence.env.layout import README_FILE, STAMP_FILE, STAMP_VERSION, check_stamp, readme_text, stamp_text
from concurrence.env.whole import write_whole
from concurrence.errors import EnvironmentInvalid


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The step from one layout to the next.

    Attributes:
        summary: What it does, in a few words.
        apply: Does it to a folder; raises OSError if the system refuses. It can be repeated.
    """

    summary: str
    apply: Callable[[Path], None]


def _explain(folder: Path) -> None:
    readme = folder / README_FILE
    if not readme.exists():  # somebody's own stays
        write_whole(readme, readme_text())


UPGRADES: Mapping[int, Upgrade] = {
    1: Upgrade(f"a {README_FILE} explains every folder and file", _explain),
}
"""The steps, by the layout that each starts from."""


def upgrade_folder(
    folder: Path, steps: Mapping[int, Upgrade] = UPGRADES, latest: int = STAMP_VERSION
) -> list[tuple[int, Upgrade]]:
    """Bring the folder of an environment up to date. After each step its stamp says so, in one write.

    Args:
        folder: The environment's; nobody else may use it meanwhile.
        steps: The steps, by the layout that each starts from.
        latest: The layout to reach.

    Returns:
        The steps that were taken, each with the layout that it led to; none if it was up to date.

    Raises:
        EnvironmentInvalid: The folder is no environment, or of a newer version; or a step failed. The steps before
            that one hold, and the command can be repeated.
    """
    version = check_stamp(folder)
    taken: list[tuple[int, Upgrade]] = []
    while version < latest:
        step = steps.get(version)
        if step is None:
            raise EnvironmentInvalid(
                f"{folder} has the layout {version}, from which there is no upgrade",
                hint="Make a new one, and copy your configuration and plug-ins: concurrence env create PATH",
            )
        try:
            step.apply(folder)
            write_whole(folder / STAMP_FILE, stamp_text(version + 1))
        except OSError as error:
            raise EnvironmentInvalid(
                f"the upgrade of {folder} to layout {version + 1} failed: {error.filename or folder}: "
                f"{error.strerror or error}",
                hint=f"It still has the layout {version}. Correct the cause, and repeat the command.",
            ) from error
        version += 1
        taken.append((version, step))
    return taken
