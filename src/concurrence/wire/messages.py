"""Every message of every link, both directions, as frozen types with limits.

A transport message is one *header* frame, the encoded list of messages for that peer, and the *body* frames
that those messages own, in order. What is user data (pickled tasks, results, functions) lives only in body
frames: whoever routes it never looks inside.

| link | unions |
|---|---|
| client or task system's host <-> master | :data:`FromOwner`, :data:`ToOwner` |
| slave <-> master | :data:`FromSlave`, :data:`ToSlave` |
| worker <-> slave | :data:`FromWorker`, :data:`ToWorker` |
| template <-> the node that owns it | :data:`FromTemplate`, :data:`ToTemplate` |
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

PROTOCOL_VERSION = 1
"""Raised by one with each incompatible change; both ends name theirs in the greeting."""

MAX_FRAMES = 65_536
MAX_CHUNK_TASKS = 4_096

Number: TypeAlias = Annotated[int, Meta(ge=0)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0)]
Digest: TypeAlias = Annotated[bytes, Meta(min_length=16, max_length=16)]
Name: TypeAlias = Annotated[str, Meta(max_length=1_024)]
Text: TypeAlias = Annotated[str, Meta(max_length=131_072)]
Frames: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_FRAMES)]
Counters: TypeAlias = Annotated[list[Number], Meta(max_length=MAX_CHUNK_TASKS)]
Statuses: TypeAlias = Annotated[bytes, Meta(max_length=MAX_CHUNK_TASKS)]
Resources: TypeAlias = Annotated[dict[Name, Seconds], Meta(max_length=32)]

# How one task ended: one byte each in Statuses.
FINISHED = 0
FAILED = 1  # its code raised; the payload is an encoded Fault
REFUSED = 2  # it could not start here or return: missing package, unpicklable result; a Fault
EXPIRED = 3  # its time-out; a Fault
RETURNED = 4  # taken back before it started; no payload
CANCELLED = 5  # by its owner; a Fault
LOST = 6  # its workers died too often; a Fault

# What the arguments of a task mean to its function.
KIND_CALL = 0  # a function; the arguments are (args, kwargs)
KIND_TASK = 1  # a Task class; the arguments are the instance's __dict__
KIND_OBJECT = 2  # no function: the arguments are the pickled Task itself
KIND_SYSTEM = 3  # a task system: the function blob is the pickled ITaskSystem


class Message(Struct, frozen=True, array_like=True, gc=False):
    """The base of all messages."""


class Bodied(Message, frozen=True, array_like=True, gc=False):
    """A message that owns body frames.

    Attributes:
        frames: How many body frames follow for this message.
    """

    frames: Frames


# --- greeting ---------------------------------------------------------------------------------------------


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
    chunks: Counters = []


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


# --- code -------------------------------------------------------------------------------------------------


class Requirement(Struct, frozen=True, array_like=True, gc=False):
    """An installed package that a function imports: its import name, distribution and version."""

    module: Name
    distribution: Name
    version: Name


class DefineBundle(Bodied, frozen=True, array_like=True, gc=False, tag=10):
    """The sources of an application's own modules; sent once to each peer that needs them."""

    digest: Digest


class DefineFunction(Bodied, frozen=True, array_like=True, gc=False, tag=11):
    """A function, task class or system; sent once to each peer, then named by its number.

    Attributes:
        number: The sender's number for it: an owner's own, or the master's towards slaves.
        digest: Hash of everything below.
        name: What people see, and the kind of task for which rates are measured.
        kind: One of the ``KIND_`` constants.
        python: ``major.minor`` that pickled it: code objects do not cross versions.
        bundles: Bundles that must be importable first.
        requirements: Installed packages that must be there, in that version.
    """

    number: Number
    digest: Digest
    name: Name
    kind: Annotated[int, Meta(ge=0, le=3)]
    python: Name
    bundles: Annotated[list[Digest], Meta(max_length=64)]
    requirements: Annotated[list[Requirement], Meta(max_length=1_024)]


class NeedFunction(Message, frozen=True, array_like=True, gc=False, tag=12):
    """A slave has a chunk whose function it does not know; it keeps the chunk until the answer."""

    number: Number


class ForgetFunction(Message, frozen=True, array_like=True, gc=False, tag=13):
    """The function with this number is not used any more."""

    number: Number


# --- tasks, from their owner to a worker ------------------------------------------------------------------


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
    resources: Resources = {}


class PushSystem(Message, frozen=True, array_like=True, gc=False, tag=21):
    """A task system, whose pickled self is the function ``function``."""

    push: Number
    system: Number
    function: Number
    name: Name


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
    """

    chunk: Number
    system: Number
    function: Number
    attempt: Number
    count: Annotated[int, Meta(ge=1, le=MAX_CHUNK_TASKS)]
    timeout: Seconds = 0.0


class TakeBack(Message, frozen=True, array_like=True, gc=False, tag=25):
    """Give back what has not started of this chunk.

    Attributes:
        chunk: The chunk.
        kill: Also end the task that is running: it was cancelled.
    """

    chunk: Number
    kill: bool = False


class Cancel(Message, frozen=True, array_like=True, gc=False, tag=26):
    """An owner cancels tasks of a system, or the whole system if ``counters`` is None."""

    system: Number
    counters: Counters | None = None


# --- results, from a worker to the owner ------------------------------------------------------------------


class PackedResult(Struct, frozen=True, array_like=True, gc=False):
    """One entry of a result chunk's first body frame: pickled value, or an encoded Fault."""

    payload: bytes
    buffers: Frames = 0


class ChunkResults(Bodied, frozen=True, array_like=True, gc=False, tag=30):
    """Results of some or all tasks of a chunk, in the order of ``counters``.

    Attributes:
        chunk: The assignment they belong to.
        counters: The tasks.
        statuses: One byte a task: ``FINISHED`` and so on.
        busy: Seconds that the worker spent in these tasks.
    """

    chunk: Number
    counters: Counters
    statuses: Statuses
    busy: Seconds


class AttemptLost(Message, frozen=True, array_like=True, gc=False, tag=31):
    """A worker died; what it had of the chunk and did not finish is to be run again.

    Attributes:
        chunk: The assignment.
        running: The counter of the task that was running, which is charged; None if none was.
        text: How the worker ended: signal or exit code.
        peak_memory: The worker's largest resident size, in bytes.
        output: The last lines that the running task wrote.
    """

    chunk: Number
    running: Number | None
    text: Text
    peak_memory: Number = 0
    output: Text = ""


class Claimed(Message, frozen=True, array_like=True, gc=False, tag=32):
    """A slave pulled these chunks from the work queue."""

    chunks: Counters


class Results(Bodied, frozen=True, array_like=True, gc=False, tag=33):
    """Ends of tasks for their owner, kept by the master until :class:`Delivered`.

    Attributes:
        delivery: Number of this delivery in the owner's session, from 1.
        system: Whose tasks these are.
        counters: The tasks.
        statuses: One byte a task.
        busy: Seconds that the worker spent in these tasks.
        slave: The name of the slave that ran them; empty if none did.
        attempt: The attempt that counts.
    """

    delivery: Number
    system: Number
    counters: Counters
    statuses: Statuses
    busy: Seconds
    slave: Name = ""
    attempt: Number = 0


class Delivered(Message, frozen=True, array_like=True, gc=False, tag=34):
    """The owner has handled all deliveries up to this one."""

    delivery: Number


# --- task systems, progress, output -----------------------------------------------------------------------


class SystemEnded(Bodied, frozen=True, array_like=True, gc=False, tag=40):
    """From a host: its system is complete; the body is a results frame with one entry."""

    system: Number
    status: Number
    text: Text = ""


class SystemResult(Bodied, frozen=True, array_like=True, gc=False, tag=41):
    """To the client that pushed it: the system's one result; kept until :class:`Delivered`."""

    delivery: Number
    system: Number
    status: Number


class ReportProgress(Message, frozen=True, array_like=True, gc=False, tag=42):
    """From a host: how far its system says it is."""

    system: Number
    done: Seconds
    total: Seconds
    text: Text = ""


class Progress(Message, frozen=True, array_like=True, gc=False, tag=43):
    """The state of one system, sent a few times a second while it changes.

    Attributes:
        system: Which one.
        queued: Tasks that wait.
        running: Tasks at slaves.
        finished: Tasks that returned a result.
        failed: Tasks that failed for good.
        cancelled: Tasks that were cancelled.
        busy: Seconds that workers spent in its tasks.
        moved: Bytes of tasks and results between owner, master and slaves.
        done: What the system itself reported, if ``total`` is not 0.
        total: See ``done``.
        text: See ``done``.
    """

    system: Number
    queued: Number = 0
    running: Number = 0
    finished: Number = 0
    failed: Number = 0
    cancelled: Number = 0
    busy: Seconds = 0.0
    moved: Number = 0
    done: Seconds = 0.0
    total: Seconds = 0.0
    text: Text = ""


class Output(Message, frozen=True, array_like=True, gc=False, tag=44):
    """What a task or task system printed or logged.

    Attributes:
        system: Whose.
        counter: The task; None for the task system itself.
        stream: ``stdout``, ``stderr`` or ``log``.
        source: The slave's name.
        text: Whole lines, without the last newline.
    """

    system: Number
    counter: Number | None
    stream: Name
    source: Name
    text: Text


class SlaveEntry(Struct, frozen=True, array_like=True, gc=False):
    """A connected slave, as a task system is told of it."""

    name: Name
    workers: Number


class SlaveList(Message, frozen=True, array_like=True, gc=False, tag=45):
    """To hosts: the connected slaves, whenever one comes or goes."""

    slaves: list[SlaveEntry]


# --- status -----------------------------------------------------------------------------------------------


class NodeStatus(Struct, frozen=True, array_like=True):
    """A connected node, for people."""

    node: Name
    name: Name
    kind: Name
    address: Name
    age: Seconds
    workers: Number
    busy_chunks: Number
    finished: Number


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


# --- worker and template ----------------------------------------------------------------------------------


class WorkerReady(Message, frozen=True, array_like=True, gc=False, tag=60):
    """A worker is up."""

    pid: Number


class StartChild(Message, frozen=True, array_like=True, gc=False, tag=61):
    """Fork a child; its end of the link and the memory of its cell come along as file descriptors.

    Attributes:
        number: The owner's number for it.
        kind: ``worker`` or ``host``.
        spec: What the child needs to know, encoded by and for its own module.
    """

    number: Number
    kind: Name
    spec: bytes


class StopChild(Message, frozen=True, array_like=True, gc=False, tag=62):
    """Send a signal to the child's process group."""

    number: Number
    signal: Number


class ChildStarted(Message, frozen=True, array_like=True, gc=False, tag=63):
    """The child runs."""

    number: Number
    pid: Number


class ChildExited(Message, frozen=True, array_like=True, gc=False, tag=64):
    """The child ended.

    Attributes:
        number: The owner's number for it.
        pid: Its process id.
        code: Exit code, or minus the signal's number.
        peak_memory: Largest resident size, in bytes.
        seconds: CPU seconds.
    """

    number: Number
    pid: Number
    code: int
    peak_memory: Number
    seconds: Seconds


FromOwner: TypeAlias = (
    Hello | Ping | Pong | Bye | DefineBundle | DefineFunction | PushTasks | PushSystem | Cancel | Delivered
    | SystemEnded | ReportProgress | Output | StatusRequest
)  # fmt: skip
ToOwner: TypeAlias = (
    Welcome | Refusal | Ping | Pong | Bye | DefineBundle | DefineFunction | PushAccepted | PushRejected | Results
    | SystemResult | Progress | Output | SlaveList | Status
)  # fmt: skip
FromSlave: TypeAlias = (
    Hello | Ping | Pong | Bye | NeedFunction | ChunkResults | AttemptLost | Claimed | Output
)  # fmt: skip
ToSlave: TypeAlias = (
    Welcome | Refusal | Ping | Pong | Bye | DefineBundle | DefineFunction | ForgetFunction | Assign | TakeBack
)  # fmt: skip
ToMaster: TypeAlias = FromOwner | FromSlave
ToWorker: TypeAlias = DefineBundle | DefineFunction | ForgetFunction | Assign | Bye
FromWorker: TypeAlias = WorkerReady | ChunkResults | Output
ToTemplate: TypeAlias = StartChild | StopChild | Bye
FromTemplate: TypeAlias = ChildStarted | ChildExited
