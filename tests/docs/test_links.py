"""Links between the documents lead somewhere, and every page is reached from docs/index.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tools.reference.text import anchors_of

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])
INDEX = ROOT / "docs" / "index.md"
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"^(`{3,}|~{3,}).*?^\1", re.MULTILINE | re.DOTALL)


@cache
def text_of(path: Path) -> str:
    """A document without its code blocks."""
    return CODE.sub("", path.read_text("utf-8"))


@cache
def places_in(path: Path) -> set[str]:
    return set(anchors_of(re.findall(r"^#+ (.*)$", text_of(path), re.MULTILINE)))


def links_of(document: Path) -> Iterator[tuple[str, Path, str]]:
    for match in LINK.finditer(text_of(document)):
        target = match["target"]
        if not re.match(r"[a-z]+:", target):
            name, _, anchor = target.partition("#")
            yield target, (document.parent / name).resolve() if name else document, anchor


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    broken = [
        target
        for target, path, anchor in links_of(document)
        if not path.exists() or (anchor and anchor not in places_in(path))
    ]
    assert not broken


def test_the_index_names_every_page() -> None:
    linked = {path for _, path, _ in links_of(INDEX)}
    pages = {path for path in (ROOT / "docs").rglob("*.md") if path != INDEX}
    lacking = [path.relative_to(ROOT).as_posix() for path in sorted(pages - linked)]
    assert not lacking, f"docs/index.md does not say what they answer: {lacking}"


def test_anchors_are_those_of_the_web() -> None:
    assert anchors_of(["Task", "task", "[node] transport", "For authors of plug-ins"]) == [
        "task",
        "task-1",
        "node-transport",
        "for-authors-of-plug-ins",
    ]
