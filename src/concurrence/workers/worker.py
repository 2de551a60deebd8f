"""A worker process: takes chunks from its slave and executes their tasks, one at a time."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from concurrence.errors import ProtocolError
from concurrence.tasks.loading import FunctionLoader
from concurrence.wire.codec import MessageDecoder, Parcel, decoder_to_worker, encode
from concurrence.wire.messages import (
    Assign,
    Bye,
    DefineBundle,
    DefineFunction,
    ForgetFunction,
    FromWorker,
    ToWorker,
    WorkerGrown,
    WorkerReady,
)
from concurrence.workers.cell import WorkerCell
from concurrence.workers.execution import Executor
from concurrence.workers.interrupts import Interrupts
from concurrence.workers.limits import SystemLimits
from concurrence.workers.link import BlockingLink
from concurrence.workers.output import OutputCapture
from concurrence.workers.terminal import refuse_terminal
from concurrence.workers.upkeep import Upkeep, out_of_the_way
from concurrence.workers.worktime import WorkTime

if TYPE_CHECKING:
    from concurrence.workers.api import IExecutor

ENTRY: Final = "concurrence.workers.worker:main"
"""What the template calls in a worker."""

_log = logging.getLogger(__name__)

Send = Callable[[Parcel[FromWorker]], None]


class WorkerSpec(msgspec.Struct, frozen=True):
    """What a worker needs to know.

    Attributes:
        slave: The slave's name.
        limits: What it may use.
        max_growth: See :class:`concurrence.workers.upkeep.Upkeep`.
        entry: See :class:`concurrence.workers.template.ChildSpec`.
    """

    slave: str
    limits: SystemLimits = SystemLimits()
    max_growth: int = 0
    entry: str = ENTRY


def main(spec: bytes, descriptors: list[int]) -> int:
    """Run a worker until its slave says so or is gone.

    Args:
        spec: An encoded :class:`WorkerSpec`.
        descriptors: Its end of the link, the memory of its cell, and what standard output and error become.
    """
    settings = msgspec.msgpack.decode(spec, type=WorkerSpec)
    settings.limits.apply()
    link = BlockingLink(socket.socket(fileno=out_of_the_way(descriptors[0])))
    cell = WorkerCell(descriptors[1])
    os.close(descriptors[1])
    for stream in (1, 2):
        os.dup2(descriptors[2], stream)
    output = OutputCapture(settings.slave)
    output.install()
    refuse_terminal(f"slave {settings.slave}")
    interrupts = Interrupts(cell, output)
    upkeep = Upkeep(descriptors[2], interrupts, settings.max_growth)
    time = WorkTime()
    executor = Executor(cell, FunctionLoader(f"slave {settings.slave}"), output, interrupts, time)
    try:
        serve(link, executor, upkeep, time)
    except ConnectionError:
        return 0  # the slave is gone or has closed the link: nobody is left who wants to know
    finally:
        link.close()
    return 0


def serve(link: BlockingLink, executor: IExecutor, upkeep: Upkeep, time: WorkTime) -> None:
    """Hand what the slave sends to the executor, until it says goodbye or closes the link.

    Args:
        link: To the slave.
        executor: Runs chunks.
        upkeep: What is to be done before and after each.
        time: Where the worker's time goes.

    Raises:
        ProtocolError: The slave sent something else.
        ConnectionError: The slave is gone.
    """

    def send(parcel: Parcel[FromWorker]) -> None:
        link.send(encode([parcel]))

    decoder: MessageDecoder[ToWorker] = decoder_to_worker()
    send(Parcel(WorkerReady(os.getpid())))
    time.handled()
    while (frames := link.receive()) is not None:
        time.waited()
        for parcel in decoder.decode(frames):
            if isinstance(parcel.message, Bye):
                return
            if not isinstance(parcel.message, Assign):
                handle(parcel, executor, send)
                continue
            upkeep.before_chunk()
            handle(parcel, executor, send)
            if grown := upkeep.after_chunk():
                send(Parcel(WorkerGrown(grown)))
        time.handled()


def handle(parcel: Parcel[ToWorker], executor: IExecutor, send: Send) -> None:
    """Hand one message of the slave to the executor."""
    match parcel.message:
        case Assign() as assign:
            executor.run(Parcel(assign, parcel.frames), send)
        case DefineBundle() | DefineFunction() as definition:
            try:
                define(Parcel(definition, parcel.frames), executor)
            except ProtocolError as error:
                # Its tasks fail for want of it, each with its own error; a dead worker would explain less.
                _log.warning("a definition is dropped: %s", error)
        case ForgetFunction(number=number):
            executor.forget_function(number)
        case Bye():
            return


def define(parcel: Parcel[DefineBundle | DefineFunction], executor: IExecutor) -> None:
    """Hand a definition to the executor.

    Raises:
        ProtocolError: It is not what it says it is.
    """
    if isinstance(parcel.message, DefineBundle):
        executor.define_bundle(parcel.message.digest, parcel.frames[0] if parcel.frames else b"")
    else:
        executor.define_function(Parcel(parcel.message, parcel.frames))
