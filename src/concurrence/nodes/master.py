"""The master node: sockets, processes and time around the pure core that decides everything."""

from __future__ import annotations

import random
import threading
import time
from typing import TextIO

from msgspec.structs import replace

from concurrence.component import ComponentManager, ExtensionPoint, identity
from concurrence.env.config import ConfigChanges
from concurrence.env.extension_options import ExtensionOption
from concurrence.env.options import BoolOption, IntOption, StrOption
from concurrence.errors import ConcurrenceError, MessageTooLarge, ProtocolError, UsageError, WorkerStartFailed
from concurrence.ids import new_node_id, new_session
from concurrence.journal.api import IJournal
from concurrence.journal.gate import DurabilityGate
from concurrence.nodes import keys as addresses
from concurrence.nodes.api import IApiMethods, NodeType
from concurrence.nodes.api_door import ApiDoor
from concurrence.nodes.api_methods import BuiltInMethods
from concurrence.nodes.hosting import Hosting
from concurrence.nodes.keys import MasterKeys
from concurrence.nodes.launching import Access, ChildDismissed, ChildNode, LaunchFailed, LaunchSpec, Ready
from concurrence.nodes.locking import lock_environment, note_address
from concurrence.nodes.master_pages import MasterPages
from concurrence.nodes.peer_traffic import PeerTraffic
from concurrence.nodes.registering import RegisteringNode
from concurrence.scheduling.api import Alone, ITaskScheduler, Limits
from concurrence.scheduling.core import MasterCore
from concurrence.scheduling.outbox import HostOrder, News
from concurrence.transport.api import IServer, IWorkQueue, PeerId
from concurrence.transport.descriptors import require
from concurrence.transport.security import Role
from concurrence.transport.tokens import ApiTokens
from concurrence.version import __version__
from concurrence.wire.codec import Parcel, decoder_for_master, encode
from concurrence.wire.messages import (
    Assign,
    Bye,
    Hello,
    Message,
    Piece,
    PieceTaken,
    RpcCall,
    RpcFailure,
    RpcHello,
    RpcResult,
    ToMaster,
)
from concurrence.workers.processes import describe_exit

_TICK_SECONDS = 0.25
_DRAIN = 512  # messages taken in one cycle: the others wait for the next, so that what these led to can leave
_START_SECONDS = 30.0
_RESTART_SECONDS = 1.0
_END_SECONDS = 1.0
_SLAVE = "the master's own slave"
API_OFFSET = 80
"""The HTTP port lies so far beyond that of the compute channel, unless an option says where it is."""
FEWEST_FILES = 64
"""Open files without which no master starts: its own, and room for a few connections."""


class MasterNode(RegisteringNode):
    """Registers nodes, schedules tasks, hosts task systems, notifies clients."""

    node_type = NodeType.MASTER
    host = StrOption("masternode", "host", "127.0.0.1", "Address to listen on; 0.0.0.0 for all interfaces.")
    port = IntOption(
        "masternode", "port", 7700, "Port of the compute channel; 0 for a free one.", min=0, max=65535
    )
    work_port = IntOption(
        "masternode", "work_port", 0, "Port of the work queue; 0 for a free one.", min=0, max=65535
    )
    advertise = StrOption(
        "masternode", "advertise", "", "Host name or address in connect files; guessed if it is empty."
    )
    task_scheduler = ExtensionOption(
        "masternode", "task_scheduler", ITaskScheduler, "ZMQTaskScheduler", "Decides which task goes where."
    )
    journal = ExtensionOption(
        "masternode", "journal", IJournal, "NullJournal", "Keeps accepted work over a restart of the master."
    )
    api_methods = ExtensionPoint(IApiMethods)
    is_standalone = BoolOption("masternode", "is_standalone", False, "Whether the master is its own slave.")

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self._decoder = decoder_for_master()
        self._api = ApiDoor(self.log, self.stats)
        self._gate: DurabilityGate[tuple[bytes, Parcel[Message]]] = DurabilityGate()
        self._backlog: list[Parcel[Assign]] = []
        self._slave: ChildNode | None = None
        self._queue: IWorkQueue | None = None
        self._is_private = False
        self._slave_is_up = self._slave_was_up = False
        self._opened_journal: IJournal | None = None
        self._lock: TextIO | None = None
        self._server: IServer | None = None

    def app_init(self) -> None:
        """Read the options and make the core."""
        require(FEWEST_FILES, "a master")
        self._is_private = self.launch is not None and self.launch.spec.private
        self._core = MasterCore(
            self.task_scheduler,
            self.limits(),
            master=new_node_id(),
            package=__version__,
            new_ticket=new_session,
            # Later than whatever a predecessor gave out, at a million chunks a second.
            first_chunk=int(time.time() * 1_000_000),
            chance=random.random,
        )

    def limits(self) -> Limits:
        """The limits as they are now; nobody but its own slave ever joins a private master."""
        limits = super().limits()
        return replace(limits, alone=Alone.PRIVATE) if self._is_private else limits

    def forget_caller(self, server: IServer, peer: PeerId) -> None:
        """Somebody called remote methods and has been silent for long: forgotten unless it is a node as well."""
        if self._core.swarm.registry.at(peer) is None:
            server.forget(peer)

    def _open_api(self) -> None:
        if self._server is not None:
            self.open_remotes(self._server)
        methods = BuiltInMethods(
            self._core,
            self.env,
            self.stats,
            self.reactor.now,
            self.config_changed,
            self.sessions,
            lambda: self.api_address,
        )
        self._api.open(methods.register, self.manager)
        if self.has_api(by_default=True):
            tokens = ApiTokens.of(self.env.path / "keys")
            pages = MasterPages(self.name, self._core, self.stats, self.reactor.now).pages()
            port = self.port + API_OFFSET if self.port else 0
            self.open_http(self._api.service, pages, tokens, port, self.advertise)
            self._keys.add_api(self.api_address, tokens)

    def config_changed(self, changes: ConfigChanges) -> None:
        """Adopt the limits."""
        self._core.set_limits(self.limits(), self.reactor.now())

    def app_main(self) -> int:
        """Run until stopped; the exit code."""
        self.signals.catch_all()
        self._thread = threading.get_ident()
        self._keys = MasterKeys.private() if self._is_private else MasterKeys.of(self.env)
        if self.is_standalone:
            self._slave = ChildNode(_SLAVE)
        self._hosting = Hosting(self.env, identity(type(self.transport)), self.reactor, self._core.host_exited)
        try:
            if not self._is_private:
                self._lock = lock_environment(self.env)
            self._hosting.start()
            server = self._listen()
            self.start_services()
            self._open_api()
            self._announce(server)
            self.reactor.run()
        finally:
            self.signals.is_ending = True
            self._shut_down()
            self.signals.release()
        return 0

    # --- start and stop ---

    def _listen(self) -> IServer:
        host, port = ("127.0.0.1", 0) if self._is_private else (self.host, self.port)
        self._server = server = self.transport.server(f"tcp://{host}:{port}", self._keys.ring)
        self._traffic = PeerTraffic(self._core, self._decoder, server.max_frame_bytes, server.send)
        self._journal = self.journal
        self._journal.open(self._durable)
        self._opened_journal = self._journal
        if self.task_scheduler.uses_work_queue:
            work_port = 0 if self._is_private else self.work_port
            self._queue = self.transport.work_queue(f"tcp://{host}:{work_port}", self._keys.ring)
            self._core.work_address = self._queue.address
            self.reactor.register(self._queue.pollable, self._queue.tend)
        self.reactor.register(server.pollable, lambda: self._drain(server))
        self.reactor.call_every(_TICK_SECONDS, lambda: self._core.tick(self.reactor.now()))
        self.reactor.call_every(
            MasterCore.PROBE_SECONDS, lambda: self._core.probe(server.hung_up(), self.reactor.now())
        )
        self.reactor.on_cycle_end(lambda: self._conclude(server))
        self._core.tick(self.reactor.now())
        self.watch_parent()
        self.watch_config()
        self.measure_loop()
        self._local_address = addresses.local(server.address)
        return server

    def _announce(self, server: IServer) -> None:
        address = self._local_address
        if not self._is_private:
            public = addresses.reachable(server.address, self.advertise)
            self._keys.publish(self.env, public)
            self.log.debug("listening at %s; connect files are in %s", public, self.env.path / "connect")
            if self._lock is not None:
                note_address(self._lock, public)
        if self._slave is not None:
            self._launch_slave(self._slave)
        if self.launch is not None:
            self.launch.answer(Ready(Access.of(self._keys.credentials(Role.CLIENT, address))))

    def _launch_slave(self, slave: ChildNode) -> None:
        slave.launch(
            LaunchSpec(
                "SlaveNode",
                str(self.env.path),
                tuple(str(file) for file in self.env.config_files),
                self.env.overrides,
                access=Access.of(self._keys.credentials(Role.SLAVE, self._local_address)),
                log_level=self.launch.spec.log_level if self.launch else self.env.log_level,
            )
        )
        self.reactor.register(slave.fileno(), self._slave_answered)

    def _slave_answered(self) -> None:
        slave = self._slave
        if slave is None:
            return
        if self._slave_is_up:
            self._slave_is_up = False
            self.reactor.unregister(slave.fileno())
            reason = slave.wait_end(_END_SECONDS)
            if isinstance(reason, LaunchFailed) and reason.exit_code == UsageError.exit_code:
                raise reason  # another one would end in the same way
            if isinstance(reason, ChildDismissed):
                self.log.info("%s; no other is started", reason)
                slave.stop()
                self._slave = None
                return
            self.log.error("%s %s; another one is started", _SLAVE, describe_exit(slave.stop()))
            self._slave = None
            self.reactor.call_later(_RESTART_SECONDS, self._restart_slave)
            return
        try:
            slave.wait_ready(_START_SECONDS)
        except ConcurrenceError:
            if not self._slave_was_up:
                raise  # its first start: whoever started this master is told why
        self._slave_is_up = self._slave_was_up = True

    def _restart_slave(self) -> None:
        try:
            self._slave = ChildNode(_SLAVE)
            self._launch_slave(self._slave)
        except WorkerStartFailed as error:
            self.log.error("%s cannot be started and will be tried again: %s", _SLAVE, error)
            self._slave = None
            self.reactor.call_later(_RESTART_SECONDS, self._restart_slave)

    def _shut_down(self) -> None:
        try:
            self.close_http()
        finally:
            try:
                self.end_services()
            finally:
                self._close_all()

    def _close_all(self) -> None:
        if self._slave is not None:
            self._slave.stop()
        self._hosting.stop()
        if self._server is not None:
            for node in self._core.swarm.registry:
                if node.peer is not None:
                    self._server.send(node.peer, encode([Parcel(Bye("the master stops"))]))
            self._server.close()
        if self._opened_journal is not None:
            self._opened_journal.close()
        if self._queue is not None:
            self._queue.close()
        if self._lock is not None:
            self._lock.close()
        self.reactor.close()

    # --- the cycle ---

    def _drain(self, server: IServer) -> None:
        now = self.reactor.now()
        for _ in range(_DRAIN):
            received = server.receive()
            if received is None:
                return
            peer, frames = received
            try:
                parcels = self._decoder.decode(frames)
            except ProtocolError as error:
                self.log.warning("bad message from %s: %s", server.origin(peer).address, error.message)
                self._core.garbage(peer, error)
                continue
            self._take(server, peer, parcels, now)
        self._core.behind(now)

    def _take(self, server: IServer, peer: bytes, parcels: list[Parcel[ToMaster]], now: float) -> None:
        for parcel in parcels:
            message = parcel.message
            try:
                if isinstance(message, RpcHello | RpcCall | RpcResult | RpcFailure):
                    self.zmq_server.take(peer, Parcel(message, parcel.frames))
                    continue
                wholes = [parcel]
                if isinstance(message, Hello | Piece | PieceTaken):
                    wholes = self._traffic.take(peer, Parcel(message, parcel.frames), now)
                for whole in wholes:
                    self._core.receive(peer, whole, lambda: server.origin(peer), now)
            except ProtocolError as error:
                self.log.warning("bad message from %s: %s", server.origin(peer).address, error.message)
                self._core.garbage(peer, error)
                return
            except Exception:  # a defect in here must cost one peer, not the swarm
                self.log.exception("a %s could not be handled; its sender is cut", type(parcel.message).__name__)
                self._core.garbage(peer, ProtocolError("the master failed to handle this message"))
                return

    def _durable(self, sequence: int) -> None:
        """Called by the journal from whatever thread."""
        self._gate.durable(sequence)
        if threading.get_ident() != self._thread:
            self.reactor.post(lambda: None)  # the end of the cycle that this causes releases what waited

    def _conclude(self, server: IServer) -> None:
        core, outbox = self._core, self._core.outbox
        self._api.answer(outbox)
        core.conclude(self.reactor.now())
        if outbox.promises or outbox.entries:
            sequence = self._journal.append(outbox.entries)
            for promise in outbox.promises:
                self._gate.hold(sequence, promise)
        outgoing = outbox.messages
        for peer, parcel in self._gate.release():
            outgoing.setdefault(peer, []).append(parcel)
        orders, stopped, admitted, dropped = outbox.hosts, outbox.stopped_hosts, outbox.admitted, outbox.dropped
        for news in outbox.news:
            self.log.info("%s", news, extra=news.about if isinstance(news, News) else None)
        for aside in outbox.asides:
            self.log.debug("%s", aside)
        self._backlog += outbox.work
        outbox.clear()
        for peer in admitted:
            server.admit(peer)
        for peer, parcels in outgoing.items():
            self._send(peer, parcels)
        self._push_work()
        for order in orders:
            self._start_host(order)
        for system in stopped:
            self._hosting.stop_host(system)
        for peer in dropped:
            self._traffic.forget(peer)
            server.forget(peer)

    def _send(self, peer: bytes, parcels: list[Parcel[Message]]) -> None:
        try:
            if not self._traffic.send(peer, parcels, self.reactor.now()):
                self._core.unreachable(peer, self.reactor.now())
        except MessageTooLarge as error:
            self.log.error("a message cannot be sent, and its receiver is cut: %s", error.message)
            self._core.garbage(peer, ProtocolError(error.message, hint=error.hint))

    def _start_host(self, order: HostOrder) -> None:
        access = Access.of(self._keys.credentials(Role.HOST, self._local_address))
        try:
            self._hosting.start_host(order, access)
        except WorkerStartFailed as error:
            self._core.host_exited(order.system, str(error))

    def _push_work(self) -> None:
        queue = self._queue
        if queue is None or not self._backlog:
            return
        assignments = self._core.swarm.ledger.assignments
        sent = 0
        for parcel in self._backlog:
            if parcel.message.chunk in assignments and not queue.send(encode([parcel])):
                break
            sent += 1
        del self._backlog[:sent]
        self.reactor.watch_writable(queue.pollable, self._push_work if self._backlog else None)
