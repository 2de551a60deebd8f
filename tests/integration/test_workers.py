"""Real worker processes on a real loop: they run, die, are replaced, and leave nothing behind."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest
from workerkit import Slave, assignment, definition, is_alive, wait_until_gone, worker_pids

from concurrence.wire.codec import (
    Frame,
    Parcel,
    encode,
)
from concurrence.wire.messages import (
    FINISHED,
    REFUSED,
    RETURNED,
    AttemptLost,
    ChunkResults,
    Claimed,
    Drain,
    ForgetFunction,
    Output,
    Pause,
    TakeBack,
)
from concurrence.workers.link import NonBlockingLink
from concurrence.workers.zmq import ZMQTaskManager

# Workers cannot import a test.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def square(number: int) -> int:
    return number * number


def double(data: bytes) -> bytes:
    return data + data


def do_nothing(_: int) -> None:
    return None


def sleep_for(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def sleep_until(path: str) -> str:
    while path and not os.path.exists(path):
        time.sleep(0.01)
    return path


def say_and_sleep(seconds: float) -> None:
    sys.stdout.write("under way\n")
    sys.stdout.flush()
    time.sleep(seconds)


def kill_if(is_deadly: bool) -> int:
    if is_deadly:
        sys.stdout.write("about to die\n")
        sys.stdout.flush()
        time.sleep(1.0)  # by then what was before is drained
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def test_a_chunk_end_to_end(slaves: Callable[..., Slave]) -> None:
    slave = slaves(2)
    slave.define(square)
    slave.assign(1, [(n,) for n in range(100)])
    slave.until(lambda: len(slave.answers()) == 100)
    assert slave.values() == {1000 + n: n * n for n in range(100)}
    assert slave.manager.credit == 4


def test_large_arguments_and_results(slaves: Callable[..., Slave]) -> None:
    slave = slaves(1)
    slave.define(double)
    slave.assign(1, [(b"x" * 5_000_000,)])
    slave.until(slave.answers)
    assert slave.values() == {1000: b"x" * 10_000_000}


def test_output_and_standard_input(slaves: Callable[..., Slave]) -> None:
    slave = slaves(1)
    slave.define(lambda: (sys.stdout.write("hello from below\n"), sys.stdin.read())[1])
    slave.assign(1, [()])
    slave.until(slave.answers)
    assert slave.values() == {1000: ""}
    assert [(o.counter, o.stream, o.text) for o in slave.messages(Output)] == [
        (1000, "stdout", "hello from below")
    ]


def test_workers_are_lean_and_alone(slaves: Callable[..., Slave]) -> None:
    def look_around() -> tuple[list[str], list[str], str, int, int]:
        heavy = [name for name in ("zmq", "typer", "rich", "sqlalchemy") if name in sys.modules]
        paths = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd") if int(number) > 2]
        descriptors = [os.readlink(path) for path in paths if os.path.lexists(path)]
        return (
            heavy,
            descriptors,
            os.environ["OMP_NUM_THREADS"],
            os.getpgrp() - os.getpid(),
            random.getrandbits(64),
        )

    slave = slaves(2)
    slave.define(look_around)
    slave.assign(1, [()])
    slave.assign(2, [()])
    slave.until(lambda: len(slave.answers()) == 2)
    first, second = slave.values().values()
    assert first[0] == []
    assert len([name for name in first[1] if "socket" in name]) == 1
    assert first[2:4] == ("1", 0)
    assert first[4] != second[4]


def test_a_finished_result_does_not_wait_for_the_next_task(slaves: Callable[..., Slave]) -> None:
    slave = slaves(1)
    slave.define(sleep_for)
    slave.assign(1, [(0.0,), (0.0,), (600.0,)])
    slave.until(lambda: len(slave.answers()) == 2)


def test_tasks_behind_a_slow_one_are_taken_back(slaves: Callable[..., Slave], tmp_path: Path) -> None:
    slave = slaves(1)
    slave.define(sleep_until)
    gate = str(tmp_path / "gate")
    slave.assign(1, [("",), (gate,), ("",)])
    slave.assign(2, [("",)])
    slave.assign(3, [("",)])
    slave.until(lambda: len(slave.answers()) == 1)
    for chunk in (3, 2, 1):
        slave.manager.handle(Parcel(TakeBack(chunk)))
    slave.until(lambda: len(slave.answers()) == 4)
    statuses = {counter: status for counter, (status, _) in slave.answers().items()}
    assert statuses == {1000: FINISHED, 1002: RETURNED, 2000: RETURNED, 3000: RETURNED}
    Path(gate).touch()
    slave.until(lambda: len(slave.answers()) == 5)
    assert slave.values()[1001] == gate


def test_no_task_waits_behind_another_while_a_worker_is_idle(slaves: Callable[..., Slave]) -> None:
    slave = slaves(2)
    slave.define(sleep_for)
    slave.assign(1, [(600.0,)])
    slave.assign(2, [(0.0,)])  # behind the first, if one worker was up before the other
    slave.assign(3, [(0.0,)])
    slave.assign(4, [(0.0,)])
    slave.until(lambda: len(slave.answers()) == 3)


def test_a_worker_killed_in_the_middle(slaves: Callable[..., Slave]) -> None:
    slave = slaves(1)
    slave.define(kill_if)
    slave.assign(1, [(False,), (False,), (True,), (False,)])
    slave.assign(2, [(False,)])
    slave.until(lambda: slave.messages(AttemptLost) and len(slave.answers()) == 3)
    (lost,) = slave.messages(AttemptLost)
    assert (lost.chunk, lost.running) == (1, 1002)
    assert "SIGKILL" in lost.text
    assert lost.peak_memory > 1_000_000
    assert "about to die" in lost.output
    values = slave.values()
    assert values.keys() == {1000, 1001, 2000}
    assert values[2000] != values[1000]


def test_a_worker_that_dies_idle_is_replaced(slaves: Callable[..., Slave]) -> None:
    slave = slaves(1)
    slave.until(lambda: worker_pids(slave))
    (old,) = worker_pids(slave)
    os.kill(old, signal.SIGKILL)
    slave.until(lambda: worker_pids(slave) not in ([], [old]))
    slave.define(square)
    slave.assign(1, [(3,)])
    slave.until(slave.answers)


def test_a_template_that_dies_is_replaced(slaves: Callable[..., Slave]) -> None:
    slave = slaves(2)
    slave.define(sleep_for)
    slave.assign(1, [(0.3,), (0.3,)])
    slave.until(lambda: len(worker_pids(slave)) == 2)
    slave.reactor.cycle(0.1)
    old = [slave.manager.template_pid or 0, *worker_pids(slave)]
    os.kill(old[0], signal.SIGKILL)
    slave.until(lambda: slave.messages(AttemptLost) or len(slave.answers()) == 2)
    wait_until_gone(old[1:])
    slave.assign(2, [(0.0,)])
    slave.until(lambda: 2000 in slave.answers())


def test_abandon_ends_what_runs(slaves: Callable[..., Slave]) -> None:
    slave = slaves(1)
    slave.define(sleep_for)
    slave.assign(1, [(600.0,)])
    slave.until(lambda: worker_pids(slave))
    slave.reactor.cycle(0.1)
    slave.manager.abandon()
    slave.define(square)
    slave.assign(1, [(3,)])
    slave.until(lambda: slave.values() == {1000: 9})


def test_a_definition_that_is_not_what_it_says_fails_the_task_only(slaves: Callable[..., Slave]) -> None:
    slave = slaves(1)
    good = definition(square)
    slave.manager.handle(Parcel(good.message, [b"something else"]))
    slave.assign(1, [(3,)])
    slave.until(slave.answers)
    assert slave.answers()[1000][0] == REFUSED
    assert slave.messages(AttemptLost) == []


def test_what_a_task_started_ends_with_its_worker(slaves: Callable[..., Slave]) -> None:
    def start_helper() -> int:
        return subprocess.Popen(["sleep", "60"]).pid

    slave = slaves(1)
    slave.define(start_helper)
    slave.assign(1, [()])
    slave.until(slave.answers)
    helper: int = slave.values()[1000]
    assert is_alive(helper)
    slave.manager.stop()
    wait_until_gone([helper])


@pytest.mark.parametrize("is_busy", [False, True])
def test_stop_leaves_nothing(is_busy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(os.listdir("/proc/self/fd"))
    # Folders of its own: other tests may make temporary files at the same time.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    slave = Slave(2)
    slave.define(sleep_for)
    if is_busy:
        slave.assign(1, [(600.0,)])
        slave.assign(2, [(600.0,)])
    slave.until(lambda: len(worker_pids(slave)) == 2)
    slave.reactor.cycle(0.2)
    pids = [slave.manager.template_pid or 0, *worker_pids(slave)]
    slave.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert len(os.listdir("/proc/self/fd")) == before
    assert tempfile.gettempdir() == str(tmp_path)
    assert not os.listdir(tmp_path)


OWNER = """
import os, runpy, sys, time
sys.path.append(os.path.dirname(sys.argv[1]))
tests = runpy.run_path(sys.argv[1])
slave = tests["Slave"](2)
slave.define(tests["start_and_sleep"])
slave.assign(1, [()])
slave.assign(2, [()])
slave.until(lambda: len(slave.messages(tests["Output"])) == 2)
print(slave.manager.template_pid, *tests["worker_pids"](slave), *[o.text for o in slave.messages(tests["Output"])])
sys.stdout.flush()
time.sleep(60)
"""


def start_and_sleep() -> None:
    sys.stdout.write(f"{subprocess.Popen(['sleep', '60']).pid}\n")
    sys.stdout.flush()
    time.sleep(60)


@pytest.mark.parametrize("victim", ["owner", "template"])
def test_kill_nine_leaves_no_process(victim: str) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, __file__], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert len(pids) == 5
        assert all(is_alive(pid) for pid in pids)
        if victim == "owner":
            owner.kill()
            wait_until_gone(pids)
        else:
            # What tasks started for themselves is then out of reach: the template was to end it.
            os.kill(pids[0], signal.SIGKILL)
            wait_until_gone(pids[:3])
            owner.kill()
            for helper in pids[3:]:
                os.kill(helper, signal.SIGKILL)


class Source:
    """A work queue that hands out what a test puts into it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.work: list[list[Frame]] = []
        self.is_paused = False

    @property
    def pollable(self) -> int:
        return self.reading

    def put(self, parcel: Parcel[Any]) -> None:
        self.work.append(encode([parcel]))
        os.write(self.writing, b".")

    def receive(self) -> list[Frame] | None:
        if not self.work:
            return None
        os.read(self.reading, 1)
        return self.work.pop(0)

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def close(self) -> None:
        os.close(self.reading)
        os.close(self.writing)


def test_chunks_are_pulled_only_while_there_is_room(slaves: Callable[..., Slave]) -> None:
    slave = slaves(1, ZMQTaskManager)
    source = Source()
    slave.define(sleep_for)
    slave.manager.attach(source)
    source.put(Parcel(ForgetFunction(99)))
    source.work[0] = [b"no message at all"]
    for chunk in range(1, 6):
        source.put(assignment(chunk, [(0.1,)]))
    slave.until(lambda: slave.messages(Claimed))
    assert [claim.chunks for claim in slave.messages(Claimed)] == [[1, 2]]
    slave.until(lambda: len(slave.answers()) == 5)
    assert [chunk for claim in slave.messages(Claimed) for chunk in claim.chunks] == [1, 2, 3, 4, 5]
    slave.manager.attach(None)
    slave.reactor.cycle(0.0)
    source.close()


def test_one_that_drains_pulls_no_more_and_gives_back_what_lay_on_the_queue(slaves: Callable[..., Slave]) -> None:
    slave = slaves(1, ZMQTaskManager)
    source = Source()
    slave.define(sleep_for)
    slave.manager.attach(source)
    for chunk in range(1, 6):
        source.put(assignment(chunk, [(0.5,)]))
    slave.until(lambda: slave.messages(Claimed))
    slave.manager.handle(Parcel(Drain(is_on=True)))
    assert source.is_paused
    assert not source.work
    slave.until(lambda: not slave.manager.chunks)
    assert sorted(chunk for claim in slave.messages(Claimed) for chunk in claim.chunks) == [1, 2, 3, 4, 5]
    returned = {message.chunk for message in slave.messages(ChunkResults) if RETURNED in message.statuses}
    assert returned >= {3, 4, 5}
    slave.manager.attach(None)
    source.close()
    again = Source()
    slave.manager.handle(Parcel(Drain(is_on=False)))
    slave.manager.attach(again)
    again.put(assignment(6, [(0.0,)]))
    slave.until(lambda: 6000 in slave.values())
    slave.manager.attach(None)
    again.close()


def test_a_pause_ends_the_pulling_but_not_what_the_master_sends(slaves: Callable[..., Slave]) -> None:
    slave = slaves(1, ZMQTaskManager)
    source = Source()
    slave.define(square)
    slave.manager.attach(source)
    source.put(assignment(1, [(1,)]))  # on its way when the pause begins: it must not be lost
    slave.manager.handle(Parcel(Pause("rests")))
    source.put(assignment(2, [(2,)]))
    slave.assign(3, [(3,)])
    slave.until(lambda: len(slave.answers()) == 2)
    assert slave.values() == {1000: 1, 3000: 9}
    assert [claim.chunks for claim in slave.messages(Claimed)] == [[1]]
    assert source.is_paused
    slave.manager.handle(Parcel(Pause(paused=False)))
    slave.until(lambda: len(slave.answers()) == 3)
    assert not source.is_paused
    slave.manager.attach(None)
    source.close()


def fork_and(how: str) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if how == "exit":
        sys.exit(7)
    if how == "raise":
        raise ValueError(how)
    return 99


def test_what_a_task_forks_is_no_second_worker(slaves: Callable[..., Slave]) -> None:
    slave = slaves(1)
    slave.define(fork_and)
    slave.define(square, 2)
    slave.assign(1, [("return",), ("exit",), ("raise",)])
    slave.assign(2, [(5,)], function=2)
    slave.until(lambda: len(slave.answers()) == 4)
    assert slave.values() == {1000: 0, 1001: 7, 1002: 1, 2000: 25}
    assert slave.messages(AttemptLost) == []
    assert len(worker_pids(slave)) == 1


def scribble(data: bytes) -> None:
    if not data:
        return
    time.sleep(1.0)  # by then what was before is drained
    for number in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{number}"
        if int(number) > 2 and os.path.lexists(path) and "socket" in os.readlink(path):
            os.write(int(number), data)
    time.sleep(30)


def malformed_results() -> bytes:
    """The answer to two tasks, of which the first was answered before, with a body that is none."""
    frames = [bytes(frame) for frame in encode([Parcel(ChunkResults(1, 1, [1000, 1001], bytes(2), 0.0), [b"?"])])]
    return struct.pack(f"<I{len(frames)}Q", len(frames), *map(len, frames)) + b"".join(frames)


@pytest.mark.parametrize("data", [struct.pack("<IQ", 1, 2**62), malformed_results()], ids=["huge", "malformed"])
def test_a_worker_that_sends_nonsense_dies_alone(slaves: Callable[..., Slave], data: bytes) -> None:
    slave = slaves(2)
    slave.define(scribble)
    slave.define(square, 2)
    slave.assign(1, [(b"",), (data,), (b"",)])
    slave.until(lambda: slave.messages(AttemptLost))
    assert [lost.running for lost in slave.messages(AttemptLost)] == [1001]
    slave.assign(2, [(5,)], function=2)
    slave.until(lambda: 2000 in slave.answers())


def test_a_message_for_which_there_is_no_memory_costs_one_worker(
    slaves: Callable[..., Slave], monkeypatch: pytest.MonkeyPatch
) -> None:
    slave = slaves(1)
    slave.define(square)
    slave.assign(1, [(2,)])
    slave.until(slave.answers)
    first = worker_pids(slave)

    def receive(self: NonBlockingLink) -> list[list[Frame]]:
        monkeypatch.undo()
        raise MemoryError

    monkeypatch.setattr(NonBlockingLink, "receive", receive)
    slave.assign(2, [(3,)])
    # If the worker had not yet cleared its cell, the result was found there.
    slave.until(lambda: slave.messages(AttemptLost) or 2000 in slave.answers())
    slave.assign(3, [(4,)])
    slave.until(lambda: 3000 in slave.answers())
    assert worker_pids(slave) != first


def test_throughput(slaves: Callable[..., Slave], capsys: pytest.CaptureFixture[str]) -> None:
    slave = slaves(1)
    slave.define(do_nothing)
    slave.assign(999, [(0,)])
    slave.until(slave.answers)
    chunks = deque(assignment(chunk, [(n,) for n in range(512)]) for chunk in range(196))
    slave.heard.clear()
    finished = 0
    started = time.perf_counter()
    while finished < 196:
        while chunks and slave.manager.held < slave.manager.credit:
            slave.manager.handle(chunks.popleft())
        slave.reactor.cycle(1.0)
        finished = len(slave.messages(ChunkResults))
    elapsed = time.perf_counter() - started
    with capsys.disabled():
        sys.stdout.write(f"\n{196 * 512 / elapsed:,.0f} no-op tasks/s through one worker\n")
    assert len(slave.answers()) == 196 * 512
