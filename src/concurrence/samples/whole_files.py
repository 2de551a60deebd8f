"""Files that samples write: checked before a run, and then there as a whole, or as they were."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from concurrence import UsageError


def check_file(path: Path, option: str, example: str) -> None:
    """Check that there can be such a file, before hours of work are for nothing.

    Args:
        path: The file.
        option: The option that names it.
        example: What it could be called.

    Raises:
        UsageError: Its folder does not exist, or it is a folder itself.
    """
    if not path.parent.is_dir():
        raise UsageError(f"the folder of {option} does not exist: {path.parent}", hint="Make it, or name another.")
    if path.is_dir():
        raise UsageError(f"{option} is a folder: {path}", hint=f"Name a file, as in {path / example}")


@contextmanager
def whole_file(path: Path) -> Generator[BinaryIO]:
    """A file to write to that takes the place of ``path`` when all is written, and only then.

    Args:
        path: The file; replaced if it exists.

    Raises:
        OSError: It cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
