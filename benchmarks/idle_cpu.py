"""What an idle swarm costs: CPU seconds of a master and of a slave, each with its child processes.

python benchmarks/idle_cpu.py [--seconds S]
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Generator

_SECONDS_TO_START = 30.0
_SECONDS_TO_SETTLE = 3.0
_SECONDS_TO_STOP = 20.0


@contextmanager
def node(*arguments: str, folder: Path) -> Generator[psutil.Process]:
    """A node of the system, from its first line of output until the end of the block."""
    command = [str(Path(sys.executable).with_name("concurrence")), *arguments]
    log = folder / f"{arguments[0]}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + _SECONDS_TO_START
        while log.stat().st_size == 0:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(command)} did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_seconds(root: psutil.Process) -> float:
    """CPU seconds that a process and its living descendants have used."""
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        times = process.cpu_times()
        total += times.user + times.system
    return total


def main() -> int:
    """Start both, let them settle, watch them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds: float = parser.parse_args().seconds
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        master = stack.enter_context(node("master", "--env", "swarm", folder=folder))
        slave = stack.enter_context(node("slave", "--master", "swarm/connect/slave.toml", folder=folder))
        time.sleep(_SECONDS_TO_SETTLE)
        nodes = {"master": master, "slave": slave}
        before = {name: cpu_seconds(process) for name, process in nodes.items()}
        time.sleep(seconds)
        for name, process in nodes.items():
            used = cpu_seconds(process) - before[name]
            processes = 1 + len(process.children(recursive=True))
            share = used / seconds
            print(f"{name:<7} {used:6.2f} CPU s in {seconds:.0f} s = {share:.2%} of a core, {processes} processes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
