"""Real masters, slaves and clients for tests: each a process of the command line, and nothing of it may stay.

Every process that a test starts, and whatever that starts, carries the test's mark in its environment, by
which it is found again; temporary files go into a folder of the test's own.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from concurrence.component import ComponentManager
from concurrence.env.config import Config
from concurrence.nodes.status import Status, ask_status
from concurrence.transport.security import Credentials, read_connect_file, write_connect_file
from concurrence.transport.tcp_transport import TCPTransport
from concurrence.transport.zmq_transport import ZMQTransport

APPS = Path(__file__).parent / "apps"
SECONDS_TO_START = 60.0
SECONDS_TO_END = 60.0
_MARK = "SWARM_OF_TEST"
_REPORT = "report: "

T = TypeVar("T")


def until(condition: Callable[[], T], seconds: float = 60.0, what: str = "") -> T:
    """Wait until a condition holds; what it returned then."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what or condition}")
        time.sleep(0.02)
    return value


class _Manager(ComponentManager):
    config = Config.from_layers(environ={})


TRANSPORTS: dict[str, type[ZMQTransport | TCPTransport]] = {
    "ZMQTransport": ZMQTransport,
    "TCPTransport": TCPTransport,
}


def make_transport(name: str = "ZMQTransport") -> ZMQTransport | TCPTransport:
    """A transport for this process; who makes it closes it."""
    return TRANSPORTS[name](_Manager())


class Program:
    """A process whose output goes to a file."""

    def __init__(self, words: list[str], folder: Path, variables: dict[str, str], log: Path) -> None:
        self.words = words
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                words, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        return self.log.read_text("utf-8", "replace")

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    @property
    def report(self) -> Any:
        """What the application said at its end."""
        lines = [line for line in self.output.splitlines() if line.startswith(_REPORT)]
        assert lines, f"no report from {self}"
        return json.loads(lines[-1].removeprefix(_REPORT))

    def wait_for(self, text: str, seconds: float = SECONDS_TO_START) -> None:
        """Wait until a text was printed."""
        until(lambda: text in self.output or not self.runs, seconds, f"{text!r} from {self}")
        assert text in self.output, f"{self} ended without {text!r}"

    def finish(self, seconds: float = SECONDS_TO_END) -> int:
        """Wait until it ends; its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"did not end within {seconds:.0f} s: {self}")

    def ends_well(self, seconds: float = SECONDS_TO_END) -> Any:
        """It must end with 0; its report."""
        assert self.finish(seconds) == 0, str(self)
        return self.report

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        self.process.send_signal(number)

    def children(self, text: str = "") -> list[psutil.Process]:
        """What it started, and what that started, as far as the command line contains a text."""
        found = psutil.Process(self.pid).children(recursive=True)
        return [process for process in found if text in _command(process)]

    def __str__(self) -> str:
        return f"{self.words[1:]} -> {self.process.poll()}:\n{self.output}"


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


class Swarm:
    """The processes of one test.

    Args:
        folder: A folder of the test's own.
        transport: The name of the transport that its processes use, unless they are told otherwise.
    """

    def __init__(self, folder: Path, transport: str = "") -> None:
        self.folder = folder
        self.transport = transport
        self.probe = folder / "probe"
        self.temporary = folder / "tmp"
        for path in (self.probe, self.temporary):
            path.mkdir()
        self.within: tuple[str, ...] = ()
        """What runs the programs that are started from now on: words before their command."""
        self._mark = secrets.token_hex(8)
        self._shared_memory = _shared_memory()
        self._servers: list[Program] = []
        self._programs: list[Program] = []

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of all processes of this test."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CONCURRENCE_")}
        added = {
            _MARK: self._mark,
            "TMPDIR": str(self.temporary),
            "PROBE": str(self.probe),
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "200",
        }
        if self.transport:
            added["CONCURRENCE_NODE__TRANSPORT"] = self.transport
        return {**kept, **added}

    # --- starting ---

    def start(self, *words: str, folder: str = "client", **variables: str) -> Program:
        """Start a Python process."""
        place = self.folder / folder
        place.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{len(self._programs)}.log"
        command = [*self.within, sys.executable, *words]
        program = Program(command, place, {**self.variables, **variables}, log)
        self._programs.append(program)
        return program

    def command(self, *words: str, folder: str = "client", **variables: str) -> Program:
        """Start a command of ``concurrence``."""
        return self.start("-m", "concurrence.cli.main", *words, folder=folder, **variables)

    def master(self, *settings: str, port: int = 0, env: str = "env") -> Program:
        """Start a master and wait until it listens."""
        words = ["master", "--env", env, "--port", str(port), *_set(settings)]
        program = self.command(*words, folder="master")
        self._servers.append(program)
        program.wait_for("Ctrl-C")
        return program

    def slave(
        self, name: str, *settings: str, workers: int = 1, connect: Path | None = None, folder: str = ""
    ) -> Program:
        """Start a slave with an empty environment of its own and wait until it is registered."""
        place = self.folder / (folder or name)
        place.mkdir(parents=True, exist_ok=True)
        env = self.folder / f"env-{name}"
        if not env.exists():
            assert self.command("env", "create", str(env)).finish() == 0
        words = ["slave", "--env", str(env), "--master", str(connect or self.connect("slave"))]
        program = self.command(
            *words, "--workers", str(workers), "--name", name, *_set(settings), folder=place.name
        )
        self._servers.append(program)
        program.wait_for("registered with the master")
        return program

    def adopt(self, program: Program) -> None:
        """A server that was started in another way is stopped as those that were started here."""
        self._servers.append(program)

    def run(self, app: str, *settings: str, connect: Path | None = None, workers: int = 0) -> Program:
        """Start an application: at this test's master, or with workers of its own."""
        where = ["--workers", str(workers)] if workers else ["--master", str(connect or self.connect("client"))]
        name = str(APPS / app) if app.partition(":")[0].endswith(".py") else app
        return self.command("run", name, *where, *_set(settings))

    def connect(self, role: str) -> Path:
        """The connect file of a role."""
        return self.folder / "master" / "env" / "connect" / f"{role}.toml"

    def credentials(self, role: str) -> Credentials:
        """What is in it."""
        return read_connect_file(self.connect(role))

    def connect_through(self, port: int, role: str) -> Path:
        """A connect file that leads through another port."""
        path = self.folder / f"{role}-{port}.toml"
        write_connect_file(path, replace(self.credentials(role), address=f"tcp://127.0.0.1:{port}"))
        return path

    def status(self) -> Status:
        """What the master says of itself and the others."""
        transport = make_transport(self.transport or "ZMQTransport")
        try:
            return ask_status(transport, self.credentials("admin"), 5.0)
        finally:
            transport.close()

    def probes(self, pattern: str = "*") -> list[str]:
        """The names of the files that tasks left."""
        return sorted(path.name for path in self.probe.glob(pattern))

    # --- ending ---

    def processes(self) -> list[psutil.Process]:
        """Everything that this test started, however deep, and that is not a zombie."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def close(self) -> None:
        """Stop the servers that still run, slaves first, and see that nothing is left."""
        for program in reversed(self._servers):
            if program.runs:
                program.send(signal.SIGCONT)
                program.send(signal.SIGTERM)
                assert program.finish(30.0) == 0, str(program)
        self.check_nothing_left()

    def check_nothing_left(self) -> None:
        """No process, no temporary folder, no shared memory."""
        deadline = time.monotonic() + 30.0
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not left, [f"{process.pid} {_command(process)}" for process in left]
        until(lambda: not self.litter(), 10.0, f"no temporary files, but {self.litter()}")
        until(lambda: _shared_memory() <= self._shared_memory, 30.0, "no shared memory")
        for program in self._programs:
            assert "this is a fault in Concurrent" not in program.output, str(program)

    def litter(self) -> list[str]:
        """What is in the folder for temporary files."""
        return sorted(os.listdir(self.temporary))

    def remove_litter(self) -> None:
        """Remove what a process that was killed could not remove itself: an environment of its own at most."""
        for name in self.litter():
            assert name.startswith("concurrence-")
            shutil.rmtree(self.temporary / name)

    def kill(self) -> None:
        """End by force whatever a failed test left."""
        for program in self._programs:
            if program.runs:
                program.process.kill()
            program.process.wait()
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()


def _set(settings: tuple[str, ...]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _shared_memory() -> set[str]:
    """The shared memory and the semaphores that Python makes; what else is there belongs to other programs."""
    return {name for name in os.listdir("/dev/shm") if name.startswith(("psm_", "sem.", "concurrence"))}
