"""A worker starts with what it needs: no command line, no database, no web server, no sockets of ZeroMQ."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import concurrence

FORBIDDEN = ("typer", "rich", "sqlalchemy", "starlette", "zmq")


SAMPLES = Path(concurrence.__file__).parent / "samples"
DRAWING = ("matplotlib", "dnacurve")


@pytest.mark.parametrize("module", ["concurrence.workers.worker", "concurrence.workers.template"])
def test_a_worker_imports_nothing_heavy(module: str) -> None:
    assert imported(module, FORBIDDEN) == [], f"{module} imports what a worker does not need"


@pytest.mark.parametrize("file", sorted(SAMPLES.glob("*_tasks.py")), ids=lambda path: path.stem)
def test_the_tasks_of_samples_draw_nothing(file: Path) -> None:
    assert imported(f"concurrence.samples.{file.stem}", (*FORBIDDEN, *DRAWING)) == []


def test_what_every_node_loads_of_samples_imports_nothing_heavy() -> None:
    points = entry_points(group="concurrence.plugins")
    modules = [point.module for point in points if point.module.startswith("concurrence.samples.")]
    assert len(modules) >= 4
    assert imported(", ".join(modules), (*DRAWING, "numpy", "scipy", "rich", "typer")) == []


def imported(module: str, names: tuple[str, ...]) -> list[str]:
    """Which of some modules are imported with another in a fresh Python."""
    script = f"import sys, {module}; print(*sorted(set({names!r}) & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
