from __future__ import annotations

import pickle
import random

import pytest

from concurrence.samples.mandelbrot_kernel import (
    COLOURS,
    View,
    count_column,
    palette,
    render_columns,
    render_sequential,
    rows_of,
)

VIEW = View(width=96, height=64, iterations=20)


def slow_count(point: complex, iterations: int) -> int:
    """The definition, word for word."""
    orbit = point
    for number in range(1, iterations + 1):
        if orbit.real**2 + orbit.imag**2 > 4:
            return number
        orbit = orbit * orbit + point
    return 0


@pytest.mark.parametrize("iterations", [1, 2, 20, 255])
def test_the_kernel_agrees_with_the_definition(iterations: int) -> None:
    rng = random.Random(7)
    points = [(rng.uniform(-2, 1), rng.uniform(-1, 1)) for _ in range(500)]
    for x, y in points:
        assert count_column(x, [y], iterations)[0] == slow_count(complex(x, y), iterations), (x, y)


def test_known_points() -> None:
    ys = [0.0]
    assert count_column(0.0, ys, 255) == b"\0", "the origin stays for ever"
    assert count_column(-1.0, ys, 255) == b"\0", "a cycle of two stays for ever"
    assert count_column(-2.0, ys, 255) == b"\0", "the tip stays on the circle"
    assert count_column(1.0, ys, 255) == b"\3", "1, 2, 5"
    assert count_column(3.0, ys, 255) == b"\1", "outside from the start"


def test_the_view_covers_its_region_and_the_pixels_are_square() -> None:
    view = View(1536, 1024, 20)
    ys = view.ys()
    assert (len(ys), ys[0], ys[-1]) == (1024, 1 - 1 / 1024, -1 + 1 / 1024)
    assert view.x(0) == pytest.approx(-2 + 1.5 / 1536)
    assert view.x(1535) == pytest.approx(1 - 1.5 / 1536)
    assert view.x(1) - view.x(0) == pytest.approx(ys[0] - ys[1])


def test_the_picture_is_symmetric_and_varied() -> None:
    rows = rows_of(VIEW, render_sequential(VIEW))
    assert rows == rows[::-1]
    assert [len(row) for row in rows] == [VIEW.width] * VIEW.height
    assert len(set(b"".join(rows))) > 10


@pytest.mark.parametrize("factor", [1, 7, 96])
def test_columns_rendered_apart_make_the_same_picture(factor: int) -> None:
    starts = range(0, VIEW.width, factor)
    parts = [render_columns(VIEW, start, min(start + factor, VIEW.width)) for start in starts]
    assert b"".join(parts) == render_sequential(VIEW)


def test_a_view_travels() -> None:
    assert pickle.loads(pickle.dumps(VIEW, 5)) == VIEW


@pytest.mark.parametrize("colours", COLOURS)
@pytest.mark.parametrize("iterations", [1, 2, 20, 255])
def test_a_palette_has_a_colour_for_each_count(colours: str, iterations: int) -> None:
    found = palette(colours, iterations)
    assert len(found) == iterations + 1
    assert found[0] == (0, 0, 0)
    assert all(0 <= part <= 255 for colour in found for part in colour)
    assert found[-1] == palette(colours, 255)[-1], "the last colour is the gradient's end"
    assert (0, 0, 0) not in found[1:], "black is the set's own"
