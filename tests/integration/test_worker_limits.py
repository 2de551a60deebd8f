"""What workers may use: memory, processes, files; where their temporary files go; and when they are renewed."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from workerkit import Slave, is_alive, wait_until_gone, worker_pids

from concurrence.wire.messages import FAILED, FINISHED, AttemptLost
from concurrence.workers.folders import PREFIX

# Workers cannot import a test.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

MEBI = 1024 * 1024


def fill(mebibytes: int) -> int:
    """Fills memory, a little at a time, and gives up by itself."""
    held = [b"x" * MEBI for _ in range(mebibytes)]
    time.sleep(30 if mebibytes > 100 else 0)
    return len(held)


def fill_in_child(mebibytes: int) -> int:
    child = subprocess.Popen(
        [sys.executable, "-c", f"import time; held = [b'x' * {MEBI} for _ in range({mebibytes})]; time.sleep(30)"]
    )
    return child.wait()


@pytest.mark.parametrize("greedy", [fill, fill_in_child])
def test_a_task_that_eats_memory_is_blamed_with_the_figures(
    slaves: Callable[..., Slave], greedy: Callable[[int], int]
) -> None:
    slave = slaves(2, settings=["taskmanager.memory_limit=150 MiB"])
    slave.define(greedy)
    slave.define(fill, 2)
    slave.assign(1, [(400,)])
    slave.assign(2, [(n,) for n in range(20)], function=2)
    slave.until(lambda: slave.messages(AttemptLost) and len(slave.answers()) == 20)
    (lost,) = slave.messages(AttemptLost)
    assert (lost.chunk, lost.running) == (1, 1000)
    assert "SIGKILL" in lost.text
    assert "more than the 157 MB of [taskmanager] memory_limit" in lost.text
    assert lost.peak_memory > 150 * MEBI
    assert {status for status, _ in slave.answers().values()} == {FINISHED}


def test_the_peak_is_that_of_the_task_and_not_of_those_before_it(slaves: Callable[..., Slave]) -> None:
    def fill_and_free(mebibytes: int) -> None:
        held = bytearray(mebibytes * MEBI)
        held[:: resource.getpagesize()] = b"x" * len(held[:: resource.getpagesize()])

    def die() -> None:
        os._exit(3)

    slave = slaves(1)
    slave.define(fill_and_free)
    slave.define(die, 2)
    slave.assign(1, [(300,)])
    slave.until(slave.answers)
    slave.assign(2, [()], function=2)
    slave.until(lambda: slave.messages(AttemptLost))
    (lost,) = slave.messages(AttemptLost)
    assert 1 * MEBI < lost.peak_memory < 200 * MEBI
    assert "exited with code 3" in lost.text


def start_many(folder: str) -> None:
    """As a fork bomb begins; this one ends at 60, and each of its processes soon."""
    for _ in range(60):
        child = subprocess.Popen(["sleep", "30"])
        with Path(folder, "pids").open("a") as file:
            file.write(f"{child.pid}\n")
    time.sleep(30)


def test_a_task_that_starts_too_many_processes_is_ended_with_them(
    slaves: Callable[..., Slave], tmp_path: Path
) -> None:
    slave = slaves(1, settings=["taskmanager.max_processes=20"])
    slave.define(start_many)
    slave.assign(1, [(str(tmp_path),)])
    slave.until(lambda: slave.messages(AttemptLost))
    (lost,) = slave.messages(AttemptLost)
    assert (lost.chunk, lost.running) == (1, 1000)
    assert "more than the 20 of [taskmanager] max_processes" in lost.text
    wait_until_gone([int(line) for line in (tmp_path / "pids").read_text().split()])
    slave.define(os.getpid, 2)
    slave.assign(2, [()], function=2)
    slave.until(slave.answers)


def test_limits_of_the_system_are_set(slaves: Callable[..., Slave]) -> None:
    def look() -> list[int]:
        names = (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_DATA)
        return [resource.getrlimit(name)[0] for name in names]

    slave = slaves(
        1,
        settings=[
            "taskmanager.open_files=300",
            "taskmanager.address_space=8 GiB",
            "taskmanager.data_size=1 GiB",
        ],
    )
    slave.define(look)
    slave.define(lambda: len(bytearray(2 * 1024 * MEBI)), 2)
    slave.assign(1, [()])
    slave.assign(2, [()], function=2)
    slave.until(lambda: len(slave.answers()) == 2)
    assert slave.values()[1000] == [0, 300, 8 * 1024 * MEBI, 1024 * MEBI]
    assert slave.answers()[2000][0] == FAILED  # with a MemoryError: its worker lives
    assert not slave.messages(AttemptLost)


def leave_files(folder: str) -> str:
    place = Path(tempfile.mkdtemp())
    (place / "large").write_bytes(bytes(MEBI))
    (place / "closed").mkdir(mode=0o000)
    subprocess.run(["sh", "-c", 'echo x >"$TMPDIR/from-a-program"'], check=True)
    return tempfile.gettempdir()


def test_each_worker_has_a_folder_for_temporary_files_that_goes_with_it(
    slaves: Callable[..., Slave], tmp_path: Path
) -> None:
    slave = slaves(2, settings=[f"taskmanager.temp_folder={tmp_path}"])
    slave.define(leave_files)
    slave.assign(1, [(str(tmp_path),)])
    slave.until(slave.answers)
    folder = Path(slave.values()[1000])
    assert folder.parent.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "from-a-program").exists()
    assert not (tmp_path / "from-a-program").exists()
    for pid in worker_pids(slave):
        os.kill(pid, signal.SIGKILL)
    slave.until(lambda: not folder.exists())
    slave.manager.stop()
    assert not list(tmp_path.glob(f"{PREFIX}*"))


def test_what_a_killed_template_left_is_swept_by_the_next(slaves: Callable[..., Slave], tmp_path: Path) -> None:
    slave = slaves(1, settings=[f"taskmanager.temp_folder={tmp_path}"])
    slave.define(leave_files)
    slave.assign(1, [(str(tmp_path),)])
    slave.until(slave.answers)
    (left,) = tmp_path.glob(f"{PREFIX}*")
    other = slaves(1, settings=[f"taskmanager.temp_folder={tmp_path}"])
    other.define(os.getpid)
    other.assign(1, [()])
    other.until(other.answers)
    assert left.exists(), "that of a living one is not touched"
    template = slave.manager.template_pid
    assert template is not None
    os.kill(template, signal.SIGKILL)
    slave.until(lambda: not left.exists())  # it has a new template, which swept


def count_and_pid(_: int) -> int:
    return os.getpid()


def test_a_worker_is_renewed_after_so_many_tasks_and_nothing_is_lost(slaves: Callable[..., Slave]) -> None:
    slave = slaves(2, settings=["taskmanager.max_tasks_per_worker=100"])
    slave.define(count_and_pid)
    chunk = 0

    def feed() -> bool:
        nonlocal chunk
        while slave.manager.held < slave.manager.credit:
            chunk += 1
            slave.assign(chunk, [(n,) for n in range(10)])
        return len({pid for _, pid in slave.answers().values()}) >= 8

    slave.until(feed, 60.0)
    slave.until(lambda: slave.manager.held == 0)
    assert len(slave.answers()) == 10 * chunk
    assert {status for status, _ in slave.answers().values()} == {FINISHED}
    assert not slave.messages(AttemptLost)
    slave.until(lambda: len(worker_pids(slave)) <= 3)  # two, and at most one that is being replaced


def test_a_worker_that_grew_is_renewed(slaves: Callable[..., Slave]) -> None:
    def keep(mebibytes: int) -> int:
        kept: list[bytes] = vars(sys.modules["sys"]).setdefault("_kept_by_test", [])
        kept.append(b"x" * (mebibytes * MEBI))
        return os.getpid()

    slave = slaves(1, settings=["taskmanager.max_growth=50 MiB"])
    slave.define(keep)
    slave.assign(1, [(1,)])
    slave.until(slave.answers)
    first = slave.values()[1000]
    slave.assign(2, [(100,)])
    chunk = 2

    def ask() -> bool:
        nonlocal chunk
        if slave.manager.held == 0:
            chunk += 1
            slave.assign(chunk, [(0,)])
        return any(pid != first for _, pid in slave.answers().values())

    slave.until(ask)
    slave.until(lambda: not is_alive(first))
    assert not slave.messages(AttemptLost)


def test_a_renewed_worker_that_does_not_end_is_killed(slaves: Callable[..., Slave]) -> None:
    def leave_thread() -> int:
        threading.Thread(target=time.sleep, args=(120,)).start()
        return os.getpid()

    slave = slaves(1, settings=["taskmanager.max_tasks_per_worker=1"])
    slave.define(leave_thread)
    slave.assign(1, [()])
    slave.until(slave.answers)
    slave.until(lambda: not is_alive(slave.values()[1000]))


def spoil(how: str) -> None:
    if how == "descriptors":
        os.closerange(0, 21)
    elif how == "folder":
        os.chdir(tempfile.mkdtemp())
        os.rmdir(os.getcwd())
    elif how == "umask":
        os.umask(0o777)
    elif how == "streams":
        os.close(1)
        os.open("/dev/null", os.O_WRONLY)
    elif how == "signals":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 300.0)


def look_around(folder: str) -> list[Any]:
    os.write(1, b"by descriptor\n")
    print("by print")  # noqa: T201
    path = Path(folder, f"file-{os.getpid()}")
    path.write_text("x")
    signals = [signal.getitimer(signal.ITIMER_REAL)[0], len(signal.pthread_sigmask(signal.SIG_BLOCK, ()))]
    return [os.getcwd(), path.stat().st_mode & 0o777, os.getpid(), *signals]


@pytest.mark.parametrize("how", ["descriptors", "folder", "umask", "streams", "signals"])
def test_what_a_task_does_to_its_process_is_put_back(
    slaves: Callable[..., Slave], tmp_path: Path, how: str
) -> None:
    slave = slaves(1)
    slave.define(spoil)
    slave.define(look_around, 2)
    slave.assign(1, [(str(tmp_path),)], function=2)
    slave.until(slave.answers)
    slave.assign(2, [(how,)])
    slave.until(lambda: 2000 in slave.answers())
    slave.heard.clear()
    slave.assign(3, [(str(tmp_path),)], function=2)
    before = slave.values()
    slave.until(lambda: 3000 in slave.answers())
    assert not slave.messages(AttemptLost)
    texts = "".join(str(parcel.message) for parcel in slave.heard)
    assert "by print" in texts
    assert "by descriptor" in texts
    assert before == {}
    assert slave.values()[3000][0] == os.getcwd()
    assert slave.values()[3000][1] & 0o400
    assert slave.values()[3000][3:] == [0.0, 0], "no timer runs, and no signal is blocked"
