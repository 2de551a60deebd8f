"""Tasks that do to their worker whatever a task can do, among tasks that do not."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from failing import Call, Square
from reporting import Reporting, leave, probe

from concurrence import IntOption, ITaskMaster, ITaskSystem, Task, TaskError

MEBI = 1024 * 1024
BOMB_DEPTH = 5  # generations: 63 processes if nobody ends it
BOMB_SECONDS = 60.0
MOST_CHILDREN = 60  # whatever becomes of the limit of 20, this test starts no more, and none lives for long


def hang_deaf(folder: str) -> None:
    leave(folder, "deaf")
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(60)


def hang_and_clean_up(folder: str) -> None:
    try:
        leave(folder, "polite-began")
        time.sleep(60)
    finally:
        leave(folder, "polite-cleaned")


def hold_the_gil(folder: str) -> None:
    leave(folder, "gil")
    mutex = ctypes.create_string_buffer(128)
    library = ctypes.PyDLL(None)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


def eat_memory(folder: str) -> int:
    leave(folder, "memory")
    held = [b"x" * MEBI for _ in range(600)]
    time.sleep(20)
    return len(held)


def start_children(folder: str) -> None:
    leave(folder, "bomb")
    for _ in range(MOST_CHILDREN):
        child = subprocess.Popen(["sleep", "20"])
        Path(folder, f"child-{child.pid}").touch()
    time.sleep(20)


def start_grandchildren(folder: str) -> None:
    """Each of them in a session of its own, as a program that becomes a daemon."""
    leave(folder, "daemons")
    for _ in range(5):
        shell = subprocess.run(
            ["sh", "-c", "setsid sleep 20 >/dev/null 2>&1 & echo $!"], check=True, capture_output=True, text=True
        )
        Path(folder, f"daemon-{shell.stdout.strip()}").touch()
    os._exit(5)


def raise_own_class(folder: str) -> None:
    class Local(Exception):
        def __init__(self, one: object, two: object) -> None:
            super().__init__("known here only")

    raise Local(1, 2)


def close_descriptors(folder: str) -> str:
    os.closerange(0, 21)
    return "closed"


def change_process(folder: str) -> str:
    os.chdir("/")
    os.umask(0o777)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sys.setrecursionlimit(5_000)
    os.environ.clear()
    return "changed"


def leave_things(folder: str) -> str:
    for _ in range(5):
        threading.Thread(target=time.sleep, args=(60,)).start()
    atexit.register(time.sleep, 60)
    Path(os.environ.get("TMPDIR", folder), "left").write_bytes(bytes(MEBI))
    return "left"


def segfault_in_a_thread(folder: str) -> None:
    leave(folder, "thread")
    thread = threading.Thread(target=ctypes.string_at, args=(0,))
    thread.start()
    time.sleep(20)


def fork_bomb(folder: str) -> None:
    """Each process starts two like itself, and all of them are deaf. Whatever becomes of them it stops by itself:
    after so many generations, and each process after so many seconds.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    _explode(folder, time.monotonic() + BOMB_SECONDS, BOMB_DEPTH)


def _explode(folder: str, end: float, depth: int) -> None:
    Path(folder, f"forked-{os.getpid()}").touch()
    for _ in range(2 if depth > 0 else 0):
        if os.fork() == 0:
            try:
                _explode(folder, end, depth - 1)
            finally:
                os._exit(0)
    while (left := end - time.monotonic()) > 0:
        time.sleep(left)


class ForkBomb(Reporting):
    """One, with a time-out, among tasks that do no harm."""

    def start_processing(self) -> None:
        self.push_task(Call(fork_bomb, timeout=5.0))
        self.push_tasks(Square(n) for n in range(50))


class Wild(Reporting):
    """All of them at once."""

    def start_processing(self) -> None:
        calls = [
            Call(hang_deaf, timeout=0.5),
            Call(hang_and_clean_up, timeout=0.5),
            Call(hold_the_gil, timeout=0.5),
            Call(eat_memory),
            Call(start_children),
            Call(start_grandchildren),
            Call(raise_own_class),
            Call(close_descriptors),
            Call(change_process),
            Call(leave_things),
            Call(segfault_in_a_thread),
        ]
        squares = [Square(n) for n in range(300)]
        self.push_tasks(squares[:100])
        self.push_tasks(task for pair in zip(squares[100:], calls, strict=False) for task in pair)
        self.push_tasks(squares[100 + len(calls) :])


class Large(Task):
    """Returns so many bytes."""

    def __init__(self, n: int, size: int) -> None:
        super().__init__(f"large {n}")
        self.size = size

    def __call__(self) -> bytes:
        return b"x" * self.size


class LargeResults(Reporting):
    """Results of so many megabytes, one after the other."""

    count = IntOption("large", "count", 3, "How many.", min=1)
    megabytes = IntOption("large", "megabytes", 100, "How large each.", min=1)

    def start_processing(self) -> None:
        self.push_tasks(Large(n, self.megabytes * 1_000_000) for n in range(self.count))
        self.push_tasks(Square(n) for n in range(50))

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        super().task_finished(task, len(result) if isinstance(result, bytes) else result, error)


class Cancelling(Reporting):
    """Cancels the tasks that hang, running and queued, once two of them have begun, and not the others."""

    def start_processing(self) -> None:
        self.hanging = [Call(hang_and_clean_up, f"hang {n}") for n in range(6)]
        self.push_task(Wait())  # first: the others take all workers that they can get
        self.push_tasks(self.hanging)
        self.push_tasks(Square(n) for n in range(50))

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        super().task_finished(task, result, error)
        if isinstance(task, Wait):
            self.cancel([each.task_id for each in self.hanging if each.task_id is not None])


class Wait(Task):
    """Waits until two of the others have begun."""

    def __init__(self) -> None:
        super().__init__("wait")
        self.folder = str(probe())

    def __call__(self) -> int:
        deadline = time.monotonic() + 60
        while len(list(Path(self.folder).glob("polite-began.*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        return len(list(Path(self.folder).glob("polite-began.*")))


class HangingSystem(ITaskSystem):
    """Of tasks that hang."""

    def __init__(self) -> None:
        self.folder = str(probe())

    def generate_tasks(self, master: ITaskMaster) -> list[Task]:
        return [Call(hang_and_clean_up, f"hang {n}") for n in range(6)]

    def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None: ...

    def gather_result(self, master: ITaskMaster) -> int:
        return 0


class CancellingSystem(Reporting):
    """Pushes a system whose tasks hang, and cancels it once two of them have begun."""

    def start_processing(self) -> None:
        self.push_task(Wait())
        self.system = self.push_tasksystem(HangingSystem())

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        super().task_finished(task, result, error)
        if isinstance(task, Wait):
            self.cancel_system(self.system)
