"""A folder with all that makes a walk hard, and the duplicates in it by another way than the sample's."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from pathlib import Path


def make_tree(root: Path) -> None:
    """Make the folder."""
    for folder in ("a", "b/deep/deeper/deepest", "ü/文字", "many"):
        (root / folder).mkdir(parents=True)
    same = {
        "a/one.txt": b"the same text",
        "b/deep/deeper/deepest/two.txt": b"the same text",
        "ü/文字/drei.txt": b"the same text",
        "a/other.txt": b"another text!",  # as long
        "b/deep/empty": b"",
        "ü/empty": b"",
        "b/a line\nbreak": b"odd names" * 1000,
        "ü/an escape \x1b[31m": b"odd names" * 1000,
        "many/lonely": b"nobody else has this length: " * 7,
    }
    for name, content in same.items():
        (root / name).write_bytes(content)
    odd = os.fsencode(root) + b"/many/no text \xff"
    for place in (odd, odd + b" again"):
        with open(place, "wb") as file:
            file.write(b"names of bytes")
    for number in range(150):
        (root / "many" / f"{number:03}").write_bytes(b"%d" % (number % 7 + 100))
        (root / "many" / f"{number:03}.d").mkdir()
    (root / "a" / "link").symlink_to("one.txt")
    (root / "a" / "loop").symlink_to(root, target_is_directory=True)
    (root / "a" / "dangling").symlink_to("nowhere")
    os.link(root / "a" / "one.txt", root / "many" / "hard link")


def sequential_duplicates(root: Path, smallest: int) -> set[tuple[str, ...]]:
    """The names of equal files, one of each: read one after the other, and compared byte by byte."""
    names: dict[tuple[int, int], list[str]] = defaultdict(list)
    for top, _, files in os.walk(root):
        for name in files:
            path = os.path.join(top, name)
            about = os.lstat(path)
            if stat.S_ISREG(about.st_mode) and about.st_size >= smallest:
                names[about.st_dev, about.st_ino].append(path)
    contents: dict[bytes, list[str]] = defaultdict(list)
    for paths in names.values():
        with open(paths[0], "rb") as file:
            contents[file.read()].append(min(paths))
    return {tuple(sorted(paths)) for paths in contents.values() if len(paths) > 1}
