"""The picture of a helix path: its axis in space, and as one sees it from two sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from concurrence.samples.dna_curve import Matrices
from concurrence.samples.whole_files import whole_file


def draw_curve(file: Path, coordinates: Matrices, title: str) -> None:
    """Draw a path.

    Args:
        file: Where to; a PNG, replaced when it is whole.
        coordinates: The axes are which point, which nucleotide, coordinate, in angstrom.
        title: What is written above it.

    Raises:
        OSError: The file cannot be written.
    """
    axis = coordinates[0] / 10  # in nanometres
    figure: Any = Figure(figsize=(10, 7), layout="constrained")
    figure.suptitle(title)
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 2))
    space: Any = figure.add_subplot(grid[:, 0], projection="3d")
    colours = np.linspace(0, 1, len(axis))
    space.scatter(*axis.T, c=colours, cmap="viridis", s=2)
    space.set(xlabel="x / nm", ylabel="y / nm", zlabel="z / nm")
    space.set(title="helix axis, from 5' (dark) to 3'; x is drawn short")
    for place, (across, up) in enumerate((("x", "z"), ("y", "z"))):
        side: Any = figure.add_subplot(grid[place, 1])
        side.scatter(axis[:, "xyz".index(across)], axis[:, "xyz".index(up)], c=colours, cmap="viridis", s=2)
        side.set(xlabel=f"{across} / nm", ylabel=f"{up} / nm")
        side.grid(visible=True, alpha=0.3)
    with whole_file(file) as unfinished:
        canvas: Any = FigureCanvasAgg(figure)
        canvas.print_png(unfinished)
