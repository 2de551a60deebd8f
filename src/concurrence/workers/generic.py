"""The task manager of heterogeneous swarms: runs what the master sends to this slave.

The one of homogeneous swarms, :mod:`concurrence.workers.zmq`, does that too: it fits every master.
"""

from __future__ import annotations

from concurrence.component import Component, ComponentManager
from concurrence.env.options import BoolOption, ByteSizeOption, DurationOption, IntOption, StrOption
from concurrence.errors import ConfigError
from concurrence.transport.api import IReactor, IWorkSource
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import (
    Assign,
    DefineBundle,
    DefineFunction,
    Drain,
    ForgetFunction,
    TakeBack,
    ToSlave,
)
from concurrence.workers.api import ITaskManager, Upstream
from concurrence.workers.cores import available_cores
from concurrence.workers.handle import WorkerSettings
from concurrence.workers.limit_options import MemoryLimitOption
from concurrence.workers.limits import SystemLimits, WatchLimits
from concurrence.workers.pool import WorkerPool
from concurrence.workers.slot_state import Instruction
from concurrence.workers.slots import WINDOW, Slots


class GenericTaskManager(Component, ITaskManager):
    """Runs the chunks that the master sends to this slave, in worker processes forked from a template.

    Args:
        manager: The manager that the component belongs to.
    """

    worker_count = IntOption(
        "taskmanager",
        "workers",
        0,
        doc="Worker processes of this slave; 0 for one per core it may use, by its affinity and the CPU quota of "
        "its container.",
        min=0,
    )

    kill_grace = DurationOption(
        "taskmanager",
        "kill_grace",
        0.5,
        doc="How long a task that was cancelled or exceeds its time-out has to clean up, from TaskInterrupted in "
        "it to the end of its worker; 0 to kill that at once.",
    )

    memory_limit = MemoryLimitOption(
        "taskmanager",
        "memory_limit",
        None,
        doc="How much memory a worker may use with all that its tasks start, before it is killed and its task is "
        'blamed. "auto": as much as there is; but when less than a twentieth of the memory of this machine, or of '
        "its control group, is left, the worker that uses most is killed, before the system kills something else. "
        "With a size, that too. 0: nobody watches.",
    )
    max_processes = IntOption(
        "taskmanager",
        "max_processes",
        1000,
        doc="How many processes a worker may have, with those that its tasks start, before it is killed and its "
        "task is blamed; 0 for any number. They are counted twice a second.",
        min=0,
    )
    max_tasks_per_worker = IntOption(
        "taskmanager",
        "max_tasks_per_worker",
        0,
        doc="After how many tasks a worker is replaced by a new one, between two chunks; 0 for never.",
        min=0,
    )
    max_growth = ByteSizeOption(
        "taskmanager",
        "max_growth",
        0,
        doc="A worker that holds so much more memory between two chunks than when it started is replaced by a new "
        "one; 0 for never.",
    )
    temp_folder = StrOption(
        "taskmanager",
        "temp_folder",
        "",
        doc="Where each worker gets a folder of its own for temporary files, which is removed with it; empty for "
        "the system's place.",
    )
    core_dumps = BoolOption(
        "taskmanager", "core_dumps", False, doc="Whether a worker that crashes may leave its memory in a file."
    )
    open_files = IntOption(
        "taskmanager",
        "open_files",
        0,
        doc="How many files and connections each process of a worker may have open; 0 for as many as the slave.",
        min=0,
    )
    address_space = ByteSizeOption(
        "taskmanager",
        "address_space",
        0,
        doc="How many addresses each process of a worker may use, touched or not (RLIMIT_AS); a task that asks "
        "for more gets a MemoryError. Numerical libraries reserve far more than they use. 0 for no limit.",
    )
    data_size = ByteSizeOption(
        "taskmanager",
        "data_size",
        0,
        doc="How much data of its own each process of a worker may have (RLIMIT_DATA); a task that asks for more "
        "gets a MemoryError. 0 for no limit.",
    )

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self._slots = Slots(
            self.worker_count or available_cores(), grace=self.kill_grace, max_tasks=self.max_tasks_per_worker
        )
        self._pool: WorkerPool | None = None

    # --- for the slave node --------------------------------------------------------------------------------

    def start(self, reactor: IReactor, slave: str, upstream: Upstream) -> None:
        """Start the workers; see :class:`~concurrence.workers.api.ITaskManager`."""
        self._reactor = reactor
        self._upstream = upstream
        self._pool = WorkerPool(self._slots, reactor, slave, upstream, self._changed, self._settings())
        self._pool.start()

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

    def left(self, chunk: int) -> list[int]:
        """The tasks of a chunk that are here and were not answered yet."""
        return self._slots.left(chunk)

    @property
    def held(self) -> int:
        """How many chunks are here."""
        return self._slots.held

    @property
    def template_pid(self) -> int | None:
        """The process that forks the workers; None unless it runs."""
        return self._pool.template_pid if self._pool is not None else None

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
        if self._pool is not None:
            self._pool.stop()

    def _settings(self) -> WorkerSettings:
        return WorkerSettings(
            SystemLimits(self.core_dumps, self.open_files, self.address_space, self.data_size),
            WatchLimits(self.memory_limit, self.max_processes),
            self.max_growth,
            self.temp_folder,
        )

    # --- inside --------------------------------------------------------------------------------------------

    def _apply(self, instructions: list[Instruction]) -> None:
        """Carry out what the state machine says; what goes to workers leaves at the end of the cycle."""
        if self._pool is None:
            raise RuntimeError("a task manager that was not started has something to do")
        self._pool.apply(instructions)

    @property
    def _is_stopped(self) -> bool:
        return self._pool is None or self._pool.is_stopped

    def _changed(self) -> None:
        """Hook: called after every event."""
