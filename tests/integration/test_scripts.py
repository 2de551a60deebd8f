"""Scripts with a swarm as whole processes: how they begin, end, are interrupted, and leave nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from swarmkit import Program, Swarm, until

pytestmark = pytest.mark.sampled


def script(swarm: Swarm, text: str, name: str = "script.py") -> Program:
    """Start a script."""
    folder = swarm.folder / "client"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, "utf-8")
    return swarm.start(name)


def test_functions_lambdas_and_closures_of_the_main_script(swarm: Swarm) -> None:
    program = script(
        swarm,
        """
import concurrence

def tenth(n):
    print("computing", n)
    return 10 / n

def times(k):
    return lambda n: n * k

with concurrence.local_swarm(workers=2) as swarm:
    assert swarm.submit(tenth, 4).result() == 2.5
    assert swarm.submit(times(3), 5).result() == 15
    assert list(swarm.map(times(2), range(5))) == [0, 2, 4, 6, 8]
    try:
        swarm.submit(tenth, 0).result()
    except ZeroDivisionError as error:
        print("caught", error, "because", type(error.__cause__).__name__)
    swarm.submit(tenth, n=0).exception()
    swarm.submit(tenth, 0).result()
""",
    )
    assert program.finish() == 1, str(program)
    assert "tenth(4)] computing 4" in program.output
    assert "caught division by zero because TaskError" in program.output
    trace = program.output[program.output.index("concurrence.errors.TaskError: ZeroDivisionError") :]
    assert "in tenth" in trace
    assert "attempt 1" in trace
    assert trace.rstrip().endswith("ZeroDivisionError: division by zero")
    assert trace.count("scripting/futures.py") == 1


def test_a_script_on_standard_input(swarm: Swarm) -> None:
    text = (
        "import concurrence\n"
        "with concurrence.local_swarm(1) as swarm: print(swarm.submit(lambda: 41 + 1).result())\n"
    )
    done = subprocess.run(
        [sys.executable, "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=swarm.folder,
    )
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr


def test_an_interactive_interpreter(swarm: Swarm) -> None:
    text = """
import concurrence
swarm = concurrence.local_swarm(1)

def double(n):
    return 2 * n

list(swarm.map(double, [1, 2, 3]))
"""
    done = subprocess.run(
        [sys.executable, "-i", "-q"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=swarm.folder,
    )
    assert done.returncode == 0, done.stderr
    assert "[2, 4, 6]" in done.stdout


def test_a_swarm_that_nobody_closes_ends_with_the_script(swarm: Swarm) -> None:
    program = script(
        swarm,
        """
import time
import concurrence
swarm = concurrence.local_swarm(workers=1)
swarm.submit(time.sleep, 600)
print(swarm.submit(abs, -1))
""",
    )
    assert program.finish() == 0, str(program)
    swarm.check_nothing_left()


def test_a_swarm_that_nobody_has_any_more_ends(swarm: Swarm) -> None:
    program = script(
        swarm,
        """
import psutil, time
import concurrence
future = concurrence.local_swarm(workers=1).submit(abs, -3)
print(future.result())
deadline = time.monotonic() + 20
while psutil.Process().children() and time.monotonic() < deadline:
    time.sleep(0.02)
assert not psutil.Process().children()
""",
    )
    assert program.finish() == 0, str(program)


def test_an_exception_cancels_what_is_unfinished_and_says_so_once(swarm: Swarm) -> None:
    program = script(
        swarm,
        """
import time
import concurrence
with concurrence.local_swarm(workers=1) as swarm:
    futures = [swarm.submit(time.sleep, 600) for _ in range(3)]
    futures[0].add_done_callback(lambda future: print("ended", future.cancelled()))
    raise KeyError("mine")
""",
    )
    assert program.finish() == 1, str(program)
    assert program.output.count("3 unfinished tasks are cancelled after KeyError") == 1
    assert "ended True" in program.output
    assert program.output.rstrip().endswith("KeyError: 'mine'")


def test_leaving_the_block_waits(swarm: Swarm) -> None:
    program = script(
        swarm,
        """
import time
import concurrence
with concurrence.local_swarm(workers=2) as swarm:
    futures = [swarm.submit(pow, n, 2) for n in range(50)]
    pushed = swarm.push_tasks(concurrence.task(pow).task(n, 2) for n in range(20_000))
    mapped = swarm.map(abs, range(1000))
assert all(future.done() for future in futures)
assert swarm.counts.finished > 20_050, swarm.counts
assert mapped.done == 1000
try:
    swarm.submit(abs, 1)
except concurrence.ConcurrenceError as error:
    print(error)
print(sum(mapped))
""",
    )
    assert program.finish() == 0, str(program)
    assert "the swarm is closed" in program.output
    assert "499500" in program.output


@pytest.mark.parametrize(
    "waits", ["future.result()", "swarm.wait()", "list(swarm.map(time.sleep, [600]))", "pass"]
)
def test_ctrl_c(swarm: Swarm, waits: str) -> None:
    program = script(
        swarm,
        f"""
import time
import concurrence
with concurrence.local_swarm(workers=1) as swarm:
    future = swarm.submit(time.sleep, 600)
    print("waiting", flush=True)
    {waits}
""",
    )
    program.wait_for("waiting")
    program.send(signal.SIGINT)
    assert program.finish(20.0) == -signal.SIGINT, str(program)
    assert "unfinished task" in program.output
    assert program.output.rstrip().endswith("KeyboardInterrupt")


def test_a_lost_private_swarm_ends_everything(swarm: Swarm) -> None:
    program = script(
        swarm,
        """
import time
import concurrence
swarm = concurrence.local_swarm(workers=1)
future = swarm.submit(time.sleep, 600)
results = swarm.map(time.sleep, [600] * 5)
print("waiting", flush=True)
for wait in (future.result, lambda: next(results), lambda: swarm.submit(abs, 1), swarm.wait):
    try:
        wait()
    except concurrence.ConcurrenceError as error:
        print(type(error).__name__, error)
""",
    )
    program.wait_for("waiting")
    (master,) = psutil.Process(program.pid).children()
    master.kill()
    assert program.finish() == 0, str(program)
    assert program.output.count("ConnectionFailed the private master") == 4, str(program)
    swarm.remove_litter()


def test_a_fork_is_refused(swarm: Swarm) -> None:
    program = script(
        swarm,
        """
import os, sys, time
import concurrence
with concurrence.local_swarm(workers=1) as swarm:
    future = swarm.submit(time.sleep, 1)
    child = os.fork()
    if child == 0:
        for call in (lambda: swarm.submit(abs, 1), future.result, swarm.wait):
            try:
                call()
            except concurrence.ConcurrenceError as error:
                print("refused:", error, flush=True)
        sys.exit(0)
    os.waitpid(child, 0)
    print("parent:", swarm.submit(abs, -5).result())
""",
    )
    assert program.finish() == 0, str(program)
    assert program.output.count("refused: this process was forked") == 3, str(program)
    assert "parent: 5" in program.output


def test_connect(swarm: Swarm, tmp_path: Path) -> None:
    swarm.master()
    swarm.slave("one", workers=2)
    text = """
import sys
import concurrence
with concurrence.connect(*sys.argv[1:]) as swarm:
    print(swarm.slaves, sum(swarm.map(abs, range(100))))
"""
    expected = "[SlaveSummary(name='one', workers=2)] 4950"
    script(swarm, text).finish()
    file = str(swarm.connect("client"))
    for program in (
        swarm.start("script.py", file),
        swarm.start("script.py", CONCURRENCE_APPLICATION__MASTER=file),
        swarm.start("../../client/script.py", folder="master/env"),
    ):
        assert program.finish() == 0, str(program)
        assert expected in program.output
    nobody = swarm.start("script.py")
    assert nobody.finish() == 1
    assert "there is no master to connect to" in nobody.output


def test_without_a_master_connecting_fails_in_time(swarm: Swarm) -> None:
    swarm.master()
    file = swarm.connect_through(1, "client")
    program = script(
        swarm,
        f"""
import concurrence
concurrence.connect({str(file)!r}, overrides=["application.connect_timeout=0.5s"])
""",
    )
    assert program.finish() == 1
    assert "no master answers at tcp://127.0.0.1:1" in program.output


def test_a_slave_that_comes_later_is_waited_for(swarm: Swarm) -> None:
    swarm.master()
    program = script(
        swarm,
        f"""
import concurrence
with concurrence.connect({str(swarm.connect("client"))!r}) as swarm:
    future = swarm.submit(abs, -8)
    try:
        future.result(0.2)
    except TimeoutError as error:
        print(error, flush=True)
    print(future.result())
""",
    )
    program.wait_for("abs(-8) has not ended within 0.2 s; 1 task is unfinished")
    swarm.slave("late")
    assert program.finish() == 0, str(program)
    assert until(lambda: "8\n" in program.output)
