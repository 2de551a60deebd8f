"""``python -m tools.reference``: write the pages anew. A test fails while they differ from the code."""

from __future__ import annotations

import sys

from tools.reference.pages import FOLDER, made_pages


def main() -> None:
    """Write the pages that changed, and say which."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in made_pages().items():
        path = FOLDER / name
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
