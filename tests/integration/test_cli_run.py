"""The command line with real processes: runs, masters and slaves, and what goes wrong among them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest

from concurrence.transport.security import Credentials, Role, new_key_pair, read_connect_file, write_connect_file

pytestmark = pytest.mark.sampled

SECONDS_TO_START = 60.0
SECONDS_TO_END = 60.0


class Program:
    """A process of the command line, whose output is read as it comes."""

    def __init__(self, words: list[str], folder: Path, variables: dict[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CONCURRENCE_")}
        self.words = words
        self.process = subprocess.Popen(
            words,
            cwd=folder,
            env={**kept, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "COLUMNS": "200", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        with self._news:
            return "".join(self._lines)

    def wait_for(self, text: str, seconds: float = SECONDS_TO_START) -> None:
        """Wait until a text was printed."""

        def is_over() -> bool:
            return self._ended or text in "".join(self._lines)

        with self._news:
            self._news.wait_for(is_over, seconds)
        assert text in self.output, f"{self.words} did not print {text!r} but:\n{self.output}"

    def finish(self, seconds: float = SECONDS_TO_END) -> int:
        """Wait until it ends; its exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.words} did not end within {seconds} s:\n{self.output}")
        self._reader.join(5.0)
        return code

    def interrupt(self) -> int:
        """Press Ctrl-C; the exit code. Whatever it started must be gone with it."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGINT)
        code = self.finish()
        _, alive = psutil.wait_procs(below, timeout=30.0)
        assert not alive, f"{self.words} left {alive}"
        return code

    def close(self) -> None:
        """End it, and what it started, by force."""
        below: list[psutil.Process] = []
        if self.process.poll() is None:
            below = psutil.Process(self.process.pid).children(recursive=True)
        for process in [self.process, *below]:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()
        self._reader.join(5.0)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


Start: TypeAlias = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path) -> Generator[Start]:
    """Starts commands of ``concurrence``, each in a folder of its own unless told otherwise."""
    programs: list[Program] = []

    def begin(*words: str, folder: Path | str = "client", python: bool = False, **variables: str) -> Program:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        command = [sys.executable] if python else [sys.executable, "-m", "concurrence.cli.main"]
        programs.append(Program([*command, *words], place, variables))
        return programs[-1]

    yield begin
    for program in reversed(programs):
        program.close()


@pytest.fixture
def client(tmp_path: Path) -> Path:
    """The folder in which the commands of clients run."""
    folder = tmp_path / "client"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def swarm(start: Start, tmp_path: Path) -> Path:
    """A master and a slave, each in a folder of its own, the slave without an environment; the connect files."""
    master = start("master", "--env", "env", "--port", "0", folder="master")
    master.wait_for("Ctrl-C")
    connect = tmp_path / "master" / "env" / "connect"
    copied = tmp_path / "slave.toml"
    write_connect_file(copied, read_connect_file(connect / "slave.toml"))
    slave = start("slave", "--master", str(copied), "--workers", "2", "--name", "attic", folder="slave")
    slave.wait_for("registered with the master")
    return connect


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ends_with(program: Program, code: int, *texts: str) -> str:
    """The output of a program that must end with a code and print some texts, and no traceback of ours."""
    assert program.finish() == code, program.output
    for text in texts:
        assert text in program.output
    assert "concurrence/nodes/" not in program.output
    return program.output


HELPED = """\
from {prefix}helper import Double
from concurrence import ApplicationNode

class Doubles(ApplicationNode):
    def start_processing(self):
        self.sum = 0
        self.push_tasks(Double(n) for n in range(10))

    def task_finished(self, task, result, error):
        if error is not None:
            self.say(str(error))
            self.shutdown_main_loop(1)
        else:
            self.sum += result

    def work_finished(self, result, system_id):
        self.say(f"the sum is {{self.sum}}")
        self.shutdown_main_loop(0 if self.sum == 90 else 1)
"""
HELPER = """\
from concurrence import Task

class Double(Task):
    def __init__(self, n):
        super().__init__(f"double {n}")
        self.n = n

    def __call__(self):
        return 2 * self.n
"""
ONE_TASK = """\
{imports}
from concurrence import ApplicationNode, Task

class Only(Task):
    def __init__(self):
        super().__init__("only")
        {init}

    def __call__(self):
        {call}

class Single(ApplicationNode):
    def start_processing(self):
        {begin}

    def task_finished(self, task, result, error):
        {finished}
"""


def one_task(
    folder: Path,
    *,
    imports: str = "",
    init: str = "pass",
    call: str = "return 1",
    begin: str = "self.push_task(Only())",
    finished: str = "self.say(str(error or result)); self.shutdown_main_loop(1 if error else 0)",
) -> str:
    """Write an application with one task; the name of its file."""
    text = ONE_TASK.format(imports=imports, init=init, call=call, begin=begin, finished=finished)
    (folder / "single.py").write_text(text)
    return "single.py"


# --- runs on a private swarm ---


def test_hello(start: Start) -> None:
    out = ends_with(start("run", "hello", "--workers", "2"), 0, "tasks: 4 finished, 0 failed", "with 2 workers")
    assert all(f"greet {number}: Hello {number} from process" in out for number in range(1, 5))
    assert " greet 1] Hello 1 from process" in out


def test_mandelbrot_small(start: Start, tmp_path: Path) -> None:
    picture = tmp_path / "small.png"
    size = ("--set", "mandelbrot.width=96", "--set", "mandelbrot.height=64")
    program = start("run", "mandelbrot", "--workers", "2", *size, "--set", f"mandelbrot.output={picture}")
    ends_with(program, 0, f"the picture: {picture}", "tasks: 12 finished")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_environment_around_the_folder_is_used(start: Start, client: Path) -> None:
    ends_with(start("env", "create", ".", "--app", "Hello"), 0)
    (client / "concurrence.toml").write_text('[project]\napp = "Hello"\n[hello]\ncount = 2\n')
    ends_with(start("run", "--workers", "1", folder=client / "plugins"), 0, "tasks: 2 finished")


def test_mistakes_in_a_file_are_told_with_the_line(start: Start, client: Path) -> None:
    file = client / "own.toml"
    file.write_text('[hello]\ncuont = 2\n\n[mandelbrot]\nwidth = "wide"\n')
    ends_with(start("run", "hello", "-c", "own.toml"), 2, f"{file}:2: ", "Did you mean count?", f"{file}:5: ")


def test_a_broken_plugin_is_named_and_the_others_go_on(start: Start, client: Path) -> None:
    ends_with(start("env", "create", "mine"), 0)
    plugins = client / "mine" / "plugins"
    (plugins / "broken.py").write_text("import there_is_no_such_module\n")
    (plugins / "helper.py").write_text(HELPER)
    (plugins / "doubles.py").write_text(HELPED.format(prefix=""))
    program = start("run", "doubles", "--env", "mine", "--workers", "1")
    ends_with(program, 0, "the sum is 90", "plug-in broken", "there_is_no_such_module")


def test_a_handler_that_raises_shows_the_users_traceback(start: Start, client: Path) -> None:
    file = one_task(client, finished='raise ValueError("a mistake")')
    program = start("run", file, "--workers", "1")
    ends_with(program, 1, f'File "{client / file}", line', "in task_finished", "raised ValueError: a mistake")


def test_a_handler_that_exits_chooses_the_code(start: Start, client: Path) -> None:
    program = start("run", one_task(client, finished="raise SystemExit(3)"), "--workers", "1")
    ends_with(program, 3)


def test_a_task_that_raises_arrives_with_its_traceback(start: Start, client: Path) -> None:
    program = start("run", one_task(client, call='raise ValueError("in the task")'), "--workers", "1")
    ends_with(program, 1, "ValueError: in the task", "single.py")


def test_an_unpicklable_task_is_explained(start: Start, client: Path) -> None:
    file = one_task(client, imports="import threading", init="self.guard = threading.Lock()")
    ends_with(start("run", file, "--workers", "1"), 1, "error: ", "guard")


def test_a_reader_that_has_enough_is_no_error(start: Start) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "concurrence.cli.main", "apps"],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=SECONDS_TO_END,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


# --- Ctrl-C ---


@pytest.mark.parametrize("inline", [False, True], ids=["swarm", "inline"])
def test_ctrl_c_ends_a_run(start: Start, client: Path, inline: bool) -> None:
    file = one_task(client, imports="import time", call='print("under way"); time.sleep(600)')
    program = start("run", file, "--inline") if inline else start("run", file, "--workers", "2")
    program.wait_for("under way")
    assert program.interrupt() == 130
    assert "interrupted" in program.output
    assert "Traceback" not in program.output


@pytest.mark.parametrize("inline", [False, True], ids=["swarm", "inline"])
def test_ctrl_c_lets_an_application_say_what_it_has(start: Start, client: Path, inline: bool) -> None:
    file = one_task(client, imports="import time", call='print("under way"); time.sleep(600)')
    with (client / file).open("a") as source:
        source.write("\n    def interrupted(self):\n        self.say('the best so far: 42')\n")
    program = start("run", file, "--inline") if inline else start("run", file, "--workers", "2")
    program.wait_for("under way")
    assert program.interrupt() == 130
    assert program.output.count("the best so far: 42") == 1
    assert "Traceback" not in program.output


def test_ctrl_c_tells_what_was_finished(start: Start, client: Path) -> None:
    file = one_task(client, imports="import time", finished='self.say("one is done"); self.push_task(Slow())')
    with (client / file).open("a") as source:
        source.write("\nclass Slow(Only):\n    def __call__(self):\n        time.sleep(600)\n")
    program = start("run", file, "--workers", "1")
    program.wait_for("one is done")
    assert program.interrupt() == 130
    assert "tasks: 1 finished" in program.output


def test_ctrl_c_ends_master_and_slave_cleanly(start: Start, tmp_path: Path) -> None:
    master = start("master", "--env", "env", "--port", "0", folder="master")
    master.wait_for("Ctrl-C")
    assert "Made the environment env\n" in master.output
    assert "concurrence status --env env\n" in master.output
    file = tmp_path / "master" / "env" / "connect" / "slave.toml"
    slave = start("worker", "--master", str(file), "--workers", "1", folder="slave")
    slave.wait_for("registered with the master")
    assert slave.interrupt() == 0
    assert master.interrupt() == 0
    assert "Traceback" not in master.output + slave.output


# --- a master, a slave elsewhere with nothing of its own, and clients ---


def test_a_run_at_a_master(start: Start, swarm: Path) -> None:
    out = ends_with(
        start("run", "hello", "--master", str(swarm / "client.toml")), 0, "4 finished", "[attic greet "
    )
    assert "workers" not in out


def test_status_as_administrator_and_as_client(start: Start, swarm: Path) -> None:
    ends_with(start("status", "--env", str(swarm.parent)), 0, "attic", "slaves: 1, workers: 2")
    out = ends_with(start("status", "--master", str(swarm / "client.toml"), "--json"), 0)
    assert '"name": "attic"' in out
    assert '"systems": []' in out
    ends_with(start("status", "--master", str(swarm / "slave.toml")), 2, "role slave")


@pytest.mark.parametrize("kind", ["file", "folder", "package", "plugin", "script"])
def test_the_authors_code_travels(start: Start, swarm: Path, client: Path, kind: str) -> None:
    home = {"file": client, "script": client, "plugin": client / "mine" / "plugins"}.get(kind, client / "sums")
    if kind == "plugin":
        ends_with(start("env", "create", "mine"), 0)
    home.mkdir(exist_ok=True)
    (home / "helper.py").write_text(HELPER)
    file = home / {"file": "sums.py", "script": "script.py", "plugin": "sums.py"}.get(kind, "app.py")
    file.write_text(HELPED.format(prefix="." if kind == "package" else ""))
    if kind == "package":
        (home / "__init__.py").touch()
    master = str(swarm / "client.toml")
    if kind == "script":
        with file.open("a") as script:
            script.write('\nif __name__ == "__main__":\n    import sys\n    from concurrence import run\n')
            script.write("    sys.exit(run(Doubles))\n")
        program = start("script.py", python=True, CONCURRENCE_APPLICATION__MASTER=master)
    elif kind == "plugin":
        program = start("run", "doubles", "--env", "mine", "--master", master)
    else:
        program = start("run", "sums.py" if kind == "file" else "sums", "--master", master)
    ends_with(program, 0, "the sum is 90")


def test_a_package_that_the_slave_lacks_is_named(start: Start, swarm: Path, client: Path) -> None:
    site = client / "site-packages"
    info = site / "tinypkg-1.5.dist-info"
    info.mkdir(parents=True)
    (site / "tinypkg.py").write_text("def answer():\n    return 42\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tinypkg\nVersion: 1.5\n")
    (info / "top_level.txt").write_text("tinypkg\n")
    (info / "RECORD").write_text("tinypkg.py,,\ntinypkg-1.5.dist-info/METADATA,,\n")
    file = one_task(client, imports="import tinypkg", call="return tinypkg.answer()")
    program = start("run", file, "--master", str(swarm / "client.toml"), PYTHONPATH=str(site))
    ends_with(program, 1, "tinypkg 1.5", "attic")


# --- what goes wrong between processes ---


def test_a_port_in_use(start: Start) -> None:
    port = str(free_port())
    start("master", "--env", "one", "--port", port, folder="master").wait_for("Ctrl-C")
    ends_with(start("master", "--env", "two", "--port", port, folder="master"), 1, "error: ", port)


def forged(swarm: Path, client: Path, change: Callable[[Credentials], Credentials]) -> str:
    """A connect file like the client's, with a change."""
    write_connect_file(client / "forged.toml", change(read_connect_file(swarm / "client.toml")))
    return "forged.toml"


def test_a_master_that_does_not_answer(start: Start, client: Path) -> None:
    nobody = Credentials(f"tcp://127.0.0.1:{free_port()}", new_key_pair().public, Role.CLIENT, new_key_pair())
    write_connect_file(client / "nobody.toml", nobody)
    patience = ("--set", "application.connect_timeout=1s")
    ends_with(
        start("run", "hello", "--master", "nobody.toml", *patience), 1, f"no master answers at {nobody.address}"
    )
    ends_with(start("status", "--master", "nobody.toml"), 1, f"no master answers at {nobody.address}")


@pytest.mark.parametrize("command", [["run", "hello"], ["status"]], ids=["run", "status"])
@pytest.mark.parametrize("wrong", ["server", "client"])
def test_a_wrong_key(start: Start, swarm: Path, client: Path, wrong: str, command: list[str]) -> None:
    if wrong == "server":
        file = forged(swarm, client, lambda right: replace(right, server_key=new_key_pair().public))
    else:
        file = forged(swarm, client, lambda right: replace(right, keys=new_key_pair()))
    out = ends_with(
        start(*command, "--master", file), 1, "error: ", read_connect_file(swarm / "client.toml").address
    )
    assert "key" in out or "connect file" in out
