"""Runs the commands whose output documents show, and puts the output where the old one stood.

Run it on a machine that has nothing else to do: ``python -m tools.outputs``. It goes through the README and all of
docs/, or what is named: ``python -m tools.outputs docs/amdahl.md``. How a document says which command is told in
``blocks.py``. Commands of ``concurrence`` run in docs/images, and what they write is there; ``python`` runs here.
"""

from __future__ import annotations

import importlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

from tools.outputs.blocks import renewed, shown_in, tables_in

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
SECONDS = 1800.0


def documents() -> list[Path]:
    """Those that show what was measured or calculated."""
    texts = {
        path: path.read_text("utf-8") for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    }
    return [path for path, text in texts.items() if shown_in(text) or tables_in(text)]


def output_of(command: str) -> str:
    """What a command prints.

    Raises:
        RuntimeError: It failed, or lacks what it should measure.
    """
    program, *words = shlex.split(command)
    is_ours = program == "concurrence"
    done = subprocess.run(
        [sys.executable, *(("-m", "concurrence.cli.main") if is_ours else ()), *words],
        cwd=IMAGES if is_ours else ROOT,
        env={**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout}")
    if "not installed" in done.stdout:  # benchmarks leave out what is not there
        raise RuntimeError(f"{command} lacks packages that it compares with:\n{done.stdout}")
    return done.stdout.replace(f"{IMAGES}{os.sep}", "")


def table_of(module: str) -> str:
    """The table that a module calculates."""
    return str(importlib.import_module(module).table())


def main(names: list[str]) -> int:
    """Measure all of it anew, or what these documents show."""
    known: dict[str, str] = {}

    def measured(command: str) -> str:
        if command not in known:
            print(command, flush=True)  # noqa: T201  a tool for people
            known[command] = output_of(command)
        return known[command]

    for document in [Path(name) for name in names] or documents():
        document.write_text(renewed(document.read_text("utf-8"), measured, table_of), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
