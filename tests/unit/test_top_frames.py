"""What ``concurrence top`` makes of snapshots: rates, the time that is left, and a picture."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from concurrence.cli.top_frames import RATE_SNAPSHOTS, Frames, rate_text


def job(**more: Any) -> dict[str, Any]:
    fields = {
        "id": "0c8d2a4100000001",
        "short": "0c8d2a41",
        "kind": "tasks",
        "name": "plain tasks",
        "client": "me",
    }
    counts = dict.fromkeys(("queued", "delayed", "running", "finished", "failed", "cancelled", "priority"), 0)
    texts = {"state": "running", "text": "", "waits_for": "", "blocked": False, "done": 0.0, "total": 0.0}
    return {**fields, **counts, **texts, "age": 1.0, "busy": 0.0, "ended": None, **more}


def slave(**more: Any) -> dict[str, Any]:
    counts = {"workers": 4, "busy": 3, "chunks": 5, "finished": 0, "cores": 8, "memory": 16_000_000_000}
    return {"name": "attic", "node": "a1", "state": "working", **counts, "speed": 1.0, "age": 9.0, **more}


def snapshot(uptime: float, *, master: str = "m", **more: Any) -> dict[str, Any]:
    return {"master": master, "uptime": uptime, "scheduler": "ZMQTaskScheduler", "slaves": [], "jobs": [], **more}


def picture(frames: Frames, width: int = 160) -> str:
    written = io.StringIO()
    console = Console(file=written, width=width, highlight=False, color_system=None)
    console.print(frames.render())
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


class TestRates:
    def test_nothing_is_said_before_there_is_something_to_compare(self) -> None:
        frames = Frames("tcp://here")
        frames.add(snapshot(1.0, jobs=[job(queued=5)], slaves=[slave()]))
        assert frames.job_rate(frames.newest["jobs"][0]) is None
        assert frames.left(frames.newest["jobs"][0]) is None
        assert frames.slave_rate(frames.newest["slaves"][0]) is None

    def test_over_the_last_few_snapshots(self) -> None:
        frames = Frames("tcp://here")
        for second in range(20):
            done = 10 * min(second, 15) + 100 * max(0, second - 15)
            frames.add(snapshot(second * 1.0, jobs=[job(finished=done, failed=second, queued=303)]))
        newest = frames.newest["jobs"][0]
        assert frames.job_rate(newest) == (400 + 10 + 5) / (RATE_SNAPSHOTS - 1)
        assert frames.left(newest) == 303 / 83

    def test_what_a_system_says_of_its_progress_counts_more_than_what_is_queued(self) -> None:
        frames = Frames("tcp://here")
        frames.add(snapshot(0.0, jobs=[job(done=10.0, total=100.0, queued=7)]))
        frames.add(snapshot(2.0, jobs=[job(done=30.0, total=100.0, queued=7, finished=1)]))
        assert frames.left(frames.newest["jobs"][0]) == 7.0

    def test_a_job_that_stands_still_has_no_end(self) -> None:
        frames = Frames("tcp://here")
        frames.add(snapshot(0.0, jobs=[job(queued=7)]))
        frames.add(snapshot(2.0, jobs=[job(queued=7)]))
        assert frames.job_rate(frames.newest["jobs"][0]) == 0.0
        assert frames.left(frames.newest["jobs"][0]) is None

    def test_another_master_begins_anew(self) -> None:
        frames = Frames("tcp://here")
        frames.add(snapshot(50.0, slaves=[slave(finished=1_000)]))
        frames.add(snapshot(1.0, master="n", slaves=[slave(finished=3)]))
        assert frames.slave_rate(frames.newest["slaves"][0]) is None

    def test_words(self) -> None:
        assert [rate_text(rate) for rate in (None, 0.0, 0.25, 9.96, 1234.5)] == ["", "0", "0.2", "10.0", "1,234"]


class TestPicture:
    def test_a_busy_swarm(self) -> None:
        frames = Frames("tcp://here:7700")
        frames.add(snapshot(10.0, slaves=[slave()], jobs=[job(queued=1_500, running=8)]))
        slaves = [slave(finished=40), slave(name="cellar", node="b2", state="ending", workers=2, busy=0, memory=0)]
        jobs = [
            job(queued=1_400, running=8, finished=100, failed=2),
            job(id="1", short="1", name="[x]", blocked=True, waits_for="no gpu", queued=3),
        ]
        frames.add(snapshot(12.0, slaves=slaves, jobs=jobs))
        assert picture(frames) == (
            "master tcp://here:7700 · up 12 s · ZMQTaskScheduler · 2 slaves, 3 of 6 workers busy · 20 tasks/s\n"
            "\n"
            "slave   state    workers  busy  chunks  finished  tasks/s  cores   memory\n"
            "attic   working        4     3       5        40       20      8  16.0 GB\n"
            "cellar  ending         2     0       5         0               8\n"
            "\n"
            "job       name         client  state    queued  running  finished  failed  tasks/s  left  progress\n"
            "0c8d2a41  plain tasks  me      running   1,400        8       100       2       51  28 s\n"
            "1         [x]          me      blocked       3        0         0       0                 no gpu"
        )

    def test_nothing_there_and_a_master_that_does_not_answer(self) -> None:
        frames = Frames("tcp://here")
        frames.add(snapshot(3.0))
        frames.trouble = "no master answers at tcp://here; trying again. What you see is old."
        shown = picture(frames)
        assert "0 slaves, 0 of 0 workers busy" in shown
        assert "What you see is old." in shown
        assert "no slave is connected: tasks wait" in shown
        assert "no jobs: no client is connected" in shown
        frames.add(snapshot(4.0))
        assert "old" not in picture(frames)

    def test_long_texts_do_not_break_the_table(self) -> None:
        frames = Frames("tcp://here")
        frames.add(snapshot(1.0, jobs=[job(blocked=True, waits_for="it needs " + "x" * 500)]))
        assert max(len(line) for line in picture(frames, 100).splitlines()) <= 100
        assert picture(frames, 100).count("it needs") <= 1
