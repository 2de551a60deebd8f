"""The worker processes of a slave: carries out what the state machine says, and tells it what happens to them."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial

from concurrence.errors import ProtocolError, WorkerStartFailed
from concurrence.transport.api import IReactor, ITimer
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import (
    CANCELLED,
    Bye,
    ChildExited,
    ChunkResults,
    FromWorker,
    Output,
    ToWorker,
    WorkerGrown,
    WorkerReady,
)
from concurrence.workers.api import Upstream
from concurrence.workers.cell import INTERRUPT
from concurrence.workers.guard import Guard
from concurrence.workers.handle import ENTRY, NOTICE, WorkerHandle, WorkerSettings
from concurrence.workers.machine import Machine
from concurrence.workers.processes import Template, describe_exit
from concurrence.workers.raw_output import log_fields, writer_of
from concurrence.workers.slot_state import (
    DismissWorker,
    Instruction,
    InterruptTask,
    KillWorker,
    Seen,
    SendToWorker,
    SendUpstream,
    StartWorker,
    StopChunk,
)
from concurrence.workers.slots import Slots
from concurrence.workers.watching import Watch

_SILENCE = 0.02  # a worker that says nothing for so long may hold finished results behind a long task
_FAREWELL = 2.0  # how long a worker that was replaced may take to end by itself
_GOODBYE = 0.5  # how long workers may take to end by themselves
_END = 3.0  # how long the template may take to kill what is left

_log = logging.getLogger(__name__)


class WorkerPool:
    """The template, the workers that it forks, and their links. All of it is for the poll loop's own thread.

    Args:
        slots: The state machine.
        reactor: The slave's poll loop.
        slave: The slave's name.
        upstream: Where messages for the master go.
        on_changed: Called after every event.
        settings: How workers are to be.

    Attributes:
        is_stopped: Whether it was not started, or was stopped.
    """

    def __init__(
        self,
        slots: Slots,
        reactor: IReactor,
        slave: str,
        upstream: Upstream,
        on_changed: Callable[[], None],
        settings: WorkerSettings,
    ) -> None:
        self._slots = slots
        self._reactor = reactor
        self._slave = slave
        self._upstream = upstream
        self._on_changed = on_changed
        self._workers: dict[int, WorkerHandle] = {}
        self._watch: ITimer | None = None
        self._flush: ITimer | None = None
        self.is_stopped = True
        self._settings = settings
        machine = Machine()
        self._guard = Guard(reactor, Watch(settings.watch, machine), machine, self._kill)
        self._template = Template(
            reactor,
            preload=[ENTRY.partition(":")[0]],
            on_started=self._on_started,
            on_exited=self._on_exited,
            on_died=self._on_template_died,
            folders=settings.folder,
        )

    @property
    def template_pid(self) -> int | None:
        """The process that forks the workers; None unless it runs."""
        return None if self.is_stopped else self._template.pid

    def start(self) -> None:
        """Start the template and all workers.

        Raises:
            WorkerStartFailed: The template process could not be started.
        """
        self._template.start()
        self.is_stopped = False
        self.apply(self._slots.start())

    def stop(self) -> None:
        """End all workers and leave nothing behind; returns when they are gone, within five seconds."""
        if self.is_stopped:
            return
        self.is_stopped = True
        self._guard.close()
        for timer in (self._watch, self._flush):
            if timer is not None:
                timer.cancel()
        for worker in self._workers.values():
            running = worker.cell.running()
            if running is not None and running.index is not None:
                # Its result goes nowhere: the task runs again elsewhere. But it may clean up.
                worker.cell.interrupt(running.chunk, running.index, CANCELLED)
                self._template.signal_alone(worker.number, INTERRUPT)
            worker.outbox = [Parcel(Bye())]
            worker.flush()
        deadline = time.monotonic() + _GOODBYE
        while self._workers and (left := deadline - time.monotonic()) > 0:
            self._template.wait(left)
        self._template.stop(_END)
        for worker in list(self._workers.values()):
            self._close(worker)

    # --- instructions --------------------------------------------------------------------------------------

    def apply(self, instructions: list[Instruction]) -> None:
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
                    self._kill(number)
                case DismissWorker(number):
                    self._dismiss(number)
                case InterruptTask(number, chunk, index, status):
                    if self._workers[number].cell.interrupt(chunk, index, status):
                        self._template.signal_alone(number, INTERRUPT)
                case StopChunk(number, chunk):
                    self._stop_chunk(number, chunk)
        self._on_changed()

    def _post(self, number: int, parcels: Sequence[Parcel[ToWorker]]) -> None:
        worker = self._workers[number]
        worker.outbox.extend(parcels)
        if self._flush is None:
            self._flush = self._reactor.call_later(0.0, self._flush_all)
        self._keep_watch()
        self._guard.wake(self._workers, self._slots.states)

    def _kill(self, number: int) -> None:
        self._template.signal_child(number, signal.SIGKILL)

    def _dismiss(self, number: int) -> None:
        """Let a worker end that has nothing to do; a task may have left a thread that does not."""
        self._workers[number].outbox.append(Parcel(Bye()))
        if self._flush is None:
            self._flush = self._reactor.call_later(0.0, self._flush_all)
        self._reactor.call_later(_FAREWELL, lambda: self._kill(number))

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
        if self.is_stopped:
            return
        try:
            if self._template.pid is None:
                self._template.start()
            worker = WorkerHandle(number, self._slave, self._template, self._settings)
        except (OSError, WorkerStartFailed) as error:
            _log.error("worker %d cannot be started and will be tried again: %s", number, error)
            self.apply(self._slots.worker_exited(number, Seen(), str(error), 0, ""))
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
                self.apply(self._slots.worker_results(worker.number, Parcel(message, parcel.frames)))
            case Output() as message:
                self._tell(worker, [message])
            case WorkerReady():
                self.apply(self._slots.worker_ready(worker.number))
            case WorkerGrown(resident=used):
                _log.info("worker %d holds %.0f MB between two chunks; it is replaced", worker.number, used / 1e6)
                self.apply(self._slots.worker_worn(worker.number))

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
            state = self._slots.states.get(worker.number)
            if state is None or not state.is_dismissed:
                self._kill(worker.number)

    def _look_at_silent(self) -> None:
        self._watch = None
        now = self._reactor.now()
        for worker in list(self._workers.values()):
            # One that talks all the time may be beyond its time-out all the same.
            is_silent = now - worker.heard >= _SILENCE and self._holds_more(worker)
            if worker.stops or is_silent or self._has_timeout(worker):
                self._look(worker)
        if any(
            worker.stops or self._holds_more(worker) or self._has_timeout(worker)
            for worker in self._workers.values()
        ):
            self._keep_watch()
        self._flush_all()

    def _holds_more(self, worker: WorkerHandle) -> bool:
        state = self._slots.states.get(worker.number)
        if state is None:
            return False
        return len(state.chunks) > 1 or any(chunk.count > 1 for chunk in state.chunks)

    def _has_timeout(self, worker: WorkerHandle) -> bool:
        state = self._slots.states.get(worker.number)
        return state is not None and any(chunk.has_timeout for chunk in state.chunks)

    def _look(self, worker: WorkerHandle) -> None:
        """See how far a worker is, whether or not it has the time to tell."""
        if self._workers.get(worker.number) is not worker:
            return
        self.apply(self._slots.worker_seen(worker.number, self._seen(worker)))
        state = self._slots.states.get(worker.number)
        if worker.stops and state is not None:
            worker.forget_stops([chunk.number for chunk in state.chunks])

    def _seen(self, worker: WorkerHandle) -> Seen:
        # In this order: what is over according to the cell has then been read from the link.
        seen = worker.look(self._reactor.now())
        while worker.is_open and self._read(worker):
            continue
        return seen

    def _on_started(self, number: int, pid: int) -> None:
        worker = self._workers.get(number)
        if worker is not None:
            worker.pid = pid

    def _on_exited(self, exited: ChildExited) -> None:
        worker = self._workers.get(exited.number)
        if worker is None:
            return
        if self.is_stopped:
            self._close(worker)
            return
        text = f"worker process {exited.pid} {describe_exit(exited.code)}"
        self._lose(worker, self._guard.describe(worker, exited.code, text), exited.peak_memory)

    def _on_template_died(self, text: str) -> None:
        if self.is_stopped:
            return
        _log.error("the template process of the workers %s; its workers die with it and are replaced", text)
        for worker in list(self._workers.values()):
            self._lose(worker, f"the template process of the workers {text}", 0)

    def _lose(self, worker: WorkerHandle, text: str, peak: int) -> None:
        seen = self._seen(worker)
        self._take_raw(worker, seen.chunk, seen.index, is_over=True)
        self._close(worker)
        state = self._slots.states.get(worker.number)
        expected = state is not None and (state.is_killed or state.is_retired)
        level = logging.INFO if expected else logging.WARNING
        about = log_fields(self._slave, writer_of(state, seen.chunk, seen.index))
        _log.log(level, "worker %d is replaced: %s", worker.number, text, extra=about)
        output = worker.last_output()
        if worker.used.chunk == seen.chunk:
            peak = max(peak, worker.used.size)
        self.apply(self._slots.worker_exited(worker.number, seen, text, peak, output))
        self._flush_all()

    def _close(self, worker: WorkerHandle) -> None:
        if worker.link.fileno() >= 0:
            self._reactor.unregister(worker.link.fileno())
        if worker.raw.is_open:
            self._reactor.unregister(worker.raw.fileno())
        worker.close()
        del self._workers[worker.number]
