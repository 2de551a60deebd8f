"""Runs tasks in another process, in an empty folder: what a slave does, without a swarm around it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

from concurrence.tasks.api import Task
from concurrence.tasks.bundles import BundleCollector
from concurrence.tasks.loading import FunctionLoader
from concurrence.tasks.packing import PackedCall, PackedFunction, TaskPacker, rebuild_exception, unpack_result
from concurrence.wire.codec import Frame, Parcel, decode_results, encode_tasks
from concurrence.wire.faults import Fault, decode_fault
from concurrence.wire.messages import FINISHED, Assign, ChunkResults, DefineFunction, Output, PackedTask
from concurrence.workers.execution import Executor
from concurrence.workers.output import OutputCapture


class FreeCell:
    """A cell with nobody on the other side."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.stop_at: int | None = None
        self.room = 1 << 30

    def begin_chunk(self, chunk: int) -> None:
        self.log.append(("chunk", chunk))

    def begin(self, index: int) -> bool:
        self.log.append(("begin", index))
        return self.stop_at is None or index < self.stop_at

    def record(self, counter: int, status: int, payload: bytes) -> bool:
        if len(payload) > self.room:
            return False
        self.room -= len(payload)
        self.log.append(("record", counter, status))
        return True

    def clear(self) -> None:
        self.log.append(("clear",))


class Outcome(NamedTuple):
    """How one task ended."""

    counter: int
    status: int
    payload: bytes
    buffers: list[Frame]

    @property
    def value(self) -> Any:
        assert self.status == FINISHED, self.fault
        return unpack_result(self.payload, self.buffers)

    @property
    def fault(self) -> Fault:
        return decode_fault(self.payload)

    @property
    def exception(self) -> BaseException | None:
        return rebuild_exception(self.fault)


class Worker:
    """An executor with everything it needs, in this process."""

    def __init__(self) -> None:
        self.cell = FreeCell()
        self.output = OutputCapture("s1")
        self.loader = FunctionLoader()
        self.executor = Executor(self.cell, self.loader, self.output)
        self.sent: list[Parcel[Any]] = []
        self._numbers: dict[bytes, int] = {}

    def define(self, function: PackedFunction) -> int:
        if function.digest not in self._numbers:
            self._numbers[function.digest] = len(self._numbers)
            for bundle in function.bundles:
                self.executor.define_bundle(bundle.digest, bundle.blob)
            message = definition(self._numbers[function.digest], function)
            self.executor.define_function(Parcel(message, [function.blob]))
        return self._numbers[function.digest]

    def run(self, calls: Sequence[PackedCall], *, chunk: int = 1, system: int = 7) -> list[Outcome]:
        """Run the calls, which are of one function, as one chunk."""
        number = self.define(calls[0].function)
        packed = [PackedTask(i, call.arguments, len(call.buffers)) for i, call in enumerate(calls)]
        frames: list[Frame] = [encode_tasks(packed)]
        frames.extend(memoryview(bytes(buffer)) for call in calls for buffer in call.buffers)
        self.sent.clear()
        message = Assign(len(frames), chunk, system, number, 1, len(calls))
        self.executor.run(Parcel(message, frames), self.sent.append)
        return self.outcomes()

    def outcomes(self) -> list[Outcome]:
        found: list[Outcome] = []
        for parcel in self.sent:
            message = parcel.message
            if not isinstance(message, ChunkResults):
                continue
            assert message.frames == len(parcel.frames)
            assert message.busy >= 0
            results = decode_results(parcel.frames)
            assert len(results) == len(message.counters) == len(message.statuses)
            position = 1
            for counter, status, result in zip(message.counters, message.statuses, results, strict=True):
                buffers = [bytes(frame) for frame in parcel.frames[position : position + result.buffers]]
                position += result.buffers
                found.append(Outcome(counter, status, result.payload, list(buffers)))
        return found

    @property
    def written(self) -> list[Output]:
        return [parcel.message for parcel in self.sent if isinstance(parcel.message, Output)]


def definition(number: int, function: PackedFunction) -> DefineFunction:
    return DefineFunction(
        1,
        number,
        function.digest,
        function.name,
        function.kind,
        function.python,
        [bundle.digest for bundle in function.bundles],
        function.requirements,
    )


def run_there(*tasks: Task) -> list[Outcome]:
    """Pack the tasks here, run each as a chunk of its own in a new process with an empty folder."""
    packer = TaskPacker(BundleCollector())
    calls = [packer.pack(task) for task in tasks]
    plain = [(call.function, call.arguments, [bytes(buffer) for buffer in call.buffers]) for call in calls]
    path = os.pathsep.join(part for part in sys.path if part.endswith(("src", "unit", "site-packages")))
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [sys.executable, "-c", "import travelling; travelling.serve()"],
            input=pickle.dumps(plain),
            cwd=empty,
            env={"PYTHONPATH": path, "PATH": os.environ.get("PATH", "")},
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr.decode()
    return [Outcome(*outcome) for outcome in pickle.loads(done.stdout)]


def serve() -> None:
    """The other process of :func:`run_there`."""
    worker = Worker()
    outcomes: list[tuple[Any, ...]] = []
    for function, arguments, buffers in pickle.loads(sys.stdin.buffer.read()):
        outcomes += [tuple(one) for one in worker.run([PackedCall(function, arguments, buffers)])]
    sys.stdout.buffer.write(pickle.dumps(outcomes))
