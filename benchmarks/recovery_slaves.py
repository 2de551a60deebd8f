"""How long it takes until a task runs again elsewhere after its slave was killed, or fell silent.

    python benchmarks/recovery_slaves.py [--repeats R]

Each figure is the time from the fault to the first instant of the task's next attempt, seen in the task itself;
master, slaves and client are real processes. A link is cut by stopping the slave (SIGSTOP): as behind a cable that
was pulled out, its connections stay, and nothing comes.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import concurrence

SECONDS = 60.0
"""Longer than any case may take."""

LEASE = 3.0


def note_start(folder: str) -> None:
    """The task: notes when it started, and waits at the first time."""
    notes = Path(folder)
    count = len(list(notes.iterdir()))
    unfinished = notes / f".{os.getpid()}"
    unfinished.write_text(str(time.monotonic()))
    unfinished.rename(notes / str(count))
    if not count:
        time.sleep(SECONDS)


def started(notes: Path, number: int) -> float:
    """When an attempt started, as soon as it has."""
    path = notes / str(number)
    wait_for(path.exists, f"attempt {number}")
    return float(path.read_text())


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {SECONDS:.0f} s: {what}")
        time.sleep(0.001)


@contextmanager
def node(folder: Path, ready: str, *words: str) -> Generator[subprocess.Popen[bytes]]:
    """A master or a slave, from when it is ready until it is stopped."""
    log = folder / f"{words[0]}-{len(list(folder.iterdir()))}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "concurrence.cli.main", *words], stdout=file, stderr=file, cwd=folder
        )
    try:
        wait_for(lambda: ready in log.read_text(), f"{ready!r} of {words[0]}")
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        process.wait(SECONDS)


def measure(number: signal.Signals, *settings: str) -> float:
    """The seconds from a signal to the slave that has the task until the task runs on the other one."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        notes = folder / "notes"
        notes.mkdir()
        connect = folder / "env" / "connect"
        words = [word for setting in settings for word in ("--set", setting)]
        stack.enter_context(node(folder, "Ctrl-C", "master", "--env", "env", "--port", "0", *words))
        slave = ("slave", "--master", str(connect / "slave.toml"), "--workers", "1", "--name")
        struck = stack.enter_context(node(folder, "registered", *slave, "first"))
        with concurrence.connect(connect / "client.toml") as swarm:
            future = swarm.submit(note_start, str(notes))
            started(notes, 0)
            stack.enter_context(node(folder, "registered", *slave, "second"))
            at = time.monotonic()
            struck.send_signal(number)
            seconds = started(notes, 1) - at
            future.result(SECONDS)
        return seconds


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    lease = f"masternode.lease={LEASE}s"
    cases = (
        ("killed slave: its task runs elsewhere", 2.0, signal.SIGKILL, ()),
        (f"slave behind a cut link, lease {LEASE:.0f} s", LEASE + 1.0, signal.SIGSTOP, (lease,)),
    )
    for name, target, number, settings in cases:
        times = [measure(number, *settings) for _ in range(repeats)]
        median, worst = statistics.median(times), max(times)
        print(f"{name:<64} median {median:.3f} s   worst {worst:.3f} s   target {target:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
