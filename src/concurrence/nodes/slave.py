"""The slave node: registers with a master, and brings its task manager and the compute channel together."""

from __future__ import annotations

import random
from pathlib import Path

from concurrence.component import ComponentManager
from concurrence.env.extension_options import ExtensionOption
from concurrence.env.options import ListOption, PathOption
from concurrence.errors import ConfigError, ProtocolError, UsageError
from concurrence.nodes.api import NodeType
from concurrence.nodes.identity import Identity, describe_machine
from concurrence.nodes.keys import at_host_of, connect_path
from concurrence.nodes.launching import Ready
from concurrence.nodes.master_link import LinkEvent, MasterLink
from concurrence.nodes.node import Node
from concurrence.nodes.sending import send_all, smaller_results
from concurrence.transport.api import IClient, IWorkSource
from concurrence.transport.descriptors import require
from concurrence.transport.security import Credentials, Role, read_connect_file
from concurrence.version import __version__
from concurrence.wire.codec import Parcel, decoder_to_slave, encode
from concurrence.wire.messages import (
    Bye,
    ChunkResults,
    FromSlave,
    Hello,
    Message,
    Output,
    ToSlave,
)
from concurrence.workers.api import ITaskManager

_TICK_SECONDS = 0.25
_SILENCE_SECONDS = 15.0
_MAX_PARTLY_SENT = 1_024  # chunks; then those that are over are dropped from the set
_OWN_FILES = 32
_FILES_PER_WORKER = 4  # its link, its output and its cell; and one for that of a worker that takes its place
_MAX_HELD_OUTPUT = 256  # messages that are kept while there is no connection


class SlaveNode(Node):
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
    labels = ListOption(
        "slavenode", "labels", (), 'Resources beyond cores that tasks may ask for, as in ["gpu=1"].'
    )

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self._upstream: list[Parcel[FromSlave]] = []
        self._partly_sent: set[int] = set()
        self._blocked: list[Parcel[Message]] | None = None
        self._client: IClient | None = None
        self._source: IWorkSource | None = None
        self._exit_code = 0
        self._decoder = decoder_to_slave()

    def app_init(self) -> None:
        """Read the options.

        Raises:
            UsageError: There is no connect file, or too few open files for so many workers.
            ConfigError: A label is malformed.
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
        restore = self.catch_signals()
        try:
            self._manager.start(self.reactor, self._identity.name, self._upstream.append)
            self._connect()
            self.start_services()
            if self.launch is not None:
                self.launch.answer(Ready())
            self.reactor.run()
        finally:
            self._shut_down()
            restore()
        if self._link.error is not None:
            raise self._link.error
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
        self.reactor.register(client.pollable, lambda: self._drain(client))
        self.reactor.register(client.events_pollable, lambda: self._drain(client))
        self.reactor.call_every(_TICK_SECONDS, lambda: self._link.tick(self.reactor.now()))
        self.reactor.call_every(_SILENCE_SECONDS, self._tell_silence)
        self.reactor.on_cycle_end(lambda: self._conclude(client))
        self.watch_parent()
        self.watch_config()
        self.log.info("connecting to the master at %s with %d workers", address, self._manager.workers)

    def _tell_silence(self) -> None:
        if not self._link.ready:
            self.log.warning(
                "no master answers at %s; trying again. Check that it runs (concurrence master), and that no "
                "firewall is between",
                self._credentials.address,
            )

    def _hello(self, resumes: bool) -> Hello:
        # Results that were handed to the last connection may be lost with it. What they belong to is not named, so
        # that the master has it run again; should they have arrived, it knows that too.
        chunks = set(self._manager.chunks) - self._partly_sent
        chunks.update(_chunks_of(self._upstream) - self._partly_sent)
        return self._identity.hello(resumes, slave=self._description, chunks=sorted(chunks))

    def _shut_down(self) -> None:
        try:
            self.end_services()
        finally:
            self._close_all()

    def _close_all(self) -> None:
        client = self._client
        if client is not None:
            if self._link.ready:
                client.send(encode([*self._upstream, Parcel(Bye("the slave stops"))]))
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
                parcels = self._decoder.decode(frames)
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
            self._manager.handle(parcel)
        except ProtocolError as error:  # one bad message must not cost what runs here
            self.log.error("bad message from the master, which is dropped: %s", error.message)

    def _take_connection_events(self, client: IClient) -> None:
        now = self.reactor.now()
        for event in client.connection_events():
            self._link.connection(event, now)
            if event != "connected":
                self._blocked = None
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
        self._partly_sent.clear()
        if forgotten:
            self.log.warning("the master was restarted and does not know this slave's work; it is dropped")
            self._upstream.clear()
            self._manager.abandon()
        welcome = self._link.welcome
        self._detach()
        if welcome is not None and welcome.work_address:
            address = at_host_of(welcome.work_address, self._credentials.address)
            self._source = self.transport.work_source(address, self._credentials)
            self._manager.attach(self._source)
        self.log.info("registered with the master at %s", self._credentials.address)

    def _detach(self) -> None:
        if self._source is not None:
            self._manager.attach(None)
            self._source.close()
            self._source = None

    def _conclude(self, client: IClient) -> None:
        if self._link.wants_reconnect:
            self._link.wants_reconnect = False
            client.reconnect()
        self._take_connection_events(client)
        if self._blocked or not self._link.ready:
            self._trim_held()
        parcels = self._blocked or self._collect()
        if not parcels:
            return
        self._blocked = send_all(client, parcels, smaller_results) or None
        if self._blocked is None:
            self.reactor.watch_writable(client.pollable, None)
            self._link.sent(self.reactor.now())
        else:
            self.reactor.watch_writable(client.pollable, lambda: None)

    def _collect(self) -> list[Parcel[Message]]:
        parcels: list[Parcel[Message]] = [Parcel(message) for message in self._link.outgoing]
        self._link.outgoing.clear()
        if self._link.ready:
            self._note_sent()
            parcels.extend(self._upstream)
            self._upstream.clear()
        return parcels

    def _trim_held(self) -> None:
        """What tasks print is dropped while nothing can be sent; results are bounded by the credit."""
        if len(self._upstream) > _MAX_HELD_OUTPUT:
            self._upstream[:] = [each for each in self._upstream if not isinstance(each.message, Output)]

    def _note_sent(self) -> None:
        self._partly_sent |= _chunks_of(self._upstream)
        if len(self._partly_sent) > _MAX_PARTLY_SENT:
            self._partly_sent.intersection_update(self._manager.chunks)


def _chunks_of(parcels: list[Parcel[FromSlave]]) -> set[int]:
    return {parcel.message.chunk for parcel in parcels if isinstance(parcel.message, ChunkResults)}


def parse_labels(texts: tuple[str, ...]) -> dict[str, float]:
    """Labels as a mapping.

    Args:
        texts: Each ``name=amount``, or ``name`` for an amount of 1.

    Raises:
        ConfigError: An amount is no number.
    """
    labels: dict[str, float] = {}
    for text in texts:
        name, separator, amount = text.partition("=")
        try:
            labels[name.strip()] = float(amount) if separator else 1.0
        except ValueError:
            raise ConfigError(
                f"the label {text!r} is not of the form name=amount",
                hint='In a file: labels = ["gpu=1"]; with --set: slavenode.labels=gpu=1,camera',
            ) from None
    return labels
