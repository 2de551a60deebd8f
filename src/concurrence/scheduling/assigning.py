"""How a chunk travels to whoever runs it. Pure."""

from __future__ import annotations

from concurrence.scheduling.ledger.jobs import Assignment
from concurrence.scheduling.load import cores_of
from concurrence.wire.codec import Frame, Parcel, encode_tasks, frame_size
from concurrence.wire.messages import Assign, PackedTask

SOON_BYTES = 64 * 1024
"""A chunk on the work queue that is not larger is with a slave at once."""


SLOW_BYTES = 1024 * 1024
"""Bytes a second that pass a line at least: a larger chunk may be unclaimed for as long as it takes over that."""


def way_seconds(parcel: Parcel[Assign]) -> float:
    """How long a chunk may be under way to whichever slave pulls it."""
    size = sum(map(frame_size, parcel.frames))
    return size / SLOW_BYTES if size > SOON_BYTES else 0.0


def assign_parcel(assignment: Assignment) -> Parcel[Assign]:
    """A chunk as a message: its tasks in one frame, and their large buffers in frames of their own."""
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
