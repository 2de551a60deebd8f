"""Running tasks that are cancelled or take too long: they are asked to end, and then their worker is killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import pytest
from workerkit import Slave, assignment, is_alive, wait_until_gone, worker_pids

from concurrence import TaskInterrupted
from concurrence.wire.codec import Parcel, decode_results
from concurrence.wire.faults import Fault, decode_fault
from concurrence.wire.messages import CANCELLED, EXPIRED, FINISHED, AttemptLost, ChunkResults, TakeBack

# Workers cannot import a test.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def timed(slave: Slave, chunk: int, arguments: list[tuple[Any, ...]], timeout: float) -> None:
    parcel = assignment(chunk, arguments)
    slave.manager.handle(Parcel(msgspec.structs.replace(parcel.message, timeout=timeout), parcel.frames))


def faults(slave: Slave) -> dict[int, Fault]:
    """What was told of the tasks that did not finish."""
    found: dict[int, Fault] = {}
    for parcel in slave.heard:
        if isinstance(parcel.message, ChunkResults):
            entries = decode_results(parcel.frames)
            for counter, status, entry in zip(
                parcel.message.counters, parcel.message.statuses, entries, strict=True
            ):
                if status != FINISHED and entry.payload:
                    found[counter] = decode_fault(entry.payload)
    return found


def until_file(slave: Slave, path: Path) -> None:
    slave.until(path.exists)


def sleep_and_clean(folder: str, seconds: float) -> int:
    try:
        Path(folder, "began").touch()
        time.sleep(seconds)
    finally:
        Path(folder, "cleaned").touch()
    return os.getpid()


def test_a_cancelled_task_cleans_up_and_its_worker_lives(slaves: Callable[..., Slave], tmp_path: Path) -> None:
    slave = slaves(1)
    slave.define(sleep_and_clean)
    slave.assign(1, [(str(tmp_path), 60.0)])
    until_file(slave, tmp_path / "began")
    (before,) = worker_pids(slave)
    slave.manager.handle(Parcel(TakeBack(1, kill=True)))
    slave.until(slave.answers)
    assert slave.answers()[1000][0] == CANCELLED
    assert (tmp_path / "cleaned").exists()
    fault = faults(slave)[1000]
    assert fault.kind == "cancelled"
    assert "in sleep_and_clean" in fault.traceback
    assert "interrupts.py" not in fault.traceback
    slave.assign(2, [(str(tmp_path), 0.0)])
    slave.until(lambda: 2000 in slave.answers())
    assert slave.values()[2000] == before
    assert not slave.messages(AttemptLost)


def test_a_task_that_takes_too_long_cleans_up_and_its_neighbours_go_on(
    slaves: Callable[..., Slave], tmp_path: Path
) -> None:
    slave = slaves(1)
    slave.define(sleep_and_clean)
    timed(slave, 1, [(str(tmp_path), 0.0), (str(tmp_path), 60.0), (str(tmp_path), 0.0)], timeout=0.3)
    slave.until(lambda: len(slave.answers()) == 3)
    assert [slave.answers()[1000 + n][0] for n in range(3)] == [FINISHED, EXPIRED, FINISHED]
    assert slave.values()[1000] == slave.values()[1002]
    assert "time-out of 0.3 s and was interrupted" in faults(slave)[1001].message
    assert not slave.messages(AttemptLost)


def test_a_function_written_in_c_is_interrupted(slaves: Callable[..., Slave]) -> None:
    slave = slaves(1)
    slave.define(time.sleep)
    timed(slave, 1, [(60.0,)], timeout=0.2)
    slave.until(slave.answers)
    assert slave.answers()[1000][0] == EXPIRED
    assert not slave.messages(AttemptLost)


def test_a_task_may_return_what_it_has(slaves: Callable[..., Slave]) -> None:
    def count() -> int:
        number = 0
        try:
            while True:
                number += 1
                time.sleep(0.01)
        except TaskInterrupted as interrupted:
            return number if interrupted.reason == "timeout" else -1

    slave = slaves(1)
    slave.define(count)
    timed(slave, 1, [()], timeout=0.3)
    slave.until(slave.answers)
    status, value = slave.answers()[1000]
    assert status == FINISHED
    assert value > 0


def test_a_task_that_prints_all_the_time_is_seen_to_take_too_long(slaves: Callable[..., Slave]) -> None:
    def chatter() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            sys.stdout.write("still here\n")

    slave = slaves(1)
    slave.define(chatter)
    timed(slave, 1, [()], timeout=0.3)
    slave.assign(2, [()])
    slave.until(slave.answers)
    assert slave.answers()[1000][0] == EXPIRED
    assert "still here" in faults(slave)[1000].output
    slave.manager.handle(Parcel(TakeBack(2, kill=True)))
    slave.until(lambda: 2000 in slave.answers())  # the link is whole: it was not interrupted in a message


def ignore_everything(folder: str) -> None:
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_IGN)
    Path(folder, "began").touch()
    time.sleep(60)


def block_everything(folder: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    Path(folder, "began").touch()
    time.sleep(60)


def swallow_everything(folder: str) -> None:
    deadline = time.monotonic() + 60
    Path(folder, "began").touch()
    while time.monotonic() < deadline:
        with contextlib.suppress(BaseException):
            time.sleep(60)


def hold_the_gil(folder: str) -> None:
    Path(folder, "began").touch()
    mutex = ctypes.create_string_buffer(128)
    library = ctypes.PyDLL(None)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)  # for ever, and no signal ends it


@pytest.mark.parametrize("deaf", [ignore_everything, block_everything, swallow_everything, hold_the_gil])
def test_a_task_that_does_not_listen_is_killed(
    slaves: Callable[..., Slave], tmp_path: Path, deaf: Callable[[str], None]
) -> None:
    slave = slaves(1)
    slave.define(deaf)
    slave.assign(1, [(str(tmp_path),)])
    until_file(slave, tmp_path / "began")
    (pid,) = worker_pids(slave)
    slave.manager.handle(Parcel(TakeBack(1, kill=True)))
    slave.until(lambda: slave.messages(AttemptLost))
    (lost,) = slave.messages(AttemptLost)
    assert (lost.chunk, lost.running) == (1, 1000)
    wait_until_gone([pid])
    slave.define(os.getpid, 2)
    slave.assign(2, [()], function=2)
    slave.until(lambda: 2000 in slave.answers())
    assert slave.values()[2000] != pid


def test_without_grace_the_worker_is_killed_at_once(slaves: Callable[..., Slave], tmp_path: Path) -> None:
    slave = slaves(1, settings=["taskmanager.kill_grace=0"])
    slave.define(sleep_and_clean)
    timed(slave, 1, [(str(tmp_path), 60.0), (str(tmp_path), 0.0)], timeout=0.2)
    slave.until(lambda: slave.messages(AttemptLost))
    assert slave.answers()[1000][0] == EXPIRED
    assert "its worker was killed" in faults(slave)[1000].message
    (lost,) = slave.messages(AttemptLost)
    assert (lost.chunk, lost.running) == (1, None)  # its neighbour is not charged
    assert not (tmp_path / "cleaned").exists()


def start_helpers(folder: str, seconds: float) -> None:
    """A helper in the worker's process group, and a grandchild that nobody waits for."""
    helper = subprocess.Popen(["sleep", "60"])
    shell = subprocess.Popen(["sh", "-c", "sleep 60 >/dev/null & echo $!"], stdout=subprocess.PIPE, text=True)
    orphan = (shell.communicate()[0]).strip()
    Path(folder, "helpers").write_text(f"{helper.pid} {orphan}")
    Path(folder, "began").touch()
    time.sleep(seconds)


@pytest.mark.parametrize("grace", ["500 ms", "0"])
def test_what_an_ended_task_had_started_ends_with_it(
    slaves: Callable[..., Slave], tmp_path: Path, grace: str
) -> None:
    def start_lasting_helper() -> int:
        return subprocess.Popen(["sleep", "60"]).pid

    slave = slaves(1, settings=[f"taskmanager.kill_grace={grace}"])
    slave.define(start_lasting_helper, 2)
    slave.assign(1, [()], function=2)
    slave.until(slave.answers)
    lasting = slave.values()[1000]
    time.sleep(0.05)  # the system does not tell apart what started within the same hundredth of a second
    slave.define(start_helpers)
    slave.assign(2, [(str(tmp_path), 60.0)])
    until_file(slave, tmp_path / "began")
    helpers = [int(word) for word in (tmp_path / "helpers").read_text().split()]
    assert all(is_alive(pid) for pid in helpers)
    slave.manager.handle(Parcel(TakeBack(2, kill=True)))
    slave.until(lambda: 2000 in slave.answers() or slave.messages(AttemptLost))
    wait_until_gone(helpers)
    # What another task of this worker had left is its own affair, as long as the worker lives.
    assert is_alive(lasting) == (grace != "0")
