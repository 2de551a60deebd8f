"""The samples md5 and dna on real swarms, and the memory that the naive form of dna takes."""

from __future__ import annotations

import hashlib
import re
import signal

import psutil
import pytest
from samplekit import Cluster, on_every_cluster
from swarmkit import Program, Swarm, until

from concurrence.samples.dna import FORMS

pytestmark = pytest.mark.sampled

DNA = tuple(f"dna.{each}" for each in ("length=600", "output=curve.png"))
MD5 = ("md5.last=400000", "md5.tasks=40", f"md5.hash={hashlib.md5(b'390001').hexdigest()}")


def spared(run: Program) -> int:
    found = re.search(r"spared: +(\d+) tasks cancelled", run.output)
    return int(found[1]) if found else 0


@on_every_cluster
def test_md5_on_every_cluster(swarm: Swarm, cluster: Cluster) -> None:
    run = cluster.run(swarm, "md5", *MD5, middle=2)
    assert "390001 has the hash" in run.output
    assert "one loop:" in run.output


def test_md5_stops_early_and_a_hash_that_is_not_there_is_told(swarm: Swarm) -> None:
    early = hashlib.md5(b"3").hexdigest()
    run = swarm.run("md5", f"md5.hash={early}", "md5.last=3000000", "md5.tasks=300", workers=2)
    assert run.finish() == 0, str(run)
    assert spared(run) > 200, str(run)
    assert "1 tasks failed" not in run.output
    run = swarm.run("md5", f"md5.hash={early}", "md5.first=4", "md5.last=1000", workers=1)
    assert run.finish() == 1, str(run)
    assert f"no number from 4 to 1,000 has the hash {early}" in run.output
    swarm.check_nothing_left()


@on_every_cluster
@pytest.mark.parametrize("form", FORMS)
def test_dna_on_every_cluster(swarm: Swarm, cluster: Cluster, form: str) -> None:
    run = cluster.run(swarm, "dna", *DNA, f"dna.form={form}", middle=4)
    assert re.search(rf"^{form} .* \d\.\de-1\d A$", run.output, re.MULTILINE), str(run)
    assert (swarm.folder / "client" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_all_forms_in_one_run_and_ctrl_c_in_the_middle(swarm: Swarm) -> None:
    run = swarm.run("dna", *DNA, "dna.form=all", workers=2)
    assert run.finish() == 0, str(run)
    assert [line.split()[0] for line in run.output.splitlines() if line.endswith(" A")] == list(FORMS)
    run = swarm.run("dna", "dna.form=naive", "dna.check=false", workers=2)
    until(lambda: len(run.children("concurrence.workers.worker")) >= 2, what="workers")
    run.send(signal.SIGINT)
    assert run.finish() == 130, str(run)
    assert "Traceback" not in run.output
    swarm.check_nothing_left()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_tasks_with_gigabytes_leave_the_master_small(swarm: Swarm) -> None:
    swarm.transport = "ZMQTransport"
    master = swarm.master()
    swarm.slave("attic", workers=2)
    run = swarm.run("dna", "dna.form=naive", "dna.output=curve.png")
    watched = {name: psutil.Process(program.pid) for name, program in (("master", master), ("client", run))}
    peaks = dict.fromkeys(watched, 0)

    def is_over() -> bool:
        for name, process in watched.items():
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                peaks[name] = max(peaks[name], process.memory_info().rss)
        return not run.runs

    until(is_over, 800.0, "the end of the run")
    assert run.finish() == 0, str(run)
    assert "6.4 GB" in run.output
    assert all(peak < 300_000_000 for peak in peaks.values()), peaks
