"""Debugging with ``--inline`` on a real terminal, and what tracebacks of tasks show."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from swarmkit import Swarm

SECONDS = 40.0
HEAD = """
from concurrence import ApplicationNode, ITaskSystem, Task

class One(Task):
    def __call__(self):
        in_task = 6 * 7
        {task}
        return in_task
"""
PLAIN = (
    HEAD
    + """
class App(ApplicationNode):
    def start_processing(self):
        self.push_task(One("one"))

    def task_finished(self, task, result, error):
        in_handler = [result, error]
        {handler}
        self.say(f"result {{result}}")
"""
)
SYSTEM = (
    HEAD
    + """
class Whole(ITaskSystem):
    def init_system(self, master):
        self.result = None

    def generate_tasks(self, master):
        return [One("one")]

    def task_finished(self, master, task, result, error):
        in_system = [result]
        {handler}
        self.result = result

    def is_complete(self, master):
        return self.result is not None

    def gather_result(self, master):
        return self.result

class App(ApplicationNode):
    def get_task_system(self):
        return Whole()

    def work_finished(self, result, system_id):
        self.say(f"result {{result}}")
        self.shutdown_main_loop()
"""
)


class Terminal:
    """A process whose standard streams are a terminal."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self._ours, theirs = pty.openpty()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CONCURRENCE_")}
        variables = {**kept, "TERM": "dumb", "NO_COLOR": "1", "TMPDIR": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            env=variables,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.text = ""
        self._seen = 0

    def expect(self, text: str) -> None:
        """Wait until a text appears behind what was expected before."""
        deadline = time.monotonic() + SECONDS
        while (found := self.text.find(text, self._seen)) < 0:
            assert self._read(deadline), f"{text!r} did not come: {self.text}"
        self._seen = found + len(text)

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._ours, line.encode() + b"\n")

    def finish(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + SECONDS
        while self._read(deadline):
            continue
        return self.process.wait(SECONDS)

    def close(self) -> None:
        """End it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._ours)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
        try:
            data = os.read(self._ours, 65_536) if ready else b""
        except OSError:  # the way in which a terminal ends
            data = b""
        self.text += data.decode(errors="replace")
        return bool(data)


@pytest.mark.parametrize(
    ("source", "shown"),
    [(PLAIN, ("in_handler", "[42, None]")), (SYSTEM, ("in_system", "[42]"))],
    ids=["handler", "system"],
)
def test_breakpoints_stop_everywhere_inline(tmp_path: Path, source: str, shown: tuple[str, str]) -> None:
    (tmp_path / "debugged.py").write_text(source.format(task="breakpoint()", handler="breakpoint()"))
    terminal = Terminal(["-m", "concurrence.cli.main", "run", "debugged.py", "--inline"], tmp_path)
    try:
        for command, answer in (("in_task + 1", "43"), shown):
            terminal.expect("(Pdb) ")
            terminal.type(f"p {command}")
            terminal.expect(f"p {command}")
            terminal.expect(answer)
            terminal.expect("(Pdb) ")
            terminal.type("c")
        terminal.expect("result 42")
        assert terminal.finish() == 0, terminal.text
    finally:
        terminal.close()


STEPPED = """
import concurrence

def outer(one):
    def inner(two):
        three = one + two
        breakpoint()
        return three
    return inner

with concurrence.local_swarm(inline=True) as swarm:
    print("result", swarm.submit(outer(1), 2).result())
"""


def test_the_debugger_shows_the_source_of_closures(tmp_path: Path) -> None:
    (tmp_path / "stepped.py").write_text(STEPPED)
    terminal = Terminal(["stepped.py"], tmp_path)
    try:
        terminal.expect("stepped.py(8)inner()")
        terminal.expect("-> return three")
        terminal.expect("(Pdb) ")
        terminal.type("c")
        terminal.expect("result 3")
        assert terminal.finish() == 0, terminal.text
    finally:
        terminal.close()


def test_a_breakpoint_on_a_worker_says_what_to_do(swarm: Swarm) -> None:
    folder = swarm.folder / "client"
    folder.mkdir()
    (folder / "debugged.py").write_text(PLAIN.format(task="breakpoint()", handler="self.say(str(error))"))
    program = swarm.command("run", "debugged.py", "--workers", "1")
    program.finish()
    assert "breakpoint() was called on slave" in program.output
    assert "--inline" in program.output
    assert "is replaced" not in program.output


def test_the_error_of_an_inline_task_has_its_frames(swarm: Swarm) -> None:
    program = _script(
        swarm,
        """
import json, traceback
from concurrence.testing import run_app
from concurrence import ApplicationNode, Task

class Fails(Task):
    def __call__(self):
        secret = 42
        try:
            {}["missing"]
        except KeyError as error:
            raise ValueError("wrong") from error

class App(ApplicationNode):
    def start_processing(self):
        self.push_task(Fails("fails"))
    def task_finished(self, task, result, error):
        self.error = error

error = run_app(App).app.error.__cause__
frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
print("report:", json.dumps([frames[-1].f_locals["secret"], repr(error.__cause__), len(frames)]))
""",
    )
    assert program == [42, "KeyError('missing')", 1]


def test_tracebacks_show_the_authors_frames_and_all_that_belongs_to_them(swarm: Swarm) -> None:
    (swarm.folder / "client").mkdir()
    (swarm.folder / "client" / "unwell.py").write_text("def f(:\n")
    shown = _script(
        swarm,
        """
import json, concurrence

def deeper():
    {}["missing"]

def caused():
    try:
        deeper()
    except KeyError as error:
        raise ValueError("wrong") from error

def in_context():
    try:
        deeper()
    except KeyError:
        raise ValueError("wrong")

def noted():
    error = ValueError("wrong")
    error.add_note("look here")
    raise error

def grouped():
    errors = []
    for function in (deeper, noted):
        try:
            function()
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("several", errors)

def lazily():
    import unwell

def endless(n=0):
    return endless(n + 1)

def there(n):
    return back(n + 1)

def back(n):
    return there(n + 1)

def mutual():
    there(0)

def enclosing(key):
    def closure():
        {}[key]
    return closure

by_value = enclosing("missing"), lambda: {}["missing"]

with concurrence.local_swarm(workers=1) as swarm:
    found = {}
    for function in (caused, in_context, noted, grouped, lazily, endless, mutual, *by_value):
        future = swarm.submit(function)
        future.exception()
        found[function.__name__] = future.error.remote_traceback
    print("report:", json.dumps(found))
""",
    )
    for name, text in shown.items():
        first = next(line for line in text.splitlines() if 'File "' in line)
        assert "script.py" in first, (name, text)
        assert "concurrence/workers" not in text, (name, text)
        assert len(text) <= 70_000, name
    assert "direct cause" in shown["caused"]
    assert shown["caused"].count("in deeper") == 1
    assert "During handling" in shown["in_context"]
    assert "look here" in shown["noted"]
    assert "in deeper" in shown["grouped"]
    assert "look here" in shown["grouped"]
    assert "unwell.py" in shown["lazily"]
    assert "SyntaxError" in shown["lazily"]
    assert "more times" in shown["endless"]
    for name, line in (("closure", "{}[key]"), ("<lambda>", '{}["missing"]')):
        assert f"in {name}" in shown[name]
        assert line in shown[name]
    assert shown["mutual"].rstrip().endswith("maximum recursion depth exceeded")


def test_a_traceback_is_printed_once(swarm: Swarm) -> None:
    folder = swarm.folder / "client"
    folder.mkdir()
    (folder / "failing.py").write_text(
        PLAIN.format(task="raise ValueError('wrong')", handler="super().task_finished(task, result, error)")
    )
    for where in (["--workers", "1"], ["--inline"]):
        program = swarm.command("run", "failing.py", *where)
        assert program.finish() == 1, str(program)
        assert program.output.count("Traceback (most recent call last)") == 1, str(program)
        assert program.output.count("in __call__") == 1, str(program)
        assert "execution.py" not in program.output


def test_json_logs_of_a_run_tell_the_task(swarm: Swarm) -> None:
    folder = swarm.folder / "client"
    folder.mkdir()
    talk = "import logging; print('printed'); logging.getLogger('mine').error('logged')"
    fail = "super().task_finished(task, result, ValueError('wrong'))"
    (folder / "talking.py").write_text(PLAIN.format(task=talk, handler=fail))
    program = swarm.command("run", "talking.py", "--workers", "1", "--set", "logging.format=json", "--quiet")
    assert program.finish() == 1, str(program)
    lines = [json.loads(line) for line in program.output.splitlines() if line.startswith("{")]
    printed, logged, failed = sorted(
        lines,
        key=lambda each: (
            ("printed", "logged").index(each["message"]) if each["message"] in ("printed", "logged") else 9
        ),
    )
    assert (printed["task"], printed["level"], printed["node"]) == ("one", "INFO", "client")
    assert printed["slave"]
    assert (logged["task"], logged["level"], logged["source"]) == ("one", "ERROR", "mine")
    assert "wrong" in failed["message"]


LOGGING = "import logging; print('printed'); logging.getLogger('mine').{level}('logged')"


def test_what_is_logged_inline_is_told_as_what_comes_from_workers(swarm: Swarm) -> None:
    folder = swarm.folder / "client"
    folder.mkdir()
    talk, system = LOGGING.format(level="info"), "master.log.info('counted')"
    (folder / "talking.py").write_text(SYSTEM.format(task=talk, handler=system))
    program = swarm.command("run", "talking.py", "--inline")
    assert program.finish() == 0, str(program)
    assert [program.output.count(line) for line in ("INFO mine: logged\n", "INFO system.Whole: counted\n")] == [
        1,
        1,
    ]
    program = swarm.command("run", "talking.py", "--inline", "--set", "logging.format=json", "--quiet")
    assert program.finish() == 0, str(program)
    lines = [json.loads(line) for line in program.output.splitlines() if line.startswith("{")]
    logged, counted = lines
    assert (logged["task"], logged["level"], logged["source"], logged["message"]) == (
        "one",
        "INFO",
        "mine",
        "logged",
    )
    assert (counted["source"], counted["message"]) == ("system.Whole", "counted")


def test_logging_of_the_script_itself_is_left_as_it_is(swarm: Swarm) -> None:
    (swarm.folder / "client").mkdir()
    (swarm.folder / "client" / "script.py").write_text("""
import logging, concurrence

def talk(level):
    logging.getLogger("mine").log(level, f"at {level}")

with concurrence.local_swarm(inline=True) as swarm:
    swarm.submit(talk, logging.INFO).result()
    logging.getLogger("mine").info("of the script")
    logging.basicConfig(level=logging.ERROR, format="own %(message)s")
    swarm.submit(talk, logging.WARNING).result()
    swarm.submit(talk, logging.ERROR).result()
""")
    program = swarm.start("script.py")
    assert program.finish() == 0, str(program)
    assert program.output == "INFO mine: at 20\nown at 40\n"


def _script(swarm: Swarm, text: str) -> Any:
    folder = swarm.folder / "client"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "script.py").write_text(text, "utf-8")
    return swarm.start("script.py").ends_well()


MANY = """
from concurrence import ApplicationNode, ITaskSystem, Task

class One(Task):
    def __call__(self):
        {task}

class Whole(ITaskSystem):
    def generate_tasks(self, master):
        return [One(str(n)) for n in range(20)]

    def task_finished(self, master, task, result, error):
        {system}

    def gather_result(self, master):
        return None

class Plain(ApplicationNode):
    def start_processing(self):
        self.push_tasks([One(str(n)) for n in range(20)])

    def task_finished(self, task, result, error):
        {handler}

class Systems(ApplicationNode):
    def get_task_system(self):
        return Whole()
"""


@pytest.mark.parametrize(
    ("app", "where"),
    [("Plain", "task"), ("Plain", "handler"), ("Systems", "task"), ("Systems", "system")],
)
def test_quitting_the_debugger_ends_an_inline_run(tmp_path: Path, app: str, where: str) -> None:
    places = {"task": "pass", "handler": "pass", "system": "pass", where: "breakpoint()"}
    (tmp_path / "quitting.py").write_text(MANY.format(**places))
    terminal = Terminal(["-m", "concurrence.cli.main", "run", f"quitting.py:{app}", "--inline"], tmp_path)
    try:
        terminal.expect("(Pdb) ")
        terminal.type("q")
        assert terminal.finish() == 130, terminal.text
        assert terminal.text.count("(Pdb) ") == 1
        assert "Traceback" not in terminal.text
    finally:
        terminal.close()
