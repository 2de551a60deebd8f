"""What tasks write, however they write it, arrives at the client: seen with real workers."""

from __future__ import annotations

import re

from swarmkit import Program, Swarm

HEAD = """
import ctypes, faulthandler, logging, os, signal, subprocess, sys, threading, time, warnings
import concurrence
from concurrence import TaskError

def ends(swarm, function):
    future = swarm.submit(function)
    future.exception()
    return future.error
"""


def script(swarm: Swarm, text: str) -> Program:
    """Run a script to its end."""
    folder = swarm.folder / "client"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "script.py").write_text(HEAD + text, "utf-8")
    program = swarm.start("script.py")
    assert program.finish() == 0, str(program)
    return program


def lines_of(program: Program, task: str) -> list[str]:
    """What came from a task, without the prefix."""
    found = [line.partition("] ") for line in program.output.splitlines()]
    return [text for prefix, _, text in found if prefix.startswith("[") and prefix.endswith(f" {task}")]


def test_every_way_of_writing_arrives(swarm: Swarm) -> None:
    program = script(
        swarm,
        r"""
def prints():
    print("one")
    print("two", file=sys.stderr)
    print("no end", end="")

def logs():
    log = logging.getLogger("mine")
    log.warning("careful: %s", 1)
    log.info("news")
    log.debug("never seen")
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("went wrong")

def warns():
    warnings.warn("shaky")
    warnings.warn("old", DeprecationWarning)

def descriptors():
    os.write(1, b"one\n")
    os.write(2, b"two \xff\xfe")
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)

def programs():
    subprocess.run(["sh", "-c", "echo out; echo err >&2"])
    subprocess.run(["echo", "redirected"], stdout=sys.stdout)
    faulthandler.dump_traceback(all_threads=False)

def threads():
    started = [threading.Thread(target=print, args=("thread", number)) for number in range(4)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()

def junk():
    sys.stdout.buffer.write(bytes(range(32, 256)) + b"\n")

with concurrence.local_swarm(workers=1) as swarm:
    for function in (prints, logs, warns, descriptors, programs, threads, junk):
        swarm.submit(function).result()
""",
    )
    assert lines_of(program, "prints()") == ["one", "two", "no end"]
    logged = lines_of(program, "logs()")
    assert logged[:3] == ["WARNING mine: careful: 1", "INFO mine: news", "ERROR mine: went wrong"]
    assert logged[-1] == "ZeroDivisionError: division by zero"
    warned = "\n".join(lines_of(program, "warns()"))
    assert "UserWarning: shaky" in warned
    assert "DeprecationWarning: old" in warned
    assert lines_of(program, "descriptors()") == ["one", "two \\xff\\xfefrom C"]
    from_programs = lines_of(program, "programs()")
    assert from_programs[:3] == ["out", "err", "redirected"]
    assert any("in programs" in line for line in from_programs)
    assert sorted(lines_of(program, "threads()")) == [f"thread {number}" for number in range(4)]
    (junk,) = lines_of(program, "junk()")
    assert "ABC" in junk


def test_floods_are_bounded_and_the_swarm_lives(swarm: Swarm) -> None:
    program = script(
        swarm,
        r"""
LINE = "x" * 9_999

def prints():
    for number in range(20_000):
        print(LINE)

def writes():
    data = LINE.encode() + b"\n"
    for number in range(20_000):
        os.write(1, data)

def logs():
    for number in range(100_000):
        logging.getLogger("mine").info("y" * 1_000)

with concurrence.local_swarm(workers=2) as swarm:
    for function in (prints, writes, logs):
        swarm.submit(function).result()
    print("alive:", swarm.submit(abs, -7).result())
""",
    )
    assert "alive: 7" in program.output
    assert len(program.output) < 400_000
    for task in ("prints()", "writes()", "logs()"):
        lines = lines_of(program, task)
        assert "more characters were dropped" in lines[-1], task
        assert 60_000 < sum(map(len, lines)) < 80_000


def test_last_words_of_a_worker_arrive_with_the_error(swarm: Swarm) -> None:
    program = script(
        swarm,
        r"""
def killed():
    print("printed last", flush=True)
    os.write(2, b"written last")
    os.kill(os.getpid(), signal.SIGKILL)

def crashes():
    ctypes.string_at(0)

with concurrence.local_swarm(workers=1) as swarm:
    output = ends(swarm, killed).output.splitlines()
    assert "printed last" in output and "written last" in output, output
    output = ends(swarm, crashes).output
    assert "Segmentation fault" in output and "in crashes" in output, output
""",
    )
    assert lines_of(program, "killed()")[:2] == ["printed last", "written last"]


def test_what_a_failed_task_wrote_stays_with_its_error(swarm: Swarm) -> None:
    script(
        swarm,
        r"""
def fails():
    for number in range(1_000):
        print("line", number)
    raise ValueError

with concurrence.local_swarm(workers=1) as swarm:
    assert ends(swarm, fails).output.splitlines()[-1] == "line 999"
    assert len(ends(swarm, fails).output.splitlines()) == 20
""",
    )


def test_a_terminal_is_refused_and_the_worker_lives(swarm: Swarm) -> None:
    script(
        swarm,
        r"""
import pdb

def stops():
    breakpoint()

def traces():
    pdb.set_trace()
    return 1

def asks():
    return input("name? ")

def reads():
    return sys.stdin.read(), list(sys.stdin), sys.stdin.isatty()

with concurrence.local_swarm(workers=1) as swarm:
    worker = swarm.submit(os.getpid).result()
    for function in (stops, traces, asks):
        error = ends(swarm, function)
        assert "there is no terminal" in error.message, error
        assert "--inline" in error.hint, error
        assert error.attempt == 1
    assert swarm.submit(reads).result() == ("", [], False)
    assert swarm.submit(os.getpid).result() == worker
""",
    )


SYSTEM = """
import logging
import sys
import warnings

from concurrence import ApplicationNode, ITaskSystem, Task

class Nothing(Task):
    def __call__(self):
        print("from the task")

class Talking(ITaskSystem):
    def init_system(self, master):
        self.ended = 0
        print("from the system")
        print("to standard error", file=sys.stderr)
        warnings.warn("shaky")
        master.log.warning("logged")

    def generate_tasks(self, master):
        return [Nothing("quiet")]

    def task_finished(self, master, task, result, error):
        self.ended += 1

    def is_complete(self, master):
        return self.ended == 1

    def gather_result(self, master):
        return None

class Talks(ApplicationNode):
    def get_task_system(self):
        return Talking()
"""


def test_a_task_system_is_heard_too(swarm: Swarm) -> None:
    (swarm.folder / "client").mkdir(exist_ok=True)
    (swarm.folder / "client" / "talks.py").write_text(SYSTEM)
    program = swarm.command("run", "talks.py", "--workers", "1")
    assert program.finish() == 0, str(program)
    out = program.output
    for text in ("[task system] from the system", "[task system] to standard error", "UserWarning: shaky"):
        assert text in out
    assert "[task system] WARNING system.Talking: logged" in out
    assert re.search(r"^\[\S+ quiet\] from the task$", out, re.MULTILINE), out
