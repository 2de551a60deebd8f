# ruff: noqa: T201  # printing is what is tested here
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import travelling
from travelling import Outcome, Worker

from concurrence.tasks.bundles import BundleCollector
from concurrence.tasks.functions import FunctionTask
from concurrence.tasks.packing import TaskPacker
from concurrence.wire.messages import ChunkResults


def run_calls(function: Any, *arguments: tuple[Any, ...], worker: Worker | None = None) -> list[Outcome]:
    packer = TaskPacker(BundleCollector())
    calls = [packer.pack(FunctionTask(function, args)) for args in arguments]
    return (worker or Worker()).run(calls)


def run_one(function: Any, *args: Any, worker: Worker | None = None) -> Outcome:
    [outcome] = run_calls(function, args, worker=worker)
    return outcome


def test_output_is_attributed_and_kept_with_the_fault(capsys: pytest.CaptureFixture[str]) -> None:
    def speak(text: str) -> None:
        print(text)
        if text == "bad":
            raise ValueError(text)

    worker = Worker()
    worker.output.install()
    try:
        outcomes = run_calls(speak, ("good",), ("bad",), worker=worker)
    finally:
        worker.output.uninstall()
    assert [(output.counter, output.text) for output in worker.written] == [(0, "good"), (1, "bad")]
    assert [output.name.rpartition(".")[2] for output in worker.written] == ["speak('good')", "speak('bad')"]
    assert outcomes[1].fault.output == "bad"
    assert isinstance(worker.sent[-1].message, ChunkResults)
    assert capsys.readouterr().out == ""


def test_a_process_that_a_task_forks_does_not_write_on_the_workers_link() -> None:
    script = """
import os, sys
import travelling
from concurrence.tasks.bundles import BundleCollector
from concurrence.tasks.functions import FunctionTask
from concurrence.tasks.packing import TaskPacker
def fork():
    child = os.fork()
    if child == 0:
        print("from the child", flush=True)
        return 1
    os.waitpid(child, 0)
    return 2
worker = travelling.Worker()
worker.output.install()
parent = os.getpid()
outcomes = worker.run([TaskPacker(BundleCollector()).pack(FunctionTask(fork))])
if os.getpid() != parent:
    assert not worker.sent
    os._exit(0)
worker.output.uninstall()
assert [one.value for one in outcomes] == [2] and not worker.written, worker.sent
"""
    here = Path(travelling.__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": f"{here.parents[1] / 'src'}:{here}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "from the child\n"


def test_a_worker_does_not_import_what_it_does_not_need() -> None:
    forbidden = ("typer", "rich", "zmq", "importlib.metadata", "pickletools", "concurrence.tasks.bundles", "numpy")
    script = (
        "import sys, concurrence.workers.execution, concurrence.workers.output;"
        f"print([name for name in {forbidden!r} if name in sys.modules])"
    )
    source = Path(travelling.__file__).resolve().parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_faults_can_be_decoded_whatever_the_task_printed() -> None:
    def speak() -> None:
        print("\udc80" * 3)
        raise ValueError

    worker = Worker()
    worker.output.install()
    try:
        outcome = run_one(speak, worker=worker)
    finally:
        worker.output.uninstall()
    assert outcome.fault.output == "\\udc80" * 3
    assert msgspec.msgpack.encode(outcome.fault)


_FORKING = """
import os, sys
import travelling
from concurrence.tasks.bundles import BundleCollector
from concurrence.tasks.functions import FunctionTask
from concurrence.tasks.packing import TaskPacker
def fork(how):
    child = os.fork()
    if child == 0:
        print("child", how)
        if how == "exit":
            sys.exit(5)
        if how == "text":
            sys.exit("a reason")
        if how == "raise":
            raise ValueError("in the child")
        return how
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
parent = os.getpid()
worker = travelling.Worker()
worker.output.install()
packer = TaskPacker(BundleCollector())
hows = ["return", "exit", "text", "raise"]
outcomes = worker.run([packer.pack(FunctionTask(fork, (how,))) for how in hows])
if os.getpid() != parent:
    os._exit(99)
worker.output.uninstall()
print([one.value for one in outcomes])
"""


def test_a_process_that_a_task_forks_never_comes_back_into_the_worker() -> None:
    here = Path(travelling.__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", _FORKING],
        env={"PYTHONPATH": f"{here.parents[1] / 'src'}:{here}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "child return",
        "child exit",
        "child text",
        "child raise",
        "[0, 5, 1, 1]",
    ]
    assert "a reason" in done.stderr
    assert "ValueError: in the child" in done.stderr
