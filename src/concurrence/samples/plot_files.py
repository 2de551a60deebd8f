"""Where plots of samples go, checked before a run; what draws them is imported when there is something to draw."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from concurrence import UsageError

if TYPE_CHECKING:
    from concurrence.samples.amdahl_law import AmdahlFit, UslFit
    from concurrence.samples.cpu_usage import Sample

ENDINGS = (".png", ".svg")


def check_plot_file(path: Path, option: str) -> None:
    """Check that a plot can be drawn and written.

    Args:
        path: The file.
        option: The option that names it.

    Raises:
        UsageError: It cannot; the text says why.
    """
    if path.suffix not in ENDINGS:
        raise UsageError(
            f"{option} names {path}, and a plot is a {' or '.join(ENDINGS)} file",
            hint=f"Name it {path.with_suffix('.png')}",
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            f"{option} wants a plot, and matplotlib is not installed", hint='pip install "concurrence[samples]"'
        )
    try:
        with tempfile.NamedTemporaryFile(prefix=".plot-", dir=path.absolute().parent):
            pass
    except OSError as error:
        raise UsageError(
            f"the plot cannot be written to {path}: {error.strerror or error}", hint="Name another place."
        ) from error
    if path.is_dir():
        raise UsageError(f"the plot cannot be written to {path}: it is a folder", hint="Name a file in it.")


class SpeedUps(NamedTuple):
    """What there is to plot of speed-ups.

    Attributes:
        times: Seconds of each run, by the number of workers.
        measured: Their speed-ups.
        simulated: Those of more workers.
    """

    times: Mapping[int, Sequence[float]]
    measured: Mapping[int, float]
    simulated: Mapping[int, float]


def speed_up_plot(path: Path, found: SpeedUps, fit: AmdahlFit, gunther: UslFit | None) -> None:
    """Draw speed-ups, and the laws that were fitted to them."""
    from concurrence.samples.plots import Point, draw_speed_ups  # noqa: PLC0415  as below

    alone = sum(found.times[1]) / len(found.times[1])
    points = [
        Point(n, speed, alone / max(found.times[n]), alone / min(found.times[n]), is_simulated=False)
        for n, speed in found.measured.items()
    ]
    points += [Point(n, speed, speed, speed, is_simulated=True) for n, speed in found.simulated.items()]
    draw_speed_ups(path, points, fit, gunther)


def usage_plot(path: Path, samples: Sequence[Sample]) -> None:
    """Draw how busy each core was."""
    from concurrence.samples.plots import draw_usage  # noqa: PLC0415  it needs an extra, and takes long to import

    draw_usage(path, samples)
