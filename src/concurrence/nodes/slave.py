"""The slave node: registers with a master, and brings its task manager and the compute channel together."""

from __future__ import annotations

import random
import signal
from pathlib import Path

from concurrence.component import ComponentManager
from concurrence.env.extension_options import ExtensionOption
from concurrence.env.options import DurationOption, PathOption
from concurrence.errors import ProtocolError, UsageError
from concurrence.nodes.api import NodeType
from concurrence.nodes.exchange import Exchange
from concurrence.nodes.identity import Identity, describe_machine
from concurrence.nodes.keys import at_host_of, connect_path
from concurrence.nodes.labels import LabelsOption, parse_labels
from concurrence.nodes.launching import Dismissed, Ready
from concurrence.nodes.master_link import LinkEvent, MasterLink
from concurrence.nodes.sending import smaller_results
from concurrence.nodes.serving import ServingNode
from concurrence.nodes.slave_pages import SlavePages, SlaveState
from concurrence.nodes.slave_traffic import SlaveTraffic
from concurrence.transport.api import IClient, IWorkSource
from concurrence.transport.descriptors import require
from concurrence.transport.remote import ApiService
from concurrence.transport.security import Credentials, Role, read_connect_file
from concurrence.transport.tokens import ApiTokens
from concurrence.version import __version__
from concurrence.wire.codec import Parcel, decoder_to_slave, encode
from concurrence.wire.messages import Bye, Drain, Draining, Hello, Pause, ToSlave
from concurrence.workers.api import ITaskManager

_TICK_SECONDS = 0.25
_SILENCE_SECONDS = 15.0
_OWN_FILES = 32
_FILES_PER_WORKER = 4  # its link, its output and its cell; and one for that of a worker that takes its place


class SlaveNode(ServingNode):
    """Registers with a full description of its machine, runs workers, reconnects for ever."""

    node_type = NodeType.SLAVE
    master = PathOption(
        "slavenode", "master", None, "The connect file of the master; the environment's own by default."
    )
    task_manager = ExtensionOption(
        "slavenode",
        "task_manager",
        ITaskManager,
        "ZMQTaskManager",
        "What runs tasks on this machine, and how it gets them: sent by the master, or pulled too.",
    )
    labels = LabelsOption(
        "slavenode", "labels", (), 'Resources beyond cores that tasks may ask for, as in ["gpu=1"].'
    )
    stop_grace = DurationOption(
        "slavenode",
        "stop_grace",
        0.0,
        "On SIGTERM it finishes what runs, for so long at most, and then ends; 0: it ends at once.",
        live=True,
    )

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self._traffic = SlaveTraffic()
        self._client: IClient | None = None
        self._is_watching = False
        self._source: IWorkSource | None = None
        self._exit_code = 0
        self._drain_state = Draining(is_on=False)
        self._is_dismissed = False

    def app_init(self) -> None:
        """Read the options.

        Raises:
            UsageError: There is no connect file, or too few open files for so many workers.
        """
        self._credentials = self._find_credentials()
        self._labels = parse_labels(self.labels)
        self._manager = self.task_manager
        workers = self._manager.workers
        require(
            _OWN_FILES + _FILES_PER_WORKER * workers,
            f"a slave with {workers} workers",
            "Or let it have fewer workers: --workers.",
        )
        self._identity = Identity("slave", self.name, __version__)
        self._description = describe_machine(self._manager.workers, self._manager.credit, self._labels)

    def app_main(self) -> int:
        """Run until stopped; the exit code."""
        self.signals.catch_all()
        try:
            self._manager.start(self.reactor, self._identity.name, self._traffic.say)
            self._connect()
            self.start_services()
            self._open_api()
            if self.launch is not None:
                self.launch.answer(Ready())
            self.reactor.run()
        finally:
            self.signals.is_ending = True
            self._shut_down()
            self.signals.release()
        if self._link.error is not None:
            raise self._link.error
        if self._is_dismissed and self.launch is not None:
            self.launch.answer(Dismissed())
        return self._exit_code

    # --- start and stop ---

    def _find_credentials(self) -> Credentials:
        if self.launch is not None and self.launch.spec.access is not None:
            return self.launch.spec.access.credentials()
        path = self.master or connect_path(self.env, Role.SLAVE)
        if self.master is None and not path.exists():
            raise UsageError(
                "no master is named",
                hint="Copy connect/slave.toml from the folder of the master's environment, and run: "
                "concurrence slave --master slave.toml",
            )
        return read_connect_file(Path(path), Role.SLAVE)

    def _connect(self) -> None:
        address = self._credentials.address
        self._link = MasterLink(self._hello, address, self.reactor.now(), patience=None, chance=random.random)
        self._client = client = self.transport.client(self._credentials)
        self._exchange = Exchange(client, self._link, decoder_to_slave(), smaller_results)
        self.reactor.register(client.pollable, lambda: self._drain(client))
        self.reactor.register(client.events_pollable, lambda: self._drain(client))
        self.reactor.call_every(_TICK_SECONDS, lambda: self._link.tick(self.reactor.now()))
        self.reactor.call_every(_SILENCE_SECONDS, self._tell_silence)
        self.reactor.on_cycle_end(lambda: self._conclude(client))
        self.watch_parent()
        self.watch_config()
        self.measure_loop()
        self.log.info("connecting to the master at %s with %d workers", address, self._manager.workers)

    def _open_api(self) -> None:
        if not self.has_api(by_default=False):
            return
        service = ApiService(1, log=self.log)
        pages = SlavePages(self._state, self.stats, self.reactor.now)
        pages.register(service)
        self.open_http(service, pages.pages(), ApiTokens.of(self.env.path / "keys"), 0)

    def _state(self) -> SlaveState:
        return SlaveState(
            self.name,
            self._identity.node,
            self._credentials.address,
            self._link.ready,
            self._drain_state.is_on,
            self._manager.workers,
            len(self._manager.chunks),
        )

    def _tell_silence(self) -> None:
        if not self._link.ready:
            self.log.warning(
                "no master answers at %s; trying again. Check that it runs (concurrence master), and that no "
                "firewall is between",
                self._credentials.address,
            )

    def _hello(self, resumes: bool) -> Hello:
        chunks, left = self._traffic.held(self._manager.chunks, self._manager.left)
        drains = self._drain_state.is_on
        return self._identity.hello(resumes, slave=self._description, chunks=chunks, left=left, drains=drains)

    def _shut_down(self) -> None:
        try:
            self.close_http()
        finally:
            try:
                self.end_services()
            finally:
                self._close_all()

    def _close_all(self) -> None:
        client = self._client
        if client is not None:
            if self._link.ready:
                client.send(encode([*self._traffic.take(()), Parcel(Bye("the slave stops"))]))
            self._detach()
            client.close()
        self._manager.stop()
        self.reactor.close()

    # --- the cycle ---

    def _drain(self, client: IClient) -> None:
        now = self.reactor.now()
        self._take_connection_events(client)
        while (frames := client.receive()) is not None:
            try:
                parcels = self._exchange.received(frames, now)
            except ProtocolError as error:
                self.log.error("bad message from the master: %s", error.message)
                continue
            for parcel in parcels:
                if self._link.message(parcel.message, now):
                    self._take_events()
                else:
                    self._handle(parcel)

    def _handle(self, parcel: Parcel[ToSlave]) -> None:
        try:
            if isinstance(parcel.message, Drain):
                self._told_to_drain(parcel.message)
            else:
                if isinstance(parcel.message, Pause):
                    self._tell_pause(parcel.message)
                self._manager.handle(parcel)
        except ProtocolError as error:  # one bad message must not cost what runs here
            self.log.error("bad message from the master, which is dropped: %s", error.message)

    def _tell_pause(self, message: Pause) -> None:
        if message.paused:
            self.log.warning("the master gives this slave no work for now: it %s", message.reason)
        else:
            self.log.info("the master gives this slave work again")

    # --- draining ---

    def signalled(self, name: str) -> None:
        """A signal asks it to stop: upon SIGTERM it may first finish what runs."""
        grace = self.stop_grace
        is_child = self.launch is not None  # whoever started it decides how long it may take
        if name != signal.SIGTERM.name or grace <= 0 or is_child or self._drain_state.by_itself:
            self.stop(name)
            return
        self.signals.forget_the_first()  # the next one stops it as the first one would without a grace
        self.log.info("%s: finishing what runs, for %g s at most; a second signal stops at once", name, grace)
        self._change_drain(Draining(is_on=True, stops=True, by_itself=True))
        self.reactor.call_later(grace, lambda: self.stop(f"what runs did not end within {grace:g} s"))

    def _told_to_drain(self, order: Drain) -> None:
        if self._drain_state.by_itself:
            self._traffic.say(Parcel(self._drain_state))  # it is leaving, whoever would have it stay
            return
        what = "work again" if not order.is_on else "drain and end" if order.stops else "drain"
        self.log.info("an administrator has this slave %s", what)
        self._change_drain(Draining(order.is_on, order.is_on and order.stops))

    def _change_drain(self, state: Draining) -> None:
        """Begin or end to drain; what the task manager gives back leaves before the master is told."""
        was, self._drain_state = self._drain_state, state
        if was.is_on != state.is_on:
            self._manager.handle(Parcel(Drain(state.is_on)))
            if state.is_on:
                self._detach()
            else:
                self._attach()
        self._traffic.say(Parcel(state))

    def _stop_if_drained(self) -> None:
        if not self._drain_state.stops or self._manager.chunks:
            return
        if self._link.ready:
            is_told = not self._traffic.waits and self._exchange.settle(self.reactor.now())
        else:  # a master that may be gone for good is worth waiting for only if there is something for it
            is_told = not self._traffic.owes_results
        if is_told:
            self._is_dismissed = True
            self.stop("it was told to, and everything that ran has ended")

    def _take_connection_events(self, client: IClient) -> None:
        now = self.reactor.now()
        for event in client.connection_events():
            self._link.connection(event, now)
            self._exchange.lost()
        self._take_events()

    def _take_events(self) -> None:
        for event in self._link.events:
            if event is LinkEvent.LOST:
                self.log.warning("lost the master at %s; trying again", self._credentials.address)
            elif event is LinkEvent.FAILED:
                self._exit_code = 1
                self.reactor.stop()
            elif event is not LinkEvent.DISMISSED:
                self._welcomed(forgotten=event is LinkEvent.FORGOTTEN)
        self._link.events.clear()

    def _welcomed(self, *, forgotten: bool) -> None:
        self._traffic.welcomed(forgotten=forgotten)
        if forgotten:
            self.log.warning("the master was restarted and does not know this slave's work; it is dropped")
            self._manager.abandon()
        if self._drain_state.is_on:
            self._traffic.say(Parcel(self._drain_state))
        self._detach()
        self._attach()
        self.log.info("registered with the master at %s", self._credentials.address)

    def _attach(self) -> None:
        """Pull from the master's work queue, if it has one and this slave takes work."""
        welcome = self._link.welcome
        if welcome is None or not welcome.work_address or self._drain_state.is_on or self._source is not None:
            return
        address = at_host_of(welcome.work_address, self._credentials.address)
        self._source = self.transport.work_source(address, self._credentials)
        self._manager.attach(self._source)

    def _detach(self) -> None:
        if self._source is not None:
            self._manager.attach(None)
            self._source.close()
            self._source = None

    def _conclude(self, client: IClient) -> None:
        if self._link.wants_reconnect:
            self._link.wants_reconnect = False
            self._exchange.lost()
            client.reconnect()
        self._take_connection_events(client)
        if self._exchange.is_blocked or not self._link.ready:
            self._traffic.trim()
        self._exchange.send(
            lambda: self._traffic.take(self._manager.chunks), self.reactor.now(), self._traffic.take_claims
        )
        if self._drain_state.stops:
            self._stop_if_drained()
        self._watch_writable(client)

    def _watch_writable(self, client: IClient) -> None:
        if self._exchange.is_stuck != self._is_watching:
            self._is_watching = self._exchange.is_stuck
            self.reactor.watch_writable(client.pollable, (lambda: None) if self._is_watching else None)
