"""Which diagrams there are."""

from __future__ import annotations

from pathlib import Path

from tools.figures.flows import generic_flow, nodes_diagram, pushpull_flow

FOLDER = Path(__file__).parents[2] / "docs" / "images"
COMMAND = "python -m tools.figures"

MEASURED = (
    ("mandelbrot", "--output", "mandelbrot.png"),
    ("benchmark", "--form", "tasks", "--plot", "cpu-usage-tasks.svg"),
    ("benchmark", "--form", "system", "--plot", "cpu-usage-system.svg"),
)
"""Samples that draw a picture, with their words; they run in the folder of the pictures."""


def made_diagrams() -> dict[str, str]:
    """The diagrams by file name, as the code draws them now."""
    return {"nodes.svg": nodes_diagram(), "generic.svg": generic_flow(), "pushpull.svg": pushpull_flow()}
