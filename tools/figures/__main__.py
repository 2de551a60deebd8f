"""``python -m tools.figures``: draw the pictures of README and docs anew.

The diagrams are the same bytes each time, and a test fails while they differ from the code. The picture of README
comes from the program that README tells to run.
"""

from __future__ import annotations

import subprocess
import sys

from tools.figures.made import FOLDER, made_diagrams


def main() -> None:
    """Write all of them, and say which changed."""
    for name, text in made_diagrams().items():
        path = FOLDER / name
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            sys.stdout.write(f"{path}\n")
    picture = FOLDER / "mandelbrot.png"
    command = ["run", "mandelbrot", "--quiet", "--set", f"mandelbrot.output={picture}"]
    subprocess.run([sys.executable, "-m", "concurrence.cli.main", *command], check=True)


if __name__ == "__main__":
    main()
