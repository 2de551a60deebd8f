"""The host: the process in which one task system lives, on the master's machine; an owner like any client."""

from __future__ import annotations

import importlib
import logging
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import cast

import msgspec

from concurrence.component import Component
from concurrence.env.config import Config
from concurrence.env.environment import Environment
from concurrence.errors import ConcurrenceError, ConnectionFailed
from concurrence.ids import SystemId
from concurrence.nodes.hosting import HostSpec
from concurrence.nodes.identity import Identity
from concurrence.nodes.master_link import LinkEvent
from concurrence.nodes.owner_channel import IOwnerChannel, OwnerChannel
from concurrence.nodes.system_runner import SystemRunner
from concurrence.tasks.api import ITaskSystem
from concurrence.tasks.bundles import Bundle, CodeNeeds
from concurrence.tasks.loading import CodeMissing, FunctionLoader
from concurrence.tasks.ownership import OwnedTasks
from concurrence.tasks.packing import TaskPacker
from concurrence.transport.api import ITransport
from concurrence.version import __version__
from concurrence.wire import faults
from concurrence.wire.codec import Parcel, encode_results
from concurrence.wire.messages import (
    FAILED,
    KIND_SYSTEM,
    DefineBundle,
    DefineFunction,
    Output,
    PackedResult,
    Requirement,
    SystemEnded,
    ToOwner,
)
from concurrence.workers.output import OutputCapture
from concurrence.workers.terminal import refuse_terminal

_log = logging.getLogger(__name__)
_PATIENCE_SECONDS = 30.0


class ReceivedCode:
    """The code of a task system as it came from the client: what its tasks need is what it needed itself."""

    def __init__(self) -> None:
        self._bundles: list[Bundle] = []
        self._requirements: tuple[Requirement, ...] = ()

    def add_bundle(self, digest: bytes, blob: bytes) -> None:
        """Keep a bundle."""
        self._bundles.append(Bundle(digest, blob))

    def add_requirements(self, requirements: Iterable[Requirement]) -> None:
        """Keep what must be installed."""
        self._requirements = tuple(requirements)

    def needs(self, modules: Iterable[str]) -> CodeNeeds:
        """The same for all functions of the system."""
        return CodeNeeds(tuple(self._bundles), self._requirements)


def main(spec_bytes: bytes, descriptors: list[int]) -> int:
    """Run one task system until it is complete.

    Args:
        spec_bytes: An encoded :class:`~concurrence.nodes.hosting.HostSpec`.
        descriptors: None are needed.
    """
    spec = msgspec.msgpack.decode(spec_bytes, type=HostSpec)
    signal.signal(signal.SIGTERM, _on_sigterm)
    channel = _open_channel(spec)
    output = OutputCapture("")
    output.install()
    refuse_terminal(f"the host of task system {spec.name}")
    output.begin_chunk(spec.system, lambda parcel: channel.send(cast("Parcel[Output]", parcel)))
    output.begin_task(None)
    try:
        return _run(spec, channel, output)
    except ConcurrenceError as error:
        _log.error("task system %s: %s", spec.name, error)
        return error.exit_code
    except _Terminated:
        return 0
    finally:
        output.end_chunk()
        channel.close("the host ends")


class _Terminated(BaseException):
    """The host was told to end; not a SystemExit, which the author's code may raise."""


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _open_channel(spec: HostSpec) -> OwnerChannel:
    settings = {(setting.section, setting.name): setting.value() for setting in spec.settings}
    environment = Environment(Path(spec.environment), Config(lambda: [settings]))
    plugins = str(Path(spec.environment) / "plugins")
    if plugins not in sys.path:
        sys.path.append(plugins)  # as loading plug-ins does: the transport may be one of them
    for part in spec.parts:
        environment.register(_component_class(part))
    transport_class = environment.register(_component_class(spec.transport))
    transport = cast("ITransport", environment.component(transport_class))
    identity = Identity("host", spec.name, __version__)
    credentials = spec.access.credentials()
    channel = OwnerChannel(
        lambda: transport.client(credentials),
        lambda resumes: identity.hello(resumes, system=spec.system, ticket=spec.ticket),
        credentials.address,
        patience=_PATIENCE_SECONDS,
    )
    channel.start()
    return channel


def _component_class(full_name: str) -> type[Component]:
    module, _, name = full_name.partition(":")
    return cast("type[Component]", getattr(importlib.import_module(module), name))


def _run(spec: HostSpec, channel: IOwnerChannel, output: OutputCapture) -> int:
    loader = FunctionLoader(f"the host of task system {spec.name}")
    code = ReceivedCode()
    number, news = _receive_code(channel, loader, code)
    try:
        system = cast("ITaskSystem", loader.load(number).target)
    except CodeMissing as missing:
        _end_with(channel, spec.system, missing.fault)
        _wait_for_goodbye(channel)
        return 1
    system_id = SystemId(spec.system)
    tasks = OwnedTasks(system_id, spec.client, TaskPacker(code))
    # Each turn's output is bounded by itself, as each task's is.
    runner = SystemRunner(system, system_id, channel, tasks, spec.name)
    for parcel in news:
        runner.message(parcel)
    runner.run(lambda: output.begin_task(None))
    return 0


def _receive_code(
    channel: IOwnerChannel, loader: FunctionLoader, code: ReceivedCode
) -> tuple[int, list[Parcel[ToOwner]]]:
    """Take what the master sends after its welcome, up to the system itself.

    Returns:
        The system's number, and what came besides code.
    """
    news: list[Parcel[ToOwner]] = []
    while True:
        notification = channel.receive(_PATIENCE_SECONDS)
        if notification is None:
            raise ConnectionFailed("the master did not send the task system")
        if isinstance(notification, LinkEvent):
            if notification is LinkEvent.FAILED:
                raise channel.error or ConnectionFailed("the compute channel failed")
            continue
        message, frames = notification.message, notification.frames
        if isinstance(message, DefineBundle):
            blob = bytes(frames[0])
            loader.define_bundle(message.digest, blob)
            code.add_bundle(message.digest, blob)
        elif isinstance(message, DefineFunction):
            loader.define_function(message, frames[0])
            code.add_requirements(message.requirements)
            if message.kind == KIND_SYSTEM:
                return message.number, news
        else:
            news.append(notification)


def _end_with(channel: IOwnerChannel, system: int, fault: faults.Fault) -> None:
    body = encode_results([PackedResult(faults.encode_fault(fault))])
    channel.send(Parcel(SystemEnded(1, system, FAILED), [body]))


def _wait_for_goodbye(channel: IOwnerChannel) -> None:
    """The master says goodbye when it has the end; the link turns that into a loss."""
    while (notification := channel.receive(_PATIENCE_SECONDS)) is not None:
        if notification in (LinkEvent.DISMISSED, LinkEvent.FAILED):
            return
