"""Messages that carry code and tasks towards workers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from concurrence.wire.fields import (
    MAX_BUNDLES,
    MAX_CHUNK_TASKS,
    MAX_WEIGHT,
    MIN_WEIGHT,
    Bodied,
    Counters,
    Digest,
    Frames,
    Message,
    Name,
    Number,
    Resources,
    Seconds,
    Text,
)


class Requirement(Struct, frozen=True, array_like=True, gc=False):
    """An installed package that a function imports: its import name, distribution and version."""

    module: Name
    distribution: Name
    version: Name


class DefineBundle(Bodied, frozen=True, array_like=True, gc=False, tag=10):
    """The sources of an application's own modules, or a part of a shared object; sent once to each peer."""

    digest: Digest


class DefineFunction(Bodied, frozen=True, array_like=True, gc=False, tag=11):
    """A function, task class or system; sent once to each peer, then named by its number.

    Attributes:
        number: The sender's number for it: an owner's own, or the master's towards slaves.
        digest: Hash of everything below.
        name: What people see, and the kind of task for which rates are measured.
        kind: One of the ``KIND_`` constants.
        python: ``major.minor`` that pickled it: code objects do not cross versions.
        bundles: Bundles that must be importable first, and the parts of shared objects.
        requirements: Installed packages that must be there, in that version.
    """

    number: Number
    digest: Digest
    name: Name
    kind: Annotated[int, Meta(ge=0, le=3)]
    python: Name
    bundles: Annotated[list[Digest], Meta(max_length=MAX_BUNDLES)]
    requirements: Annotated[list[Requirement], Meta(max_length=1_024)]


class NeedFunction(Message, frozen=True, array_like=True, gc=False, tag=12):
    """A slave has a chunk whose function it does not know; it keeps the chunk until the answer.

    Attributes:
        number: The function.
        missing: Those of its bundles that did not come, if the function itself did.
    """

    number: Number
    missing: Annotated[list[Digest], Meta(max_length=MAX_BUNDLES)] = []  # noqa: RUF012  copied for each message


class ForgetFunction(Message, frozen=True, array_like=True, gc=False, tag=13):
    """The function with this number is not used any more: by the owner that defined it, or by anybody."""

    number: Number


class PackedTask(Struct, frozen=True, array_like=True, gc=False):
    """One entry of a chunk's first body frame.

    Attributes:
        counter: The task's number in its system.
        arguments: Pickled.
        buffers: How many of the chunk's further body frames are this task's out-of-band buffers.
    """

    counter: Number
    arguments: bytes
    buffers: Frames = 0


class PushTasks(Bodied, frozen=True, array_like=True, gc=False, tag=20):
    """A chunk of new tasks, alike in everything but arguments.

    Attributes:
        push: Number of this push in the owner's session, from 1.
        system: Whose tasks these are.
        function: The owner's number of the function.
        priority: Higher first, within a client.
        max_retries: How often a task that raised is tried again.
        timeout: Seconds of one attempt; 0 for no limit.
        resources: What the worker's slave must offer.
    """

    push: Number
    system: Number
    function: Number
    priority: int = 0
    max_retries: Number = 0
    timeout: Seconds = 0.0
    resources: Resources = {}  # noqa: RUF012  copied for each message


class PushSystem(Message, frozen=True, array_like=True, gc=False, tag=21):
    """A task system, whose pickled self is the function ``function``.

    Attributes:
        push: Number of this push in the owner's session.
        system: The id that its owner gave it.
        function: The owner's number of the function.
        name: What people see.
        weight: How much more than other systems of its client it may have.
        detached: Whether it goes on without its client, and is collected by :class:`AttachSystem`.
        timeout: Seconds after which it is ended; 0 for no limit.
    """

    push: Number
    system: Number
    function: Number
    name: Name
    weight: Annotated[float, Meta(ge=MIN_WEIGHT, le=MAX_WEIGHT)] = 1.0
    detached: bool = False
    timeout: Seconds = 0.0


class AttachSystem(Message, frozen=True, array_like=True, gc=False, tag=70):
    """A client wants to be told how a detached system of its key goes, and to have its result."""

    push: Number
    system: Number


class PushAccepted(Message, frozen=True, array_like=True, gc=False, tag=22):
    """The push with this number, and all before it, are accepted and kept."""

    push: Number


class PushRejected(Message, frozen=True, array_like=True, gc=False, tag=23):
    """The push with this number is not accepted, and why; none of its tasks will run."""

    push: Number
    text: Text
    hint: Text = ""


class Assign(Bodied, frozen=True, array_like=True, gc=False, tag=24):
    """A chunk for a slave, or on the work queue for whoever pulls it; forwarded to a worker as it is.

    Attributes:
        chunk: Unique per assignment: the fence against late results of an abandoned attempt.
        system: Whose tasks these are.
        function: The master's number of the function.
        attempt: From 1.
        count: Number of tasks in the first body frame.
        timeout: Seconds of one attempt of one task; 0 for no limit.
        cores: Workers of the slave that one task takes: all but one of them have nothing else to do meanwhile.
    """

    chunk: Number
    system: Number
    function: Number
    attempt: Number
    count: Annotated[int, Meta(ge=1, le=MAX_CHUNK_TASKS)]
    timeout: Seconds = 0.0
    cores: Annotated[int, Meta(ge=1)] = 1


class TakeBack(Message, frozen=True, array_like=True, gc=False, tag=25):
    """Give back what has not started of this chunk.

    Attributes:
        chunk: The chunk.
        kill: Also end the task that is running: it was cancelled.
    """

    chunk: Number
    kill: bool = False


class Cancel(Message, frozen=True, array_like=True, gc=False, tag=26):
    """An owner cancels tasks of a system, or the whole system.

    To an owner: an administrator cancelled all of its tasks, and it should push no more of what it was pushing. It
    answers by cancelling all of them itself.

    Attributes:
        system: The system.
        counters: Which of its tasks; None for the whole system.
        push: Its number among the pushes of the owner's session: it is answered as these are, and done once,
            between those before it and those after it, whatever connections break. 0 if it is not answered.
    """

    system: Number
    counters: Counters | None = None
    push: Number = 0
