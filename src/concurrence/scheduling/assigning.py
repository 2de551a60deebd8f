"""A chunk as the message that brings it to a slave. Pure."""

from __future__ import annotations

from concurrence.scheduling.ledger.jobs import Assignment
from concurrence.scheduling.load import cores_of
from concurrence.wire.codec import Frame, Parcel, encode_tasks
from concurrence.wire.messages import Assign, PackedTask


def parcel_of(assignment: Assignment) -> Parcel[Assign]:
    """The message: what is left of the chunk, its tasks as they came."""
    tasks: list[PackedTask] = []
    frames: list[Frame] = [b""]
    for record in assignment:
        tasks.append(PackedTask(record.counter, record.arguments, len(record.buffers)))
        if record.buffers:
            frames.extend(record.buffers)
    frames[0] = encode_tasks(tasks)
    message = Assign(
        len(frames),
        assignment.chunk,
        assignment.job.system,
        assignment.spec.function,
        assignment.attempt,
        len(tasks),
        assignment.spec.timeout,
        cores_of(assignment.spec.resources),
    )
    return Parcel(message, frames)
