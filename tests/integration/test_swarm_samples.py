"""The samples on real swarms: every shape of the Mandelbrot picture is the sequential one, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from samplekit import Cluster, on_every_cluster
from swarmkit import Swarm

from concurrence.samples.mandelbrot import SHAPES
from concurrence.samples.mandelbrot_kernel import View, palette, render_sequential, rows_of
from concurrence.samples.png import write_png

VIEW = View(160, 96, 20)
SETTINGS = tuple(f"mandelbrot.{each}" for each in ("width=160", "height=96", "factor=4", "output=picture.png"))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sequential") / "picture.png"
    write_png(path, rows_of(VIEW, render_sequential(VIEW)), palette("fire", VIEW.iterations))
    return path.read_bytes()


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
def test_every_cluster_draws_it(swarm: Swarm, expected: bytes, cluster: Cluster, shape: str) -> None:
    cluster.run(swarm, "mandelbrot", *SETTINGS, f"mandelbrot.shape={shape}", middle=2)
    assert picture(swarm.folder) == expected


def test_a_standalone_master_is_its_own_slave(swarm: Swarm, expected: bytes) -> None:
    swarm.master("masternode.is_standalone=true", "taskmanager.workers=2")
    run = swarm.run("mandelbrot", *SETTINGS)
    assert run.finish() == 0, str(run)
    assert picture(swarm.folder) == expected
