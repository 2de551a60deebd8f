"""Which diagrams there are."""

from __future__ import annotations

from pathlib import Path

from tools.figures.flows import generic_flow, nodes_diagram, pushpull_flow

FOLDER = Path(__file__).parents[2] / "docs" / "images"
COMMAND = "python -m tools.figures"


def made_diagrams() -> dict[str, str]:
    """The diagrams by file name, as the code draws them now."""
    return {"nodes.svg": nodes_diagram(), "generic.svg": generic_flow(), "pushpull.svg": pushpull_flow()}
