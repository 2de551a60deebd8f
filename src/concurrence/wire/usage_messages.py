"""What a client's tasks took of the swarm: asked for at the end of a run, and told in sums."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from concurrence.wire.fields import Message, Name, Number, Seconds

MAX_USAGE_SLAVES = 4_096
"""Slaves that are told one by one; what is beyond them is told as one."""


class AskUsage(Message, frozen=True, array_like=True, gc=False, tag=110):
    """From a client: what its tasks took so far.

    Attributes:
        request: A number that the answer repeats.
    """

    request: Number


class SlaveUsage(Struct, frozen=True, array_like=True, gc=False):
    """What a client's tasks took of one slave; all seconds are those of its workers, added up.

    Attributes:
        name: The slave's name.
        workers: Its workers.
        present: Seconds, of those that are told of, in which it was connected; not times the workers.
        tasks: Tasks that ran there.
        chunks: Messages with results that came from there.
        busy: Seconds in tasks, with the packing of their arguments and results.
        packing: The part of it that went into packing.
        handling: Seconds between tasks: reading a chunk, loading its code, writing its results.
        sending: Seconds until results had left a worker.
        transfer: Seconds in which a worker waited while its next chunk, or its last result, was on its way.
        starved: Seconds in which a worker waited and there was nothing for it.
        sent: Bytes of tasks that went there.
        received: Bytes of results that came back.
        cpu: CPU seconds that tasks used: less than they took if they waited, or had no core.
    """

    name: Name
    workers: Number
    present: Seconds
    tasks: Number = 0
    chunks: Number = 0
    busy: Seconds = 0.0
    packing: Seconds = 0.0
    handling: Seconds = 0.0
    sending: Seconds = 0.0
    transfer: Seconds = 0.0
    starved: Seconds = 0.0
    sent: Number = 0
    received: Number = 0
    cpu: Seconds = 0.0


class Usage(Message, frozen=True, array_like=True, gc=False, tag=111):
    """To that client.

    Attributes:
        request: The number of the question.
        seconds: From its first push until now; until the last result came, if nothing is unfinished.
        queued: Seconds that its tasks waited at the master for their turn, added up.
        queued_tasks: How many times a task did.
        systems: Seconds in which its task systems that have ended were at work themselves, added up.
        slaves: All that are connected, and those that ran some of its tasks.
    """

    request: Number
    seconds: Seconds
    queued: Seconds
    queued_tasks: Number
    systems: Seconds
    slaves: Annotated[list[SlaveUsage], Meta(max_length=MAX_USAGE_SLAVES + 1)]
