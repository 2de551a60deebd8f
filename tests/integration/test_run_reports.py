"""The report of a run: what scripts are told, and the page of ``--report``, seen in a browser."""

from __future__ import annotations

import html
import os
import re
import signal
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from browserkit import Browser
from swarmkit import Swarm, until

from concurrence import (
    ITaskMaster,
    ITaskSystem,
    RunReport,
    Task,
    TaskError,
    advise,
    connect,
    local_swarm,
    task,
)

pytestmark = pytest.mark.sampled


def burn(seconds: float) -> int:
    end = time.thread_time() + seconds
    count = 0
    while time.thread_time() < end:
        count += 1
    return count


@task
def larger(data: bytes) -> bytes:
    return data * 2


class Slow(ITaskSystem):
    """Takes two seconds to think of its tasks."""

    def generate_tasks(self, master: ITaskMaster) -> list[Task]:
        time.sleep(2.0)
        return [task(burn).task(0.05) for _ in range(4)]

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
        assert error is None

    def gather_result(self, master: ITaskMaster) -> None:
        """Nothing."""


def check_sums(report: RunReport, workers: int) -> None:
    """The parts of the time are all of it."""
    assert report.split.total == pytest.approx(workers * report.wall, rel=0.01)
    for slave in report.slaves:
        assert slave.split.total == pytest.approx(slave.workers * report.wall, rel=0.01)


def test_a_script_is_told_where_the_time_went() -> None:
    with local_swarm(workers=2) as swarm:
        assert swarm.report().ran == 0
        for future in [swarm.submit(burn, 0.1) for _ in range(8)]:
            future.result(60)
        report = swarm.report()
        later = swarm.report()
    check_sums(report, 2)
    assert (report.finished, report.failed, report.ran) == (8, 0, 8)
    assert report.split.compute >= 0.8  # thread time; on a busy machine the wall time is more
    assert report.wall == later.wall  # nothing was unfinished: what came after the last end does not count
    assert report.cpu is not None
    assert 0.75 <= report.cpu < 10  # the eight tasks, and hardly more; what the last copy of a task used may lack
    assert report.moved > 0
    assert [slave.tasks for slave in report.slaves] == [8]


def test_tasks_that_wait_have_no_speed_up_that_could_be_told() -> None:
    with local_swarm(workers=2) as swarm:
        for future in [swarm.submit(time.sleep, 0.5) for _ in range(6)]:
            future.result(60)
        report = swarm.report()
    assert report.split.compute >= 2.9
    assert report.cpu_share < 0.2
    assert (report.speed_up, report.serial_fraction) == (None, None)
    assert "had a core for" in advise(report)


def test_a_task_system_that_thinks_leaves_the_swarm_without_work() -> None:
    with local_swarm(workers=1) as swarm:
        swarm.push_tasksystem(Slow()).result(60)
        report = swarm.report()
    check_sums(report, 1)
    assert report.split.starved >= 0.5  # less what the first chunk was under way, on a busy machine
    assert report.owner >= 1.9
    assert report.finished == 4


def test_packing_is_told_from_computing() -> None:
    data = b"x" * 4_000_000
    with local_swarm(workers=1) as swarm:
        for future in [swarm.push_task(larger.task(data)) for _ in range(6)]:
            assert len(future.result(60)) == 8_000_000
        report = swarm.report()
    check_sums(report, 1)
    assert report.split.serialise > report.split.compute  # doubling bytes is nothing against packing them
    assert report.slaves[0].sent >= 24_000_000
    assert report.slaves[0].received >= 48_000_000


def test_inline_there_is_one_worker() -> None:
    with local_swarm(inline=True) as swarm:
        assert swarm.submit(burn, 0.05).result()
        report = swarm.report()
    check_sums(report, 1)
    assert report.split.compute >= 0.05
    assert report.ran == 1


def test_each_slave_is_told_apart_and_a_client_is_told_of_its_own_tasks(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=1)
    swarm.slave("cellar", workers=1)
    with connect(swarm.connect("client")) as other, connect(swarm.connect("client")) as mine:
        until(lambda: mine.workers == 2, 60, "both slaves to be there")
        other.submit(burn, 0.01).result(60)
        for future in [mine.submit(burn, 0.1) for _ in range(10)]:
            future.result(60)
        report = mine.report()
        assert (other.report().ran, report.ran) == (1, 10)
    assert sorted(slave.name for slave in report.slaves) == ["attic", "cellar"]
    assert all(slave.tasks for slave in report.slaves)
    check_sums(report, 2)


COMPARES = """
import time
from concurrence import ApplicationNode, task

@task
def double(number):
    return 2 * number

class Compares(ApplicationNode):
    def start_processing(self):
        time.sleep(4)
        self.push_task(double.task(1))

    def work_finished(self, result, system_id):
        time.sleep(4)
        self.say(f"so far {self.summary_so_far().wall}")
        self.shutdown_main_loop(0)
"""


def test_what_a_client_does_before_and_after_is_not_the_swarms_time(swarm: Swarm) -> None:
    app = swarm.folder / "app.py"
    app.write_text(COMPARES)
    run = swarm.command("run", str(app), "--inline", "--report", "out.html")
    assert run.finish() == 0, str(run)
    for said in (r"so far ([\d.]+)", r"time: +([\d.]+) s"):
        found = re.search(said, run.output)
        assert found, str(run)
        assert float(found[1]) < 4.0, str(run)


# --- the page ---

PICTURES = os.environ.get("CONCURRENCE_PICTURES")
"""A folder for pictures of the page, for people who change it."""

APP = """
import os, signal, time
from pathlib import Path
from concurrence import ApplicationNode, Task

class Nap(Task):
    def __init__(self, seconds):
        super().__init__("nap")
        self.seconds = seconds

    def __call__(self):
        time.sleep(self.seconds)
        return "<b>bold</b>"

class {name}(ApplicationNode):
    def start_processing(self):
        self.push_tasks([Nap(0.01), Nap(0.01), Nap(600)])

    def task_finished(self, task, result, error):
        {handler}
"""


@pytest.fixture(params=["light", "dark"])
def browser(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Browser]:
    folder = tmp_path / "browser"
    folder.mkdir()
    dark = ["--blink-settings=preferredColorScheme=0"] if request.param == "dark" else []
    made = Browser(folder, *dark)
    try:
        yield made
    finally:
        made.close()


def test_the_page_shows_where_the_time_went(
    swarm: Swarm, browser: Browser, request: pytest.FixtureRequest
) -> None:
    page = swarm.folder / "out.html"
    size = ("mandelbrot.width=256", "mandelbrot.height=64", "mandelbrot.shape=batch-plain")
    sets = [word for each in size for word in ("--set", each)]
    run = swarm.command("run", "mandelbrot", "--workers", "2", "--report", str(page), *sets)
    assert run.finish() == 0, str(run)
    assert "split: " in run.output
    browser.open(page.as_uri())
    if PICTURES:
        browser.screenshot(Path(PICTURES) / f"{request.node.name}.png")
    assert browser.text("h1") == "Mandelbrot"
    assert browser.text(".outcome").startswith("complete; 20")
    assert len(browser.text(".advice")) > 20
    figures = browser.text("dl")
    assert "32 / 0 / 0" in figures
    assert "of 2" in figures
    # The bars are all of the time, and what the table says sums up to it.
    bars = browser.run(
        "return [...document.querySelectorAll('svg rect[height=\"22\"]')].map(b => b.getBBox().width)"
    )
    assert sum(bars) == pytest.approx(900 - 150 - 70, abs=1)
    rows = browser.run("return [...document.querySelectorAll('table')][0].innerText").splitlines()
    seconds = [float(re.findall(r"([\d.]+) s", row)[0]) for row in rows]
    assert len(seconds) == 6
    assert sum(seconds[:5]) == pytest.approx(seconds[5], abs=0.04)
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == ("light" in request.node.name)
    assert [url for url in browser.requests() if url.startswith(("http", "file")) and url != page.as_uri()] == []
    assert [entry for entry in browser.log("browser") if entry["level"] == "SEVERE"] == []
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth") is True


@pytest.mark.parametrize(("handler", "code", "told"), [
    ("raise ValueError('<i>oh</i>')", 1, "failed: ValueError: <i>oh</i>"),
    ("self.shutdown_main_loop(3)", 3, "ended with exit code 3"),
    ("Path(os.environ['PROBE'], 'ready').touch()", 130, "interrupted"),
])  # fmt: skip
def test_a_run_that_ends_badly_has_a_page_too(swarm: Swarm, handler: str, code: int, told: str) -> None:
    page = swarm.folder / "out.html"
    page.write_text("an older one")
    app = swarm.folder / "app.py"
    app.write_text(APP.format(name="Naps", handler=handler))
    run = swarm.command("run", str(app), "--workers", "2", "--report", str(page))
    if code == 130:
        until(lambda: (swarm.probe / "ready").exists(), 60, "a task to end")
        run.send(signal.SIGINT)
    assert run.finish() == code, str(run)
    text = page.read_text("utf-8")
    assert html.escape(told) in text
    assert "<i>oh" not in text
    assert 'class="outcome bad"' in text
    assert "workers x time" in text
    assert list(swarm.folder.glob(".report-*")) == []


def test_a_place_that_is_none_is_told_before_the_run(swarm: Swarm) -> None:
    folder = swarm.folder / "a folder"
    folder.mkdir()
    for place, words in (
        (folder, "it is a folder"),
        (folder / "none" / "out.html", "there is no folder"),
        (Path("/proc/out.html"), "the report cannot be written to /proc/out.html"),
    ):
        run = swarm.command("run", "hello", "--report", str(place))
        assert run.finish() == 2, str(run)
        assert words in run.output
        assert "greet" not in run.output
    run = swarm.command("run", "hello", "--report", "out.html", "--detach", "--master", "none.toml")
    assert run.finish() == 2, str(run)
    assert "exclude each other" in run.output
