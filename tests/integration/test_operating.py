"""What administrators do with a running swarm, with real processes: look, explain, cancel, drain, read along."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, Self

import pytest
from swarmkit import Program, Swarm, until

POLICIES = ["ZMQTaskScheduler", "GenericTaskScheduler"]
RELEASE = "release"
# Each command is a process that takes seconds to start on a busy machine.
pytestmark = [pytest.mark.timeout(400), pytest.mark.sampled]


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> str:
    return f"masternode.task_scheduler={request.param}"


def ask(swarm: Swarm, *words: str, code: int = 0) -> str:
    """What a command prints that asks the test's master."""
    command = swarm.command(*words, "--master", str(swarm.connect("admin")))
    assert command.finish() == code, str(command)
    return command.output


def data(swarm: Swarm, *words: str) -> Any:
    return json.loads(ask(swarm, *words, "--json"))


def the_job(swarm: Swarm) -> dict[str, Any]:
    """The one job there is, once it has tasks under way."""

    def running() -> list[dict[str, Any]]:
        return [job for job in data(swarm, "jobs") if job["running"]]

    (job,) = until(running, 60.0, "a job with tasks under way")
    return job


_ENDLESS = """
import itertools, sys, time
import concurrence

with concurrence.connect(sys.argv[1]) as swarm:
    try:
        for _ in swarm.map(time.sleep, itertools.repeat(0.001)):
            pass
    except concurrence.TaskCancelled as error:
        print(error)
"""


def slow(swarm: Swarm, count: int, seconds: float = 60.0, app: str = "slow.py:SlowTasks") -> Program:
    """An application whose tasks take long, until they are released."""
    return swarm.run(app, f"slow.count={count}", f"slow.seconds={seconds}")


def release(swarm: Swarm) -> None:
    (swarm.probe / RELEASE).touch()


def drained(swarm: Swarm, name: str) -> bool:
    return any(node.name == name and node.drains for node in swarm.status().nodes)


def check_ended_once(report: Any, count: int) -> None:
    assert report["errors"] == {}
    assert report["results"] == {f"slow {n}": n for n in range(count)}
    assert set(report["ends"].values()) == {1}


class TestDrain:
    def test_what_has_not_started_runs_elsewhere_and_what_runs_is_finished(
        self, swarm: Swarm, policy: str
    ) -> None:
        swarm.master(policy)
        attic = swarm.slave("attic", workers=1)
        run = slow(swarm, 4)
        until(lambda: swarm.probes("start-*"), 60.0)
        swarm.slave("cellar", workers=1)
        wait = swarm.command(
            "drain", "attic", "--stop", "--wait", "--master", str(swarm.connect("admin")), folder="waiting"
        )
        wait.wait_for("takes no more work and ends when it is empty; ")
        until(lambda: drained(swarm, "attic"))
        until(lambda: len(swarm.probes("start-*")) == 2, 30.0, "the other slave takes what was given back")
        assert attic.runs
        assert wait.runs
        release(swarm)
        assert attic.finish() == 0, str(attic)
        assert "everything that ran has ended" in attic.output
        assert wait.finish() == 0, str(wait)
        assert wait.output.endswith("slave attic is gone\n")
        check_ended_once(run.ends_well(), 4)

    def test_one_that_drains_idles_until_it_is_resumed(self, swarm: Swarm, policy: str) -> None:
        swarm.master(policy)
        attic = swarm.slave("attic", workers=2)
        assert ask(swarm, "drain", "attic", "--wait") == (
            "slave attic takes no more work; nothing is left\nslave attic is empty\n"
        )
        run = swarm.run("slow.py:SlowTasks", "slow.count=3", "slow.seconds=0.01")
        (job,) = until(lambda: [job for job in data(swarm, "jobs") if job["queued"] == 3], 60.0)
        assert (job["blocked"], job["waits_for"]) == (True, "all slaves drain: attic")
        told = ask(swarm, "explain", job["short"] + "/0")
        assert "waits for: all slaves drain: attic" in told
        assert "concurrence drain attic --resume" in told
        status = ask(swarm, "status")
        assert "all slaves drain: tasks wait" in status
        assert re.search(r"slave +attic .* draining", status)
        assert not swarm.probes("start-*")
        assert ask(swarm, "drain", "attic", "--resume") == "slave attic works again\n"
        check_ended_once(run.ends_well(), 3)
        assert attic.runs

    def test_it_drains_still_after_the_master_was_restarted(self, swarm: Swarm, policy: str) -> None:
        master = swarm.master(policy)
        port = int(swarm.credentials("admin").address.rpartition(":")[2])
        attic = swarm.slave("attic")
        ask(swarm, "drain", "attic", "--wait")
        master.send(signal.SIGTERM)
        assert master.finish() == 0
        swarm.master(policy, port=port)
        until(lambda: drained(swarm, "attic"), 60.0)
        ask(swarm, "drain", "attic", "--resume")
        until(lambda: not drained(swarm, "attic"))
        check_ended_once(swarm.run("slow.py:SlowTasks", "slow.count=2", "slow.seconds=0.01").ends_well(), 2)
        assert attic.runs

    def test_wait_has_a_deadline(self, swarm: Swarm) -> None:
        swarm.master()
        swarm.slave("attic")
        run = slow(swarm, 1)
        until(lambda: swarm.probes("start-*"), 60.0)
        told = ask(swarm, "drain", "attic", "--wait", "--timeout", "0.5", code=1)
        assert told.endswith("slave attic is not empty yet; 1 chunk left\n")
        release(swarm)
        check_ended_once(run.ends_well(), 1)

    def test_the_masters_own_slave_is_not_started_again(self, swarm: Swarm) -> None:
        master = swarm.master("masternode.is_standalone=true", "taskmanager.workers=1")
        (own,) = until(lambda: [node for node in swarm.status().nodes if node.kind == "slave"], 60.0)
        told = ask(swarm, "drain", own.name, "--stop", "--wait")
        assert told.endswith(f"slave {own.name} is gone\n")
        master.wait_for("no other is started")
        assert not [node for node in swarm.status().nodes if node.kind == "slave"]
        assert "another one is started" not in master.output

    @pytest.mark.parametrize(
        ("words", "code", "told"),
        [
            (("attc",), 1, "there is no slave 'attc'\n  Did you mean attic?"),
            (("attic", "--resume", "--stop"), 2, "--resume and --stop exclude each other"),
            (("attic", "--timeout", "3"), 2, "--timeout means nothing without --wait"),
        ],
    )
    def test_mistakes(self, swarm: Swarm, words: tuple[str, ...], code: int, told: str) -> None:
        swarm.master()
        swarm.slave("attic")
        assert f"error: {told}" in ask(swarm, "drain", *words, code=code)


class TestStopGrace:
    def test_sigterm_lets_it_finish_what_runs(self, swarm: Swarm, policy: str) -> None:
        swarm.master(policy)
        attic = swarm.slave("attic", "slavenode.stop_grace=120")
        run = slow(swarm, 3)
        until(lambda: swarm.probes("start-*"), 60.0)
        attic.send(signal.SIGTERM)
        attic.wait_for("finishing what runs, for 120 s at most")
        until(lambda: drained(swarm, "attic"))
        told = ask(swarm, "drain", "attic", "--resume", code=1)
        assert "error: slave attic is ending: it was told so where it runs" in told
        swarm.slave("cellar")
        release(swarm)
        assert attic.finish() == 0, str(attic)
        check_ended_once(run.ends_well(), 3)

    def test_a_second_one_ends_it_at_once(self, swarm: Swarm) -> None:
        swarm.master()
        attic = swarm.slave("attic", "slavenode.stop_grace=120")
        run = slow(swarm, 2)
        until(lambda: swarm.probes("start-*"), 60.0)
        attic.send(signal.SIGTERM)
        attic.wait_for("finishing what runs")
        attic.send(signal.SIGTERM)
        assert attic.finish(30.0) == 0, str(attic)
        release(swarm)
        swarm.slave("cellar")
        check_ended_once(run.ends_well(), 2)

    def test_when_the_grace_is_over_it_ends(self, swarm: Swarm) -> None:
        swarm.master()
        attic = swarm.slave("attic", "slavenode.stop_grace=0.5")
        run = slow(swarm, 2)
        until(lambda: swarm.probes("start-*"), 60.0)
        attic.send(signal.SIGTERM)
        assert attic.finish(30.0) == 0, str(attic)
        assert "what runs did not end within 0.5 s" in attic.output
        release(swarm)
        swarm.slave("cellar")
        check_ended_once(run.ends_well(), 2)


class TestJobs:
    def test_looking_explaining_and_cancelling(self, swarm: Swarm, policy: str) -> None:
        assert "error: " in ask_nobody(swarm)
        swarm.master(policy)
        assert ask(swarm, "jobs") == "no jobs: no client is connected\n"
        swarm.slave("attic", workers=1)
        run = slow(swarm, 6)
        job = the_job(swarm)
        assert (job["name"], job["client"], job["kind"]) == ("plain tasks", "SlowTasks", "tasks")
        assert job["queued"] + job["running"] == 6
        table = ask(swarm, "jobs")
        assert re.search(rf"^{job['short']} +plain tasks +SlowTasks +running", table, re.MULTILINE), table
        assert "waits: the only worker is busy" in table

        running = ask(swarm, "explain", f"{job['short']}/0")
        assert f"task {job['id']}/0 slow:Slow of SlowTasks" in running
        assert "  assigned: at slave attic for " in running
        assert re.search(r"s ago  accepted$", running, re.MULTILINE), running
        waiting = ask(swarm, "explain", f"{job['id']}/5")
        assert "  waits for: the only worker is busy" in waiting
        assert ask(swarm, "explain", f"{job['short']}/77", code=1).startswith("error: there is no task 77")
        assert "names no task" in ask(swarm, "explain", f"{job['short']}/x", code=2)

        assert ask(swarm, "cancel", f"{job['short']}/0", f"{job['short']}/5") == (
            f"task {job['id']}/0 is cancelled\ntask {job['id']}/5 is cancelled\n"
        )
        assert ask(swarm, "cancel", f"{job['short']}/5", code=1) == f"task {job['id']}/5 had ended already\n"
        release(swarm)
        report = run.ends_well()
        assert sorted(report["results"]) == [f"slow {n}" for n in range(1, 5)]
        for n in (0, 5):
            error = report["errors"][f"slow {n}"]
            assert (error["kind"], error["task"]) == ("cancelled", f"{job['id']}/{n}")
            assert error["message"] == "the task was cancelled by an administrator at 127.0.0.1"
        ended = data(swarm, "jobs", "--all")
        assert [(each["id"], each["state"]) for each in ended] == [(job["id"], "ended")]
        assert "4 tasks finished, 0 failed, 2 cancelled" in ask(swarm, "explain", job["short"])
        assert ask(swarm, "cancel", job["short"], code=1) == f"job {job['id']} had ended already\n"

    def test_what_an_application_would_push_is_cancelled_too(self, swarm: Swarm, policy: str) -> None:
        swarm.master(policy)
        swarm.slave("attic", workers=1)
        run = swarm.run("slow.py:WithoutEnd", "slow.seconds=0.001")
        until(lambda: data(swarm, "jobs") and the_job(swarm)["finished"] > 0, what="it works")
        assert " (plain tasks) is cancelled, with " in ask(swarm, "cancel", "WithoutEnd")
        report = run.ends_well()
        assert set(report["ends"].values()) == {1}
        assert "the task was cancelled by " in report["error"]
        assert "an administrator cancelled all tasks" in run.output

    def test_what_a_script_would_push_is_cancelled_too(self, swarm: Swarm, policy: str, tmp_path: Path) -> None:
        swarm.master(policy)
        swarm.slave("attic", workers=1)
        script = tmp_path / "endless.py"
        script.write_text(_ENDLESS)
        run = swarm.start(str(script), str(swarm.connect("client")))
        until(lambda: data(swarm, "jobs") and the_job(swarm)["finished"] > 0, what="it works")
        ask(swarm, "cancel", the_job(swarm)["short"])
        assert run.finish() == 0, str(run)
        assert "cancelled" in run.output

    def test_a_whole_system(self, swarm: Swarm, policy: str) -> None:
        swarm.master(policy)
        swarm.slave("attic", workers=1)
        run = slow(swarm, 4, app="slow.py:SlowSystem")
        job = the_job(swarm)
        assert (job["name"], job["kind"]) == ("OneSlowSystem", "system")
        told = ask(swarm, "cancel", "OneSlowSystem")
        assert told == f"job {job['id']} (OneSlowSystem) is cancelled, with 4 unfinished tasks\n"
        run.finish()
        assert "the task system OneSlowSystem was cancelled by an administrator at 127.0.0.1" in run.output
        release(swarm)

    def test_impossible_tasks_fail_if_they_are_to(self, swarm: Swarm, policy: str) -> None:
        swarm.master(policy, "masternode.impossible_tasks=fail", "masternode.impossible_patience=1")
        swarm.slave("attic", workers=1)
        (swarm.folder / "client").mkdir(exist_ok=True)
        (swarm.folder / "client" / "greedy.py").write_text(GREEDY)
        run = swarm.run(str(swarm.folder / "client" / "greedy.py"))
        assert run.finish() == 0, str(run)
        assert "train needs gpu=1, which no connected slave offers: attic has no gpu (task " in run.output
        assert 'concurrence slave --set "slavenode.labels=gpu=1"' in run.output


GREEDY = '''
from concurrence import ApplicationNode, task


@task(resources={"gpu": 1})
def train():
    pass


class Greedy(ApplicationNode):
    """Wants what is not there."""

    def start_processing(self):
        self.push_task(train.task())

    def task_finished(self, task, result, error):
        print("told:", error)
        self.shutdown_main_loop()
'''


def ask_nobody(swarm: Swarm) -> str:
    command = swarm.command("jobs", "--env", str(swarm.folder / "nowhere"))
    assert command.finish() == 2
    return command.output


TALKING = '''
import time
from pathlib import Path

from concurrence import ApplicationNode, IntOption, task


@task
def talk(number, release):
    print(f"hello {number}\\n\\x1b[31mred")
    while not Path(release).exists():
        time.sleep(0.05)
    print(f"goodbye {number}")


class Talking(ApplicationNode):
    """Talks."""

    def start_processing(self):
        self.left = 2
        self.push_tasks([talk.task(number, RELEASE) for number in range(2)])

    def task_finished(self, task, result, error):
        self.left -= 1
        if not self.left:
            self.shutdown_main_loop()
'''


class TestLogs:
    def test_what_tasks_wrote_and_write(self, swarm: Swarm) -> None:
        swarm.master()
        swarm.slave("attic", workers=2)
        script = swarm.folder / "client" / "talking.py"
        script.parent.mkdir(exist_ok=True)
        script.write_text(TALKING.replace("RELEASE", repr(str(swarm.probe / RELEASE))))
        run = swarm.run(str(script))
        job = the_job(swarm)
        until(lambda: "hello 1" in (told := ask(swarm, "logs", job["short"])) and "hello 0" in told, 60.0)
        assert "[attic task 1] hello 1\n[attic task 1] \\x1b[31mred\n" in ask(swarm, "logs", f"{job['short']}/1")
        follow = swarm.command("logs", job["id"], "--follow", "--master", str(swarm.connect("admin")))
        follow.wait_for("hello 1")
        release(swarm)
        assert run.finish() == 0, str(run)
        assert follow.finish() == 0, str(follow)
        for words in ("hello 0", "hello 1", "goodbye 0", "goodbye 1"):
            assert follow.output.count(words) == 1
        assert "note: the job has ended: its client has left: " in follow.output
        lines = [json.loads(line) for line in ask(swarm, "logs", job["id"], "--json").splitlines()]
        assert {(line["counter"], line["source"]) for line in lines} == {(0, "attic"), (1, "attic")}
        assert ask(swarm, "logs", "ffff", code=1).startswith("error: there is no job 'ffff'")


class TestTop:
    def test_one_frame(self, swarm: Swarm) -> None:
        swarm.master()
        swarm.slave("attic", workers=1)
        run = slow(swarm, 3)
        job = the_job(swarm)
        for words in (("top", "--once"), ("top",)):  # without a terminal it is one frame too
            frame = ask(swarm, *words)
            assert re.search(r"· 1 slave, 1 of 1 worker busy · 0 tasks/s", frame), frame
            assert re.search(r"^attic +working +1 +1 ", frame, re.MULTILINE), frame
            assert re.search(rf"^{job['short']} +plain tasks +SlowTasks +running", frame, re.MULTILINE), frame
            assert "\x1b" not in frame
        assert data(swarm, "top")["slaves"][0]["workers"] == 1
        release(swarm)
        run.ends_well()

    @pytest.mark.parametrize("way", ["q", "Ctrl-C"])
    def test_live_on_a_terminal(self, swarm: Swarm, way: str) -> None:
        swarm.master()
        swarm.slave("attic", workers=1)
        with Terminal(swarm, "top", "--master", str(swarm.connect("admin"))) as terminal:
            terminal.wait_for("attic")
            swarm.slave("cellar", workers=1)
            terminal.wait_for("cellar")
            terminal.press(b"x")
            terminal.press(b"q" if way == "q" else b"\x03")
            assert terminal.finish() == 0
            assert terminal.output.count("\x1b[?1049h") == terminal.output.count("\x1b[?1049l") == 1
            assert "\x1b[?25h" in terminal.output.rpartition("\x1b[?25l")[2], "the cursor is back"
            assert "Traceback" not in terminal.output

    def test_a_master_that_comes_back(self, swarm: Swarm) -> None:
        master = swarm.master()
        port = int(swarm.credentials("admin").address.rpartition(":")[2])
        with Terminal(swarm, "top", "--master", str(swarm.connect("admin"))) as terminal:
            terminal.wait_for("no slave is connected")
            master.send(signal.SIGTERM)
            assert master.finish() == 0
            terminal.wait_for("trying again", 60.0)
            swarm.master(port=port)
            swarm.slave("attic")
            terminal.wait_for("attic", 60.0)
            terminal.press(b"q")
            assert terminal.finish() == 0


class Terminal:
    """A command on a terminal of its own.

    Args:
        swarm: Whose variables it gets.
        words: The command.
    """

    def __init__(self, swarm: Swarm, *words: str) -> None:
        self._chunks: list[bytes] = []
        command = [sys.executable, "-m", "concurrence.cli.main", *words]
        variables = {**swarm.variables, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30"}
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.execve(sys.executable, command, variables)
        self._code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._code is None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._fd)

    @property
    def output(self) -> str:
        return b"".join(self._chunks).decode("utf-8", "replace")

    def press(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def wait_for(self, text: str, seconds: float = 30.0) -> None:
        def is_there() -> bool:
            self._read(0.1)
            return text in self.output

        until(is_there, seconds, f"{text!r} on the terminal")

    def finish(self, seconds: float = 30.0) -> int:
        """Wait until it ends; its exit code."""
        deadline = time.monotonic() + seconds
        while self._code is None and time.monotonic() < deadline:
            self._read(0.1)
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        while self._read(0.1):
            continue
        assert self._code is not None, self.output
        return self._code

    def _read(self, seconds: float) -> bool:
        if not select.select([self._fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._fd, 65_536)
        except OSError as error:
            if error.errno != errno.EIO:  # what reading says when the other end is closed
                raise
            data = b""
        self._chunks.append(data)
        return bool(data)


def test_each_command_tells_what_it_is_for(swarm: Swarm, tmp_path: Path) -> None:
    for command in ("jobs", "explain", "cancel", "logs", "top", "drain"):
        told = swarm.command(command, "--help")
        assert told.finish() == 0
        assert "Examples:" in told.output
        assert f"$ concurrence {command} " in told.output
