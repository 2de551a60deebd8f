"""The task manager of heterogeneous swarms: runs what the master sends to this slave.

The one of homogeneous swarms, :mod:`concurrence.workers.zmq`, does that too: it fits every master.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Sequence
from functools import partial

from concurrence.component import Component, ComponentManager
from concurrence.env.options import IntOption
from concurrence.errors import ConfigError, ProtocolError, WorkerStartFailed
from concurrence.transport.api import IReactor, ITimer, IWorkSource
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import (
    Assign,
    Bye,
    ChildExited,
    ChunkResults,
    DefineBundle,
    DefineFunction,
    Drain,
    ForgetFunction,
    FromWorker,
    Output,
    TakeBack,
    ToSlave,
    ToWorker,
    WorkerReady,
)
from concurrence.workers.api import ITaskManager, Upstream
from concurrence.workers.handle import ENTRY, NOTICE, WorkerHandle
from concurrence.workers.processes import Template, describe_exit
from concurrence.workers.raw_output import log_fields, writer_of
from concurrence.workers.slot_state import (
    Instruction,
    KillWorker,
    Seen,
    SendToWorker,
    SendUpstream,
    StartWorker,
    StopChunk,
)
from concurrence.workers.slots import WINDOW, Slots

_SILENCE = 0.02  # a worker that says nothing for so long may hold finished results behind a long task
_GOODBYE = 0.5  # how long workers may take to end by themselves
_END = 3.0  # how long the template may take to kill what is left

_log = logging.getLogger(__name__)


class GenericTaskManager(Component, ITaskManager):
    """Runs the chunks that the master sends to this slave, in worker processes forked from a template.

    Args:
        manager: The manager that the component belongs to.
    """

    worker_count = IntOption(
        "taskmanager", "workers", 0, doc="Worker processes of this slave; 0 for one per core it may use.", min=0
    )

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self._slots = Slots(self.worker_count or available_cores())
        self._workers: dict[int, WorkerHandle] = {}
        self._upstream: Upstream = _nowhere
        self._slave = ""
        self._watch: ITimer | None = None
        self._flush: ITimer | None = None
        self._is_stopped = True

    # --- for the slave node --------------------------------------------------------------------------------

    def start(self, reactor: IReactor, slave: str, upstream: Upstream) -> None:
        """Start the workers; see :class:`~concurrence.workers.api.ITaskManager`."""
        self._reactor = reactor
        self._slave = slave
        self._upstream = upstream
        self._template = Template(
            reactor,
            preload=[ENTRY.partition(":")[0]],
            on_started=_ignore_start,
            on_exited=self._on_exited,
            on_died=self._on_template_died,
        )
        self._template.start()
        self._is_stopped = False
        self._apply(self._slots.start())

    @property
    def workers(self) -> int:
        """The number of worker processes."""
        return self._slots.workers

    @property
    def credit(self) -> int:
        """How many chunks it takes at once, running and waiting."""
        return WINDOW * self._slots.workers

    @property
    def chunks(self) -> list[int]:
        """The numbers of the chunks that are here."""
        return self._slots.chunks

    @property
    def held(self) -> int:
        """How many chunks are here."""
        return self._slots.held

    @property
    def template_pid(self) -> int | None:
        """The process that forks the workers; None unless it runs."""
        return None if self._is_stopped else self._template.pid

    def handle(self, parcel: Parcel[ToSlave]) -> None:
        """A message from the master; those that are not for a task manager are passed over."""
        frames = parcel.frames
        match parcel.message:
            case Assign() as message:
                self._apply(self._slots.assign(Parcel(message, frames)))
            case DefineFunction() as message:
                self._apply(self._slots.define(Parcel(message, frames)))
            case DefineBundle() as message:
                self._apply(self._slots.define(Parcel(message, frames)))
            case ForgetFunction() as message:
                self._apply(self._slots.forget(Parcel(message, frames)))
            case TakeBack() as message:
                self._apply(self._slots.take_back(message.chunk, kill=message.kill))
            case Drain() as message:
                self._apply(self._slots.drain(is_on=message.is_on))
            case _:
                return

    def attach(self, source: IWorkSource | None) -> None:
        """What is on a work queue is not for this manager, and a slave that only connects to one gets stuck.

        Raises:
            ConfigError: The master has a work queue.
        """
        if source is not None:
            raise ConfigError(
                f"the task manager {type(self).__name__} runs what the master sends to this slave, but the task "
                "scheduler of this master puts work on a queue from which slaves pull",
                hint='Either set [slavenode] task_manager = "ZMQTaskManager" on the slave, or [masternode] '
                'task_scheduler = "GenericTaskScheduler" on the master.',
            )

    def abandon(self) -> None:
        """The master does not know this slave any more: drop and kill what runs for it."""
        self._apply(self._slots.abandon())

    def stop(self) -> None:
        """End all workers and leave nothing behind; returns when they are gone, within five seconds."""
        if self._is_stopped:
            return
        self._is_stopped = True
        for timer in (self._watch, self._flush):
            if timer is not None:
                timer.cancel()
        for worker in self._workers.values():
            worker.outbox = [Parcel(Bye())]
            worker.flush()
        deadline = time.monotonic() + _GOODBYE
        while self._workers and (left := deadline - time.monotonic()) > 0:
            self._template.wait(left)
        self._template.stop(_END)
        for worker in list(self._workers.values()):
            self._close(worker)

    # --- instructions --------------------------------------------------------------------------------------

    def _apply(self, instructions: list[Instruction]) -> None:
        """Carry out what the state machine says; what goes to workers leaves at the end of the cycle."""
        for instruction in instructions:
            match instruction:
                case SendUpstream(parcel):
                    self._upstream(parcel)
                case SendToWorker(number, parcels):
                    self._post(number, parcels)
                case StartWorker(number, delay):
                    self._start_worker(number, delay)
                case KillWorker(number):
                    self._template.signal_child(number, signal.SIGKILL)
                case StopChunk(number, chunk):
                    self._stop_chunk(number, chunk)
        self._changed()

    def _changed(self) -> None:
        """Hook: called after every event."""

    def _post(self, number: int, parcels: Sequence[Parcel[ToWorker]]) -> None:
        worker = self._workers[number]
        worker.outbox.extend(parcels)
        if self._flush is None:
            self._flush = self._reactor.call_later(0.0, self._flush_all)
        self._keep_watch()

    def _keep_watch(self) -> None:
        if self._watch is None:
            self._watch = self._reactor.call_later(_SILENCE, self._look_at_silent)

    def _flush_all(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        for worker in self._workers.values():
            if worker.outbox:
                worker.flush()
                if worker.link.wants_write:
                    self._reactor.watch_writable(worker.link.fileno(), partial(self._on_writable, worker))

    def _on_writable(self, worker: WorkerHandle) -> None:
        worker.link.flush()
        if worker.link.fileno() >= 0 and not worker.link.wants_write:
            self._reactor.watch_writable(worker.link.fileno(), None)

    def _start_worker(self, number: int, delay: float) -> None:
        if delay:
            self._reactor.call_later(delay, lambda: self._launch(number))
        else:
            self._launch(number)

    def _launch(self, number: int) -> None:
        if self._is_stopped:
            return
        try:
            if self._template.pid is None:
                self._template.start()
            worker = WorkerHandle(number, self._slave, self._template)
        except (OSError, WorkerStartFailed) as error:
            _log.error("worker %d cannot be started and will be tried again: %s", number, error)
            self._apply(self._slots.worker_exited(number, Seen(), str(error), 0, ""))
            return
        self._workers[number] = worker
        self._reactor.register(worker.link.fileno(), lambda: self._on_readable(worker))
        self._reactor.register(worker.raw.fileno(), lambda: self._on_raw(worker))

    def _stop_chunk(self, number: int, chunk: int) -> None:
        worker = self._workers[number]
        if chunk not in worker.stops:
            worker.cell.stop_at(chunk)
            worker.stops[chunk] = self._reactor.now()
            self._reactor.call_later(NOTICE, lambda: self._look(worker))
        self._keep_watch()

    # --- events --------------------------------------------------------------------------------------------

    def _on_readable(self, worker: WorkerHandle) -> None:
        self._read(worker)
        self._flush_all()

    def _read(self, worker: WorkerHandle) -> bool:
        """Take a share of what a worker sent; whether there was anything."""
        try:
            parcels = self._received(worker)
            for parcel in parcels:
                self._take(worker, parcel)
        except ProtocolError as error:
            _log.warning("worker %d is killed: %s", worker.number, error, extra={"slave": self._slave})
            self._give_up(worker)
            return False
        if not worker.is_open:
            self._give_up(worker)
        return bool(parcels)

    def _received(self, worker: WorkerHandle) -> list[Parcel[FromWorker]]:
        try:
            return worker.receive(self._reactor.now())
        except MemoryError as error:
            raise ProtocolError("there is no memory for what it sends") from error

    def _take(self, worker: WorkerHandle, parcel: Parcel[FromWorker]) -> None:
        match parcel.message:
            case ChunkResults() as message:
                self._take_raw(worker, message.chunk, is_over=True)
                self._apply(self._slots.worker_results(worker.number, Parcel(message, parcel.frames)))
            case Output() as message:
                self._tell(worker, [message])
            case WorkerReady():
                self._apply(self._slots.worker_ready(worker.number))

    def _on_raw(self, worker: WorkerHandle) -> None:
        running = worker.cell.running()
        chunk, index = (running.chunk, running.index) if running is not None else (None, None)
        self._take_raw(worker, chunk, index)

    def _take_raw(
        self, worker: WorkerHandle, chunk: int | None, index: int | None = None, *, is_over: bool = False
    ) -> None:
        """Pass on what came from a worker's descriptors, on behalf of the task that it is at."""
        raw = worker.raw
        outputs = raw.read(lambda: writer_of(self._slots.states.get(worker.number), chunk, index))
        if not raw.is_open:
            self._reactor.unregister(raw.fileno())  # harmless if that was done before
        self._tell(worker, [*outputs, *raw.end()] if is_over else outputs)

    def _tell(self, worker: WorkerHandle, outputs: Sequence[Output]) -> None:
        for output in outputs:
            worker.keep_output(output)
            self._upstream(Parcel(output))

    def _give_up(self, worker: WorkerHandle) -> None:
        """Nothing more comes from a worker. It is killed if it still lives, and its end tells the rest."""
        if worker.link.fileno() >= 0:
            self._reactor.unregister(worker.link.fileno())
            worker.link.close()
            self._template.signal_child(worker.number, signal.SIGKILL)

    def _look_at_silent(self) -> None:
        self._watch = None
        now = self._reactor.now()
        for worker in list(self._workers.values()):
            if worker.stops or (now - worker.heard >= _SILENCE and self._holds_more(worker)):
                self._look(worker)
        if any(worker.stops or self._holds_more(worker) for worker in self._workers.values()):
            self._keep_watch()
        self._flush_all()

    def _holds_more(self, worker: WorkerHandle) -> bool:
        state = self._slots.states.get(worker.number)
        if state is None:
            return False
        return len(state.chunks) > 1 or any(chunk.count > 1 or chunk.has_timeout for chunk in state.chunks)

    def _look(self, worker: WorkerHandle) -> None:
        """See how far a worker is, whether or not it has the time to tell."""
        if self._workers.get(worker.number) is not worker:
            return
        self._apply(self._slots.worker_seen(worker.number, self._seen(worker)))
        state = self._slots.states.get(worker.number)
        if worker.stops and state is not None:
            worker.forget_stops([chunk.number for chunk in state.chunks])

    def _seen(self, worker: WorkerHandle) -> Seen:
        # In this order: what is over according to the cell has then been read from the link.
        seen = worker.look(self._reactor.now())
        while worker.is_open and self._read(worker):
            continue
        return seen

    def _on_exited(self, exited: ChildExited) -> None:
        worker = self._workers.get(exited.number)
        if worker is None:
            return
        if self._is_stopped:
            self._close(worker)
            return
        text = f"worker process {exited.pid} {describe_exit(exited.code)}"
        self._lose(worker, text, exited.peak_memory)

    def _on_template_died(self, text: str) -> None:
        if self._is_stopped:
            return
        _log.error("the template process of the workers %s; its workers die with it and are replaced", text)
        for worker in list(self._workers.values()):
            self._lose(worker, f"the template process of the workers {text}", 0)

    def _lose(self, worker: WorkerHandle, text: str, peak: int) -> None:
        seen = self._seen(worker)
        self._take_raw(worker, seen.chunk, seen.index, is_over=True)
        self._close(worker)
        state = self._slots.states.get(worker.number)
        expected = state is not None and state.is_killed
        level = logging.INFO if expected else logging.WARNING
        about = log_fields(self._slave, writer_of(state, seen.chunk, seen.index))
        _log.log(level, "worker %d is replaced: %s", worker.number, text, extra=about)
        output = worker.last_output()
        self._apply(self._slots.worker_exited(worker.number, seen, text, peak, output))
        self._flush_all()

    def _close(self, worker: WorkerHandle) -> None:
        if worker.link.fileno() >= 0:
            self._reactor.unregister(worker.link.fileno())
        if worker.raw.is_open:
            self._reactor.unregister(worker.raw.fileno())
        worker.close()
        del self._workers[worker.number]


def available_cores() -> int:
    """The processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _ignore_start(_number: int, _pid: int) -> None:
    """A worker says itself when it is ready."""


def _nowhere(parcel: Parcel[object]) -> None:
    raise RuntimeError(f"a task manager that was not started has something to say: {parcel.message}")
