"""What only other systems have does not keep clients and slaves from starting on Windows."""

from __future__ import annotations

import mmap
import subprocess
import sys
from typing import Any

import pytest

from concurrence.wire.buffers import room_for

MISSING = ("fcntl", "grp", "pty", "pwd", "termios", "tty")
"""Also ``resource``; but where that is imported, the name of the system decides."""

IMPORTS = f"""
import importlib, sys
sys.modules.update(dict.fromkeys({MISSING!r}))
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_slaves_and_clients_are_imported_without_the_modules_that_windows_lacks() -> None:
    names = ("concurrence.nodes.slave", "concurrence.nodes.application", "concurrence.nodes.client_run")
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *names], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_room_for_a_large_frame_asks_for_nothing_that_windows_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 5 * 1024 * 1024
    on_linux = mmap.mmap

    def on_windows(fileno: int, length: int, **others: Any) -> mmap.mmap:
        assert not others
        return on_linux(fileno, length)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(mmap, "mmap", on_windows)
    monkeypatch.delattr(mmap, "MAP_PRIVATE")
    monkeypatch.delattr(mmap, "MAP_ANONYMOUS")
    assert room_for(size).nbytes == size
