"""The Mandelbrot sample beyond its kernel: places, sizes, small pictures, the comparison of all shapes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from concurrence.env.environment import Environment
from concurrence.errors import ConfigError, UsageError
from concurrence.samples.mandelbrot import Mandelbrot
from concurrence.samples.mandelbrot_compare import SEQUENTIAL, SHAPES, Comparison
from concurrence.samples.mandelbrot_kernel import View, render_sequential, thumbnail
from concurrence.samples.mandelbrot_places import PLACES, Place, parse_place, parse_size, view_of
from concurrence.samples.mandelbrot_plot import draw_comparison
from concurrence.samples.mandelbrot_tasks import Canvas
from concurrence.samples.tables import human_bytes, table

# --- places and sizes ---


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", None),
        ("whole", None),
        ("Spiral", PLACES["spiral"]),
        ("-0.5, 0.25,8", Place(-0.5, 0.25, 8.0)),
        ("1e-3,0,1e6", Place(0.001, 0.0, 1e6)),
    ],
)
def test_places(text: str, place: Place | None) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("spirals", 'did you mean "spiral"'),
        ("1,2", "^$"),
        ("1,2,x", "no numbers"),
        ("1,2,0", "the factor"),
        ("1,2,1e13", "the factor"),
        ("nan,2,3", "the centre"),
        ("1,2,nan", "the factor"),
    ],
)
def test_what_is_no_place_is_told_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_place(text)
    with pytest.raises(ConfigError, match=r"seahorses, elephants, .*, or X,Y,FACTOR"):
        app(f"mandelbrot.zoom={text}")


def test_sizes() -> None:
    assert parse_size("3072x2048") == (3072, 2048)
    assert parse_size(" 8X9 ") == (8, 9)
    assert parse_size("") is None
    for text in ("3", "3x", "x3", "0x3", "3x40000", "-3x3", "3x3x3", "3.5x3"):
        with pytest.raises(ConfigError, match="expected WIDTHxHEIGHT"):
            app(f"mandelbrot.size={text}")


def test_a_place_is_in_the_middle_and_its_points_are_square() -> None:
    view = view_of(300, 100, 50, Place(-0.5, 0.25, 10))
    xs, ys = [view.x(column) for column in range(300)], view.ys()
    assert sum(xs) / 300 == pytest.approx(-0.5)
    assert sum(ys) / 100 == pytest.approx(0.25)
    assert xs[1] - xs[0] == pytest.approx(ys[0] - ys[1])
    assert view.right - view.left == pytest.approx(0.3)
    assert view_of(300, 100, 50, None) == View(300, 100, 50)


@pytest.mark.parametrize("name", PLACES)
def test_every_named_place_is_worth_a_look(name: str) -> None:
    counts = render_sequential(view_of(30, 20, 200, PLACES[name]))
    assert len(set(counts)) > 20
    assert 0.02 < counts.count(0) / len(counts) < 0.7


# --- the small picture ---


@pytest.mark.parametrize(
    ("columns", "rows", "size"), [(72, 44, (66, 44)), (10, 44, (10, 6)), (1, 1, (1, 1)), (999, 999, (96, 64))]
)
def test_a_thumbnail_keeps_the_shape_and_takes_points_of_the_picture(
    columns: int, rows: int, size: tuple[int, int]
) -> None:
    view = View(96, 64, 20)
    counts = render_sequential(view)
    small = thumbnail(view, counts, columns, rows)
    assert (len(small[0]), len(small)) == size
    if size == (96, 64):
        assert bytes(small[row][column] for column in range(96) for row in range(64)) == counts
    canvas = Canvas(view)
    canvas.put(0, counts)
    assert canvas.thumbnail(columns, rows) == small


# --- comparing ---


def test_all_shapes_are_drawn_after_one_to_warm_up() -> None:
    view = View(12, 8, 5)
    counts = render_sequential(view)
    comparison = Comparison(view, repeats=3)
    drawn: list[str] = []
    while shape := comparison.next_shape():
        drawn.append(shape)
        assert comparison.add(seconds=float(len(drawn)), moved=1_000, counts=counts)
    assert drawn == ["batch-optimized", *SHAPES * 3]
    medians = comparison.medians()
    assert list(medians) == [SEQUENTIAL, *SHAPES]
    assert [medians[shape] for shape in SHAPES] == [8.0, 9.0, 10.0, 11.0, 12.0, 13.0]
    assert 0 < medians[SEQUENTIAL] < 1
    title, head, alone, first, *_ = comparison.lines()
    assert title == "12 x 8, 5 iterations"
    assert head.split() == ["shape", "median", "from,", "to", "moved", "speed-up"]
    assert alone.split()[-1] == "1.00"
    assert first.split()[:6] == ["system-optimized", "8.00", "s", "2.00", "to", "14.00"]
    assert "1.0 kB" in first


def test_a_shape_that_draws_something_else_is_found() -> None:
    view = View(12, 8, 5)
    comparison = Comparison(view, repeats=1)
    assert comparison.next_shape()
    assert not comparison.add(1.0, 1, bytes(96))


def test_the_figures(tmp_path: Path) -> None:
    files = draw_comparison(tmp_path, {SEQUENTIAL: 2.0, **dict.fromkeys(SHAPES, 1.0)}, "a title")
    names = [f"mandelbrot-{what}.{suffix}" for what in ("plain", "optimized") for suffix in ("png", "svg")]
    assert [file.name for file in files] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in files[1].read_text()
    assert "dc:date" not in files[1].read_text()


def app(*settings: str) -> Mandelbrot:
    with Environment.ephemeral(overrides=settings, plugins=False) as environment:
        environment.register(Mandelbrot)
        environment.check()
        made = environment.component(Mandelbrot)
        made.app_init()
        return made


def test_what_is_wrong_is_told_before_a_swarm_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app("mandelbrot.compare_all=true")
    with pytest.raises(UsageError, match="folder of mandelbrot"):
        app(f"mandelbrot.output={tmp_path / 'absent' / 'a.png'}")
    with pytest.raises(UsageError, match=r"mandelbrot\.output is a folder"):
        app(f"mandelbrot.output={tmp_path}")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    app()
    with pytest.raises(UsageError, match="needs the package matplotlib") as caught:
        app("mandelbrot.compare_all=true")
    assert "pip install 'concurrence[samples]'" in caught.value.hint


# --- tables ---


def test_a_table_has_its_numbers_to_the_right() -> None:
    assert table(("name", "size"), [("a", "1"), ("long name", "1,000")]) == [
        "name        size",
        "a              1",
        "long name  1,000",
    ]
    assert [human_bytes(n) for n in (0, 999, 1_000, 6_412_000_000, 1e16)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "6.4 GB",
        "10000.0 TB",
    ]
