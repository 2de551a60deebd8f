"""``python -m tools.figures``: draw the pictures of README and docs anew.

The diagrams are the same bytes each time, and a test fails while they differ from the code. The picture of README
comes from the program that README tells to run. The figures of the CPU usage are measured: draw them on a
machine that has nothing else to do.
"""

from __future__ import annotations

import subprocess
import sys

from tools.figures.made import FOLDER, MEASURED, made_diagrams


def main() -> None:
    """Write all of them, and say which changed."""
    for name, text in made_diagrams().items():
        path = FOLDER / name
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            sys.stdout.write(f"{path}\n")
    for sample, *words in MEASURED:
        command = ["run", sample, "--quiet", *words]
        subprocess.run([sys.executable, "-m", "concurrence.cli.main", *command], cwd=FOLDER, check=True)


if __name__ == "__main__":
    main()
