"""The diagrams in docs/images are what the code draws, and every page that shows one shows one that is there."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tools.figures.drawing import Arrow, Box, Point, draw
from tools.figures.made import COMMAND, FOLDER, MEASURED, made_diagrams


@pytest.mark.parametrize("name", made_diagrams())
def test_diagrams_are_what_the_code_draws(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == made_diagrams()[name], f"draw it anew: {COMMAND}"


@pytest.mark.parametrize("command", MEASURED, ids=lambda command: command[-1])
def test_measured_figures_are_there_and_shown(command: tuple[str, ...]) -> None:
    picture = FOLDER / command[-1]
    assert picture.stat().st_size > 5_000, f"draw it: {COMMAND}"
    pages = [FOLDER.parents[1] / "README.md", *FOLDER.parent.glob("*.md")]
    assert any(f"images/{picture.name})" in page.read_text("utf-8") for page in pages)


def test_texts_are_no_markup() -> None:
    boxes = [Box(0, 0, 90, 40, ["a < b & c"])]
    picture = draw("1 < 2", (100, 50), boxes, [Arrow([Point(0, 0), Point(9, 9)], 3, "<->")])
    texts = [element.text for element in ET.fromstring(picture).iter() if element.text]
    assert {"a < b & c", "1 < 2", "<->", "3"} <= set(texts)
