"""How Sphinx makes a site of these pages and of those at the top of the checkout.

    sphinx-build -W -c docs . site

The source folder is the checkout, so that links from docs/ to the README lead to the same places as in the files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from concurrence.version import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Concurrent"
author = "the authors of Concurrent"
release = __version__

root_doc = "docs/index"
source_suffix = {".md": "markdown"}
include_patterns = ["*.md", "docs/**.md"]
extensions = ["myst_parser"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"Concurrent {release}"
html_copy_source = False
html_show_copyright = False

_CHAPTER = re.compile(r"^## (?P<title>.+)$", re.MULTILINE)
_PAGE = re.compile(r"\]\((?P<page>[^)#:]+)\.md[)#]")


def contents_of(index: str) -> Iterator[str]:
    """The table of contents, one toctree for each chapter of the index with the pages that it links to first."""
    _, *chapters = _CHAPTER.split(index)
    seen: set[str] = set()
    for title, text in zip(chapters[::2], chapters[1::2], strict=True):
        pages = [posixpath.normpath(f"/docs/{match['page']}") for match in _PAGE.finditer(text)]
        fresh = [page for page in dict.fromkeys(pages) if page not in seen]
        seen.update(fresh)
        yield "\n".join(["```{toctree}", ":hidden:", f":caption: {title}", *fresh, "```", ""])


def add_contents(app: Sphinx, name: str, source: list[str]) -> None:
    """Give the index, which is written as tables to be read anywhere, what makes the side bar of the site."""
    if name == root_doc:
        source[0] += "\n" + "\n".join(contents_of(source[0]))


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_contents)
