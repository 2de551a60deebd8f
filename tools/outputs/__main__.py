"""Runs the commands whose output documents show, and puts the output where the old one stood.

Run it on a machine that has nothing else to do: ``python -m tools.outputs``. A document names the command in a
line ``<!-- output of: COMMAND -->`` before a ``text`` block; the files that it writes go to docs/images.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "amdahl.md", ROOT / "docs" / "report.md")
BLOCK = re.compile(r"(<!-- output of: (?P<command>concurrence .+) -->\n+```text\n)(?P<output>.*?)(```)", re.DOTALL)
SECONDS = 900.0


def output_of(command: str) -> str:
    """What a command prints, run in the folder of the pictures.

    Raises:
        RuntimeError: It failed.
    """
    words = [sys.executable, "-m", "concurrence.cli.main", *shlex.split(command)[1:]]
    variables = {**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        words,
        cwd=IMAGES,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout.replace(f"{IMAGES}{os.sep}", "")


def main() -> int:
    """Measure all of it anew."""
    known: dict[str, str] = {}

    def measured(found: re.Match[str]) -> str:
        command = found["command"]
        if command not in known:
            print(command, flush=True)  # noqa: T201  a tool for people
            known[command] = output_of(command)
        return f"{found[1]}{known[command]}{found[4]}"

    for document in DOCUMENTS:
        document.write_text(BLOCK.sub(measured, document.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
