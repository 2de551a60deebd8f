"""docs/environments.md explains the folder with the words of the table that the product uses."""

from __future__ import annotations

from pathlib import Path

from concurrence.env.layout import LAYOUT

DOCUMENT = Path(__file__).parents[2] / "docs" / "environments.md"


def test_the_table_is_that_of_the_product() -> None:
    rows = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert rows == [f"| `{entry.shown}` | {' '.join(entry.meaning)} |" for entry in LAYOUT]
