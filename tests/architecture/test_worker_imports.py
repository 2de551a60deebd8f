"""A worker starts with what it needs: no command line, no database, no web server, no sockets of ZeroMQ."""

from __future__ import annotations

import subprocess
import sys

import pytest

FORBIDDEN = ("typer", "rich", "sqlalchemy", "starlette", "zmq")


@pytest.mark.parametrize("module", ["concurrence.workers.worker", "concurrence.workers.template"])
def test_a_worker_imports_nothing_heavy(module: str) -> None:
    script = f"import sys, {module}; print(*sorted(set({FORBIDDEN!r}) & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], f"{module} imports what a worker does not need: {done.stdout}"
