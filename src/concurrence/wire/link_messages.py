"""Messages of every link with a master: greeting, signs of life, refusals, status."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from concurrence.wire.fields import (
    MAX_CHUNK_TASKS,
    Bodied,
    Counters,
    Message,
    Name,
    Number,
    Resources,
    Seconds,
    Sizes,
    Text,
)
from concurrence.wire.result_messages import Progress


class SlaveDescription(Struct, frozen=True, array_like=True):
    """What a slave tells of its machine.

    Attributes:
        workers: Number of worker processes.
        credit: Number of chunks that it takes at once.
        cores: Logical processors.
        memory: Physical memory in bytes.
        cpu_model: The processor's name, as the system gives it.
        speed: Measured speed score: iterations of a fixed loop, in millions per second.
        system: Operating system and release.
        labels: Resources beyond ``cpu``, as in ``{"gpu": 1.0}``.
    """

    workers: Number
    credit: Number
    cores: Number
    memory: Number
    cpu_model: Name
    speed: Seconds
    system: Name
    labels: Resources


class Hello(Message, frozen=True, array_like=True, gc=False, tag=1):
    """The first message on a connection; binds the connection to the authenticated key.

    Attributes:
        protocol: The sender's :data:`PROTOCOL_VERSION`.
        package: The sender's version of Concurrent.
        kind: ``client``, ``slave``, ``host`` or ``admin``.
        node: The sender's node id.
        session: A secret of this incarnation; a second hello with the same one resumes it.
        name: The name people see.
        python: Version of Python, ``major.minor``.
        pid: The sender's process id.
        resumes: Whether this incarnation was welcomed before.
        slave: A slave's machine.
        ticket: What the master gave a host to prove which task system it runs.
        system: The system a host runs, or the one of a client's plain tasks.
        chunks: What a slave that resumes still has, so that what got lost on the way is given out again.
        drains: Whether a slave takes no work, because it was told to drain.
        registration: The one that the newest welcome named; 0 before there was any.
        greeting: Counts the greetings of this incarnation: one that comes late, on a connection that was given up
            for another, must not take the place of a newer one.
        left: Of those chunks of which results may be lost: the tasks that the slave will still answer.
    """

    protocol: Number
    package: Name
    kind: Name
    node: Name
    session: Name
    name: Name
    python: Name
    pid: Number
    resumes: bool = False
    slave: SlaveDescription | None = None
    ticket: Name = ""
    system: Number = 0
    chunks: Counters = []  # noqa: RUF012  copied for each message
    drains: bool = False
    registration: Number = 0
    greeting: Number = 0
    left: Annotated[dict[Number, Counters], Meta(max_length=MAX_CHUNK_TASKS)] = {}  # noqa: RUF012  the same


class Welcome(Message, frozen=True, array_like=True, gc=False, tag=2):
    """The answer to an accepted hello.

    Attributes:
        protocol: The master's :data:`PROTOCOL_VERSION`.
        package: The master's version of Concurrent.
        master: The master's node id.
        known: Whether the master knew this incarnation: False after a hello that resumes means that what was
            under way is lost.
        heartbeat: A peer with nothing to say sends a ping this often.
        lease: A peer that was silent for this long is given up.
        task_window: How many unfinished tasks an owner may have at the master.
        byte_window: How many bytes of unfinished tasks an owner may have at the master.
        work_address: Where slaves pull shared work from; empty if the policy has no work queue.
        registration: Another one than the welcome before named means that the master forgot this node meanwhile,
            even if it knows it again: an answer that said so may have been lost.
    """

    protocol: Number
    package: Name
    master: Name
    known: bool
    heartbeat: Seconds
    lease: Seconds
    task_window: Number = 0
    byte_window: Number = 0
    work_address: Name = ""
    registration: Number = 0


class Refusal(Message, frozen=True, array_like=True, gc=False, tag=3):
    """The master turns the peer away, and why; the peer does not try again unless ``retry``."""

    code: Name
    text: Text
    hint: Text
    retry: bool = False


class Ping(Message, frozen=True, array_like=True, gc=False, tag=4):
    """A sign of life; answered by :class:`Pong`."""

    number: Number = 0


class Pong(Message, frozen=True, array_like=True, gc=False, tag=5):
    """The answer to a ping."""

    number: Number = 0


class Bye(Message, frozen=True, array_like=True, gc=False, tag=6):
    """The sender leaves on purpose; what an owner still has at the master is cancelled."""

    reason: Text = ""


class Piece(Bodied, frozen=True, array_like=True, gc=False, tag=91):
    """A part of a transport message that is too large to travel whole: see :mod:`concurrence.wire.pieces`.

    Its body frames are what comes next of the frames of that message: each but the first begins a new one.

    Attributes:
        number: Higher by one than that of the piece before it; of the first piece of a message, higher.
        sizes: Of the first piece: the bytes of each frame of the whole message. Of others nothing.
    """

    number: Number
    sizes: Sizes = []  # noqa: RUF012  copied for each message


class PieceTaken(Message, frozen=True, array_like=True, gc=False, tag=92):
    """The answer to pieces: this one came, and all before it. More may follow."""

    number: Number


class Pause(Message, frozen=True, array_like=True, gc=False, tag=90):
    """The master tells a slave to pull nothing from the work queue until it says otherwise; it still sends work.

    Attributes:
        reason: Why, for the slave's log.
        paused: Whether it is to pause; if not, it pulls again.
    """

    reason: Text = ""
    paused: bool = True


class NodeStatus(Struct, frozen=True, array_like=True):
    """A connected node, for people.

    Attributes:
        busy_chunks: Chunks that a slave has.
        finished: Tasks that ran there.
        drains: Whether a slave takes no more work.
        note: What else is to be said of it: why it is given no work.
    """

    node: Name
    name: Name
    kind: Name
    address: Name
    age: Seconds
    workers: Number
    busy_chunks: Number
    finished: Number
    drains: bool = False
    note: Text = ""


class StatusRequest(Message, frozen=True, array_like=True, gc=False, tag=50):
    """Asks for :class:`Status`."""

    request: Number


class Status(Message, frozen=True, array_like=True, gc=False, tag=51):
    """The state of the swarm, for people."""

    request: Number
    master: Name
    package: Name
    uptime: Seconds
    scheduler: Name
    nodes: list[NodeStatus]
    systems: list[Progress]
    stats: dict[Name, float]
