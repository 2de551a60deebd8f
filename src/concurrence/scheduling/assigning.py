"""How a chunk travels to whoever runs it. Pure."""

from __future__ import annotations

from concurrence.scheduling.ledger.jobs import Assignment
from concurrence.scheduling.load import cores_of
from concurrence.wire.codec import Frame, Parcel, encode_tasks
from concurrence.wire.messages import Assign, PackedTask


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
