"""The seed's two figures, from measurements: task system against plain tasks, without and with optimized data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from concurrence.samples.mandelbrot_compare import SEQUENTIAL
from concurrence.samples.whole_files import whole_file

_WHO = {"system": "task system", "batch": "plain tasks,\nin one batch", "single": "plain tasks,\none by one"}
_WHAT = {
    "plain": "not optimized: all points in, a dict of dicts out",
    "optimized": "optimized: parameters in, bytes out",
}
_UNDATED: dict[str, dict[str, None]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
"""So that drawing the same again gives the same."""


def draw_comparison(folder: Path, seconds: Mapping[str, float], title: str) -> list[Path]:
    """Draw both figures, each as PNG and as SVG.

    Args:
        folder: Where to.
        seconds: The time of each shape, and of the sequential kernel.
        title: What was drawn.

    Returns:
        The files.

    Raises:
        OSError: One of them cannot be written.
    """
    files: list[Path] = []
    for what in _WHAT:
        figure = _figure({who: seconds[f"{who}-{what}"] for who in _WHO}, seconds[SEQUENTIAL], what, title)
        for suffix, make in (("png", FigureCanvasAgg), ("svg", FigureCanvasSVG)):
            file = folder / f"mandelbrot-{what}.{suffix}"
            canvas: Any = make(figure)
            with whole_file(file) as unfinished:
                canvas.print_figure(unfinished, format=suffix, dpi=120, metadata=_UNDATED[suffix])
            files.append(file)
    return files


def _figure(seconds: Mapping[str, float], alone: float, what: str, title: str) -> Any:
    figure: Any = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.bar([_WHO[who] for who in seconds], list(seconds.values()), width=0.6, color="#3b6ea5")
    axes.bar_label(bars, [f"{each:.2f} s" for each in seconds.values()], padding=2)
    axes.axhline(alone, color="#b5482a", linestyle="--", label=f"one process, {alone:.2f} s")
    axes.set(ylabel="seconds", title=f"Mandelbrot {title}\n{_WHAT[what]}")
    axes.margins(y=0.15)
    figure.legend(loc="outside lower center", frameon=False)
    return figure
