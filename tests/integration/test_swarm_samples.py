"""The samples on real swarms: every shape of the Mandelbrot picture is the sequential one, byte for byte."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from samplekit import Cluster, on_every_cluster
from swarmkit import Swarm, until

from concurrence.samples.mandelbrot_compare import SHAPES
from concurrence.samples.mandelbrot_kernel import View, palette, render_sequential, rows_of
from concurrence.samples.mandelbrot_places import Place, view_of
from concurrence.samples.png import write_png

pytestmark = pytest.mark.sampled

VIEW = View(160, 96, 20)
SETTINGS = tuple(f"mandelbrot.{each}" for each in ("width=160", "height=96", "factor=4", "output=picture.png"))

# Takes two workers seconds, so that there is time to kill one.
LONG_VIEW = View(960, 640, 255)
LONG_SETTINGS = (*SETTINGS, "mandelbrot.width=960", "mandelbrot.height=640", "mandelbrot.iterations=255")


def sequential(view: View, folder: Path) -> bytes:
    path = folder / "sequential.png"
    write_png(path, rows_of(view, render_sequential(view)), palette("fire", view.iterations))
    return path.read_bytes()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return sequential(VIEW, tmp_path_factory.mktemp("short"))


@pytest.fixture(scope="module")
def expected_of_long(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return sequential(LONG_VIEW, tmp_path_factory.mktemp("long"))


def picture(folder: Path) -> bytes:
    return (folder / "client" / "picture.png").read_bytes()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_private_swarm_draws_the_sequential_picture(swarm: Swarm, expected: bytes, shape: str) -> None:
    run = swarm.run("mandelbrot", *SETTINGS, f"mandelbrot.shape={shape}", workers=2)
    assert run.finish() == 0, str(run)
    assert picture(swarm.folder) == expected
    swarm.check_nothing_left()


@on_every_cluster
@pytest.mark.parametrize("shape", SHAPES)
def test_every_cluster_draws_it(
    swarm: Swarm, expected: bytes, expected_of_long: bytes, cluster: Cluster, shape: str
) -> None:
    settings = LONG_SETTINGS if cluster.kills else SETTINGS
    cluster.run(swarm, "mandelbrot", *settings, f"mandelbrot.shape={shape}", middle=2)
    assert picture(swarm.folder) == (expected_of_long if cluster.kills else expected)


def test_size_iterations_and_place_are_words(swarm: Swarm) -> None:
    words = ("--size", "90x60", "--iters", "40", "--zoom", "-0.75,0.1,20", "--output", "place.png")
    run = swarm.command("run", "mandelbrot", "--workers", "2", *words)
    assert run.finish() == 0, str(run)
    view = view_of(90, 60, 40, Place(-0.75, 0.1, 20))
    write_png(swarm.folder / "expected.png", rows_of(view, render_sequential(view)), palette("fire", 40))
    assert (swarm.folder / "client" / "place.png").read_bytes() == (swarm.folder / "expected.png").read_bytes()


def test_all_shapes_are_compared(swarm: Swarm, expected: bytes) -> None:
    run = swarm.run("mandelbrot", *SETTINGS, "mandelbrot.compare_all=true", "mandelbrot.repeats=1", workers=2)
    assert run.finish() == 0, str(run)
    assert picture(swarm.folder) == expected
    rows = {line.split()[0]: line for line in run.output.splitlines() if line.endswith(tuple("0123456789"))}
    assert rows.keys() >= {"sequential", *SHAPES}
    moved = {shape: re.search(r"([\d.]+) kB", rows[shape]) for shape in SHAPES}
    sizes = {shape: float(found[1]) for shape, found in moved.items() if found}
    assert sizes.keys() == set(SHAPES), run.output
    assert all(sizes[f"{who}-plain"] > 5 * sizes[f"{who}-optimized"] for who in ("system", "batch", "single"))
    figures = [f"mandelbrot-{what}.{suffix}" for what in ("plain", "optimized") for suffix in ("png", "svg")]
    assert all((swarm.folder / "client" / name).stat().st_size > 1_000 for name in figures)


def test_the_picture_grows_and_ctrl_c_leaves_what_there_is(swarm: Swarm) -> None:
    view = ("--size", "3000x3000", "--iters", "255", "--factor", "20", "--output", "picture.png")
    run = swarm.command("run", "mandelbrot", "--workers", "1", *view)
    file = swarm.folder / "client" / "picture.png"
    until(lambda: file.exists() or not run.runs, what="a part of the picture")
    assert run.runs, str(run)
    first = file.read_bytes()
    until(lambda: file.read_bytes() != first or not run.runs, what="more of it")
    assert run.runs, str(run)
    run.send(signal.SIGINT)
    assert run.finish() == 130, str(run)
    assert re.search(r"\d+ of 3000 columns: .*picture\.png", run.output), str(run)
    data = file.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert data.endswith(b"IEND\xaeB`\x82")
    assert [path.name for path in file.parent.iterdir()] == ["picture.png"], "nothing unfinished is left"


def test_a_terminal_shows_the_picture_as_it_grows(swarm: Swarm) -> None:
    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    (swarm.folder / "client").mkdir()
    variables = {**swarm.variables, "TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": ""}
    size = ("--size", "900x600", "--iters", "100")
    process = subprocess.Popen(
        [sys.executable, "-m", "concurrence.cli.main", "run", "mandelbrot", "--workers", "2", *size],
        cwd=swarm.folder / "client",
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=subprocess.STDOUT,
    )
    os.close(writing)
    shown = bytearray()
    try:
        while data := os.read(reading, 65_536):
            shown += data
    except OSError:  # Linux' way to say that nobody writes any more
        pass
    finally:
        os.close(reading)
    assert process.wait(60) == 0, shown.decode("utf-8", "replace")
    painted = {frame for frame in bytes(shown).split(b"\x1b[2K") if "▀".encode() in frame}
    assert len(painted) >= 2, "some of it, and all of it"
    assert shown.rindex("▀".encode()) < shown.rindex(b"\ntasks:"), "the last picture stays, above the summary"


def test_a_standalone_master_is_its_own_slave(swarm: Swarm, expected: bytes) -> None:
    swarm.master("masternode.is_standalone=true", "taskmanager.workers=2")
    run = swarm.run("mandelbrot", *SETTINGS)
    assert run.finish() == 0, str(run)
    assert picture(swarm.folder) == expected
