"""What tasks and task systems log when they run in the client's own process, where no worker takes it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager

from concurrence.env.log import LOGGER, log_output, writes_json
from concurrence.tasks import waiting
from concurrence.workers.execution import current_task


class _AuthorsHandler(logging.Handler):
    """Writes records of the author's code as they arrive from workers; those of the system have a handler."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def filter(self, record: logging.LogRecord) -> bool:
        is_ours = record.name == LOGGER or record.name.startswith(f"{LOGGER}.")
        return not is_ours and waiting.place() in (waiting.TASK, waiting.SYSTEM)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            if writes_json():
                task = current_task()
                log_output(text, stream="log", slave="", task=task.name if task is not None else None, system=None)
            else:
                sys.stderr.write(f"{text}\n")
        except Exception:  # noqa: BLE001  a bad format string is the author's: logging reports it on stderr
            self.handleError(record)


@contextmanager
def heard_logs() -> Generator[None]:
    """Within this block, write what tasks and task systems log from INFO on, unless the script does so itself."""
    root = logging.getLogger()
    if root.handlers:
        yield
        return
    handler, level = _AuthorsHandler(), root.level
    root.addHandler(handler)
    if level > logging.INFO:
        root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        if level > logging.INFO and root.level == logging.INFO:
            root.setLevel(level)
