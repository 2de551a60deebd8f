"""A whole swarm in one process and thread: for debugging, with the code that runs in production.

The master's core, the codec, the executor and the runner of task systems are the real ones; there are no
sockets, no processes and no captured output, so that ``breakpoint()`` works anywhere.
"""

from __future__ import annotations

import bdb
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import cast

from concurrence.env.environment import Environment
from concurrence.errors import ConcurrenceError, ConnectionFailed
from concurrence.ids import SystemId, new_node_id, new_session
from concurrence.nodes.identity import Identity, describe_machine
from concurrence.nodes.inline_logs import heard_logs
from concurrence.nodes.master_link import LinkEvent
from concurrence.nodes.owner_channel import ENDS, Notification
from concurrence.nodes.system_runner import SystemRunner
from concurrence.scheduling.api import Alone, ITaskScheduler, Limits
from concurrence.scheduling.core import MasterCore
from concurrence.scheduling.outbox import HostOrder
from concurrence.tasks.api import ITaskSystem
from concurrence.tasks.bundles import BundleCollector
from concurrence.tasks.importer import BundleImporter
from concurrence.tasks.kept_errors import forget_errors, keeping_errors
from concurrence.tasks.loading import FunctionLoader, LoadedFunction
from concurrence.tasks.ownership import OwnedTasks, Push
from concurrence.tasks.packing import TaskPacker
from concurrence.transport.api import Origin
from concurrence.transport.security import Role
from concurrence.version import __version__
from concurrence.wire.codec import Frame, Parcel, decoder_for_master, decoder_to_owner, decoder_to_slave, encode
from concurrence.wire.messages import (
    KIND_SYSTEM,
    Assign,
    Bye,
    Claimed,
    DefineBundle,
    DefineFunction,
    Delivered,
    ForgetFunction,
    FromWorker,
    Hello,
    Message,
    PushAccepted,
    ToMaster,
    ToSlave,
    Welcome,
)
from concurrence.workers.execution import Executor
from concurrence.workers.output import OutputCapture

_SLAVE_PEER = b"slave"
_SLAVE_NAME = "inline"


class PresentCode(BundleImporter):
    """The client's modules are here already: nothing has to be made importable."""

    def add(self, digest: bytes, blob: Frame) -> None:
        """Nothing to keep."""

    def __contains__(self, digest: object) -> bool:
        return True

    def activate(self, digests: Iterable[bytes]) -> None:
        """Nothing to do."""


class InlineCell:
    """A cell that nobody looks at: the one thread is in the task itself.

    Attributes:
        is_interrupted: Whether no further task may begin: Ctrl-C, or somebody quit the debugger.
    """

    def __init__(self) -> None:
        self.is_interrupted = False

    def begin_chunk(self, chunk: int) -> None:
        """Nothing to note."""

    def begin(self, index: int) -> bool:
        """Whether it is to be run."""
        return not self.is_interrupted

    def record(self, counter: int, status: int, payload: bytes) -> bool:
        """Nothing to note."""
        return True

    def clear(self) -> None:
        """Nothing to forget."""


class InlineExecutor(Executor):
    """An executor for whom leaving the debugger ends the run, and not one task of many.

    Args:
        cell: Told of it.
        loader: Brings functions.
        output: Takes what tasks print.
    """

    def __init__(self, cell: InlineCell, loader: FunctionLoader, output: OutputCapture) -> None:
        super().__init__(cell, loader, output)
        self._inline_cell = cell

    def run(self, parcel: Parcel[Assign], send: Callable[[Parcel[FromWorker]], None]) -> None:
        """Execute a chunk; what this thread did before was not a worker's work."""
        self._time.skip()
        super().run(parcel, send)

    def _failure(self, error: BaseException) -> tuple[int, bytes]:
        self._look(error)
        return super()._failure(error)

    def _refusal(self, function: LoadedFunction, error: BaseException) -> tuple[int, bytes, Sequence[Frame]]:
        self._look(error)
        return super()._refusal(function, error)

    def _look(self, error: BaseException) -> None:
        if isinstance(error, bdb.BdbQuit):
            self._inline_cell.is_interrupted = True


class InlineRunner(SystemRunner):
    """Runs a task system in whose methods somebody may quit the debugger: that ends the run."""

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, bdb.BdbQuit):
            raise KeyboardInterrupt from None
        super()._failed(error)


class InlineSwarm:
    """The master's core with one slave and the hosts of task systems, stepped by whoever waits.

    Args:
        environment: Its options choose the policy.
    """

    def __init__(self, environment: Environment) -> None:
        chosen = environment.config.get("masternode", "task_scheduler")
        scheduler = environment.implementation(
            ITaskScheduler, str(chosen.raw) if chosen is not None else "ZMQTaskScheduler"
        )
        self._core = MasterCore(
            scheduler,
            Limits(alone=Alone.INLINE),
            master=new_node_id(),
            package=__version__,
            new_ticket=new_session,
        )
        self._decoder = decoder_for_master()
        self._to_slave = decoder_to_slave()
        self._cell = InlineCell()
        loader = FunctionLoader(importer=PresentCode())
        self._executor = InlineExecutor(self._cell, loader, OutputCapture(_SLAVE_NAME))
        self._chunks: deque[Parcel[Assign]] = deque()
        self._channels: dict[bytes, InlineChannel] = {}
        self._runners: dict[int, SystemRunner] = {}
        slave = Identity("slave", _SLAVE_NAME, __version__)
        self.receive(_SLAVE_PEER, Parcel(slave.hello(False, slave=describe_machine(1, 2, {}))), Role.SLAVE)

    def join(self, channel: InlineChannel, hello: Hello, role: Role) -> None:
        """Add an owner."""
        self._channels[channel.peer] = channel
        self.receive(channel.peer, Parcel(hello), role)

    def receive(self, peer: bytes, parcel: Parcel[ToMaster], role: Role = Role.CLIENT) -> None:
        """A peer sends a message, through the real codec."""
        now = time.monotonic()
        for decoded in self._decoder.decode(encode([parcel])):
            self._core.receive(peer, decoded, lambda: Origin(role, peer.decode(), "inline"), now)

    def step(self) -> bool:
        """Do something: deliver what is in the outbox, run a system, or a chunk; False if there is nothing."""
        if self._deliver():
            return True
        for system, runner in list(self._runners.items()):
            if runner.owner.stopped:
                del self._runners[system]
            elif self._channels[_host_peer(system)].has_news() or not runner.owner.is_settled:
                with keeping_errors(), heard_logs():
                    runner.turn(0)
                return True
        if self._chunks:
            self._execute(self._chunks.popleft())
            return True
        return False

    def _deliver(self) -> bool:
        core, outbox = self._core, self._core.outbox
        now = time.monotonic()
        core.tick(now)
        core.conclude(now)
        messages, promises, work, orders = outbox.messages, outbox.promises, outbox.work, outbox.hosts
        outbox.clear()
        for peer, parcel in promises:
            messages.setdefault(peer, []).append(parcel)
        for peer, parcels in messages.items():
            if peer == _SLAVE_PEER:
                for parcel in self._to_slave.decode(encode(parcels)):
                    self._take(parcel)
            elif peer in self._channels:
                self._channels[peer].deliver(parcels)
        for parcel in work:
            self.receive(_SLAVE_PEER, Parcel(Claimed([parcel.message.chunk])))
            self._chunks.append(parcel)
        for order in orders:
            self._start_host(order)
        return bool(messages or work or orders)

    def _take(self, parcel: Parcel[ToSlave]) -> None:
        message = parcel.message
        if isinstance(message, Assign):
            self._chunks.append(Parcel(message, parcel.frames))
        elif isinstance(message, DefineBundle):
            self._executor.define_bundle(message.digest, parcel.frames[0])
        elif isinstance(message, DefineFunction):
            self._executor.define_function(parcel)
        elif isinstance(message, ForgetFunction):
            self._executor.forget_function(message.number)

    def _execute(self, chunk: Parcel[Assign]) -> None:
        if chunk.message.chunk not in self._core.swarm.ledger.assignments:
            return  # cancelled meanwhile

        def send(parcel: Parcel[FromWorker]) -> None:
            self.receive(_SLAVE_PEER, cast("Parcel[ToMaster]", parcel))

        restore = self._watch_interrupt()
        try:
            with keeping_errors(), heard_logs():
                self._executor.run(chunk, send)
        finally:
            restore()
        if self._cell.is_interrupted:
            self._cell.is_interrupted = False
            raise KeyboardInterrupt

    def _watch_interrupt(self) -> Callable[[], None]:
        """The executor takes Ctrl-C for the task's own failure; here it is also the application's."""
        if threading.current_thread() is not threading.main_thread():
            return lambda: None
        previous = signal.getsignal(signal.SIGINT)

        def on_interrupt(number: int, frame: FrameType | None) -> None:
            self._cell.is_interrupted = True
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, on_interrupt)

        def restore() -> None:
            signal.signal(signal.SIGINT, previous)

        return restore

    def _start_host(self, order: HostOrder) -> None:
        system_id = SystemId(order.system)
        channel = InlineChannel(self, _host_peer(order.system))
        host = Identity("host", order.name, __version__)
        self.join(channel, host.hello(False, system=order.system, ticket=order.ticket), Role.HOST)
        self._deliver()
        loader = FunctionLoader(f"the task system {order.name}", PresentCode())
        while (notification := channel.receive(0)) is not None:
            if isinstance(notification, LinkEvent):
                continue
            if isinstance(notification.message, DefineBundle):  # of use if it is a part of a shared object
                loader.define_bundle(notification.message.digest, notification.frames[0])
            if not isinstance(notification.message, DefineFunction):
                continue
            message = notification.message
            loader.define_function(message, notification.frames[0])
            if message.kind == KIND_SYSTEM:
                system = cast("ITaskSystem", loader.load(message.number).target)
                tasks = OwnedTasks(system_id, order.client, TaskPacker(BundleCollector()))
                runner = InlineRunner(system, system_id, channel, tasks, order.name)
                self._runners[order.system] = runner
                with keeping_errors(), heard_logs():
                    runner.begin()
                return


class InlineChannel:
    """An owner's channel to a swarm in the same thread; waiting means letting the swarm work.

    Args:
        swarm: The swarm.
        peer: Its connection's name there.
    """

    def __init__(self, swarm: InlineSwarm, peer: bytes) -> None:
        self.peer = peer
        self.accepted_push = 0
        self.arrived = 0.0
        self._swarm = swarm
        self._news: deque[Notification] = deque()
        self._decoder = decoder_to_owner()
        self._closed = False
        self._welcome: Welcome | None = None

    @property
    def error(self) -> ConcurrenceError | None:
        """It cannot break."""
        return None

    @property
    def welcome(self) -> Welcome | None:
        """The master's welcome."""
        return self._welcome

    def has_news(self) -> bool:
        """Whether a notification waits."""
        return bool(self._news)

    def deliver(self, parcels: list[Parcel[Message]]) -> None:
        """The master sends messages, through the real codec."""
        for parcel in self._decoder.decode(encode(parcels)):
            message = parcel.message
            if isinstance(message, Welcome):
                self._welcome = message
            elif isinstance(message, Bye):
                self._news.append(LinkEvent.DISMISSED)
            else:
                if isinstance(message, PushAccepted):
                    self.accepted_push = max(self.accepted_push, message.push)
                elif isinstance(message, ENDS):
                    self.arrived = time.monotonic()
                self._news.append(parcel)

    def submit(self, push: Push) -> None:
        """Hand a push over."""
        for parcel in push.parcels:
            self._swarm.receive(self.peer, cast("Parcel[ToMaster]", parcel))

    def send(self, message: Parcel[Message]) -> None:
        """Hand a message over."""
        self._swarm.receive(self.peer, cast("Parcel[ToMaster]", message))

    def acknowledge(self, delivery: int) -> None:
        """Everything up to this delivery was handled."""
        self._swarm.receive(self.peer, Parcel(Delivered(delivery)))

    def receive(self, timeout: float | None) -> Notification | None:
        """The next notification; unless ``timeout`` is 0 the swarm works until there is one.

        Raises:
            ConnectionFailed: Nothing can happen any more.
        """
        while not self._news and timeout != 0:
            if not self._swarm.step():
                raise ConnectionFailed(
                    "the inline swarm has nothing left to do, but tasks are unfinished",
                    hint="They may ask for resources that the one inline worker does not have.",
                )
        return self._news.popleft() if self._news else None

    def wake(self) -> None:
        """Nobody sleeps here."""

    def close(self, reason: str) -> None:
        """Say goodbye."""
        if not self._closed:
            self._closed = True
            self.send(Parcel(Bye(reason)))
            forget_errors()


def open_inline(environment: Environment, identity: Identity, system: SystemId) -> InlineChannel:
    """A swarm in this thread, and a client's channel to it."""
    swarm = InlineSwarm(environment)
    channel = InlineChannel(swarm, identity.node.encode())
    swarm.join(channel, identity.hello(False, system=system), Role.CLIENT)
    return channel


def _host_peer(system: int) -> bytes:
    return f"host-{system:x}".encode()
