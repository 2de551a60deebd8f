"""The file of ``concurrence run --report``: its place is checked before the run, it is written after any."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from concurrence.errors import UsageError
from concurrence.nodes.report_page import report_page
from concurrence.version import __version__

if TYPE_CHECKING:
    from concurrence.nodes.run_report import RunReport


class ReportFile:
    """Where a report goes.

    Args:
        path: The file; one that is there is replaced.

    Raises:
        UsageError: It cannot be written there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        folder = path.absolute().parent
        if path.is_dir():
            raise _refused(path, "it is a folder", f"Name a file: --report {path / 'report.html'}")
        if not folder.is_dir():
            raise _refused(path, f"there is no folder {folder}", f"Make it first: mkdir -p {folder}")
        try:
            with tempfile.NamedTemporaryFile(prefix=".report-", dir=folder):
                pass
        except OSError as error:
            raise _refused(path, error.strerror or str(error), "Name another place.") from error

    def write(self, report: RunReport, title: str, outcome: str, *, is_good: bool) -> None:
        """Write the page, whole or not at all.

        Args:
            report: The run.
            title: What ran.
            outcome: How it ended, in a few words.
            is_good: Whether that is what one wants.

        Raises:
            UsageError: It cannot be written after all.
        """
        when = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
        page = report_page(report, title, f"{outcome}; {when}, concurrence {__version__}", is_good=is_good)
        made = ""
        try:
            descriptor, made = tempfile.mkstemp(prefix=".report-", dir=self.path.absolute().parent)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(page)
            Path(made).chmod(0o666 & ~_umask())
            Path(made).replace(self.path)
        except OSError as error:
            with suppress(OSError):
                Path(made).unlink()
            raise _refused(self.path, error.strerror or str(error), "Is the disk full?") from error


def _umask() -> int:
    """What this process withholds; it can be read only by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _refused(path: Path, why: str, hint: str) -> UsageError:
    return UsageError(f"the report cannot be written to {path}: {why}", hint=hint)
