"""Full disks: what runs goes on, whether the environment or the log has no room left."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faultkit import QUICK_LEASE, assert_exactly_once, steady
from swarmkit import Swarm

pytestmark = pytest.mark.sampled

needs_root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0,
    reason="a small disk of its own takes root: run the tests as root to include this one",
)

LOG_TO_A_FULL_DISK = ("sh", "-c", 'exec "$@" 2> /dev/full', "sh")


@contextmanager
def small_disk(folder: Path) -> Generator[None]:
    """A disk of less than a megabyte."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", str(folder)], check=True, timeout=20.0)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=20.0)


def fill(folder: Path) -> None:
    """Leave no room."""
    with pytest.raises(OSError, match="No space left"):
        (folder / "filler").write_bytes(bytes(1 << 20))


@needs_root
def test_a_full_disk_under_environment_and_log_stops_nothing(swarm: Swarm) -> None:
    with small_disk(swarm.folder / "master"):
        swarm.within = LOG_TO_A_FULL_DISK
        master = swarm.master(*QUICK_LEASE)
        slave = swarm.command(
            "slave", "--master", str(swarm.connect("slave")), "--workers", "2", "--name", "attic", folder="attic"
        )
        swarm.adopt(slave)
        swarm.within = ()
        fill(swarm.folder / "master")
        assert_exactly_once(swarm, steady(swarm, "count=20", "seconds=0.05").ends_well())
        slave.process.kill()  # the master has something to log
        slave.process.wait(20.0)
        swarm.slave("cellar")
        assert_exactly_once(swarm, steady(swarm, "count=20", "seconds=0.05").ends_well())
        assert master.runs
        assert "Traceback" not in master.output
        swarm.close()


FILLS_ITS_DISK = """
import errno
import sys
import tempfile

import concurrence


def fills():
    with tempfile.TemporaryFile() as file:
        file.write(bytes(4_000_000))


with concurrence.connect(sys.argv[1]) as swarm:
    futures = [swarm.submit(fills), swarm.submit(abs, -1), swarm.submit(fills), swarm.submit(abs, -2)]
    for future in futures[::2]:
        error = future.exception()
        assert isinstance(error, OSError) and error.errno == errno.ENOSPC, error
    assert [future.result() for future in futures[1::2]] == [1, 2]
"""


@needs_root
def test_a_full_disk_under_temporary_files_fails_who_writes_there_alone(swarm: Swarm) -> None:
    disk = swarm.folder / "small"
    with small_disk(disk):
        swarm.master()
        swarm.slave("attic", f"taskmanager.temp_folder={disk}")
        (swarm.folder / "fills.py").write_text(FILLS_ITS_DISK, "utf-8")
        run = swarm.start(str(swarm.folder / "fills.py"), str(swarm.connect("client")))
        assert run.finish() == 0, str(run)
        swarm.close()
        assert not list(disk.iterdir())
