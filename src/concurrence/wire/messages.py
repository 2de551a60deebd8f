"""Every message of every link, both directions, as frozen types with limits.

A transport message is one *header* frame, the encoded list of messages for that peer, and the *body* frames
that those messages own, in order. What is user data (pickled tasks, results, functions) lives only in body
frames: whoever routes it never looks inside.

| link | unions |
|---|---|
| client or task system's host <-> master | :data:`FromOwner`, :data:`ToOwner` |
| slave <-> master | :data:`FromSlave`, :data:`ToSlave` |
| caller of remote methods <-> master | :data:`FromCaller`, the same |
| worker <-> slave | :data:`FromWorker`, :data:`ToWorker` |
| template <-> the node that owns it | :data:`FromTemplate`, :data:`ToTemplate` |
"""

from __future__ import annotations

from typing import TypeAlias

from concurrence.wire.api_messages import ApiAnswer, CallApi
from concurrence.wire.fields import (
    CANCELLED,
    EXPIRED,
    FAILED,
    FINISHED,
    KIND_CALL,
    KIND_OBJECT,
    KIND_SYSTEM,
    KIND_TASK,
    LOST,
    MAX_BUNDLES,
    MAX_CHUNK_TASKS,
    MAX_FRAMES,
    PROTOCOL_VERSION,
    REFUSED,
    RETURNED,
    Bodied,
    Counters,
    Digest,
    Frames,
    Message,
    Name,
    Number,
    Resources,
    Seconds,
    Statuses,
    Text,
)
from concurrence.wire.link_messages import (
    Bye,
    Hello,
    NodeStatus,
    Pause,
    Piece,
    PieceTaken,
    Ping,
    Pong,
    Refusal,
    SlaveDescription,
    Status,
    StatusRequest,
    Welcome,
)
from concurrence.wire.process_messages import (
    ChildExited,
    ChildStarted,
    SignalChild,
    StartChild,
    StopChild,
    WorkerGrown,
    WorkerReady,
)
from concurrence.wire.result_messages import (
    AttemptLost,
    ChunkResults,
    Claimed,
    Delivered,
    Output,
    PackedResult,
    Progress,
    ReportProgress,
    Results,
    SlaveEntry,
    SlaveList,
    SystemEnded,
    SystemResult,
)
from concurrence.wire.rpc_messages import RpcCall, RpcFailure, RpcHello, RpcResult
from concurrence.wire.steering_messages import Drain, Draining
from concurrence.wire.task_messages import (
    Assign,
    AttachSystem,
    Cancel,
    DefineBundle,
    DefineFunction,
    ForgetFunction,
    NeedFunction,
    PackedTask,
    PushAccepted,
    PushRejected,
    PushSystem,
    PushTasks,
    Requirement,
    TakeBack,
)
from concurrence.wire.usage_messages import AskUsage, SlaveUsage, Usage

FromOwner: TypeAlias = (
    Hello | Ping | Pong | Piece | PieceTaken | Bye | DefineBundle | DefineFunction | ForgetFunction | PushTasks
    | PushSystem | AttachSystem | Cancel | Delivered | SystemEnded | ReportProgress | Output | StatusRequest
    | CallApi | AskUsage
)  # fmt: skip
ToOwner: TypeAlias = (
    Welcome | Refusal | Ping | Pong | Piece | PieceTaken | Bye | DefineBundle | DefineFunction | PushAccepted
    | PushRejected | Results | SystemResult | Progress | Output | SlaveList | Status | ApiAnswer | Usage
    | Cancel
)  # fmt: skip
FromSlave: TypeAlias = (
    Hello | Ping | Pong | Piece | PieceTaken | Bye | NeedFunction | ChunkResults | AttemptLost | Claimed | Output
    | Draining
)  # fmt: skip
ToSlave: TypeAlias = (
    Welcome | Refusal | Ping | Pong | Piece | PieceTaken | Bye | DefineBundle | DefineFunction | ForgetFunction
    | Assign | TakeBack | Drain | Pause
)  # fmt: skip
FromCaller: TypeAlias = RpcHello | RpcCall | RpcResult | RpcFailure
ToMaster: TypeAlias = FromOwner | FromSlave | FromCaller
ToWorker: TypeAlias = DefineBundle | DefineFunction | ForgetFunction | Assign | Bye
FromWorker: TypeAlias = WorkerReady | WorkerGrown | ChunkResults | Output
ToTemplate: TypeAlias = StartChild | StopChild | SignalChild | Bye
FromTemplate: TypeAlias = ChildStarted | ChildExited

__all__ = [
    "CANCELLED",
    "EXPIRED",
    "FAILED",
    "FINISHED",
    "KIND_CALL",
    "KIND_OBJECT",
    "KIND_SYSTEM",
    "KIND_TASK",
    "LOST",
    "MAX_BUNDLES",
    "MAX_CHUNK_TASKS",
    "MAX_FRAMES",
    "PROTOCOL_VERSION",
    "REFUSED",
    "RETURNED",
    "ApiAnswer",
    "AskUsage",
    "Assign",
    "AttachSystem",
    "AttemptLost",
    "Bodied",
    "Bye",
    "CallApi",
    "Cancel",
    "ChildExited",
    "ChildStarted",
    "ChunkResults",
    "Claimed",
    "Counters",
    "DefineBundle",
    "DefineFunction",
    "Delivered",
    "Digest",
    "Drain",
    "Draining",
    "ForgetFunction",
    "Frames",
    "FromCaller",
    "FromOwner",
    "FromSlave",
    "FromTemplate",
    "FromWorker",
    "Hello",
    "Message",
    "Name",
    "NeedFunction",
    "NodeStatus",
    "Number",
    "Output",
    "PackedResult",
    "PackedTask",
    "Pause",
    "Piece",
    "PieceTaken",
    "Ping",
    "Pong",
    "Progress",
    "PushAccepted",
    "PushRejected",
    "PushSystem",
    "PushTasks",
    "Refusal",
    "ReportProgress",
    "Requirement",
    "Resources",
    "Results",
    "Seconds",
    "RpcCall",
    "RpcFailure",
    "RpcHello",
    "RpcResult",
    "SignalChild",
    "SlaveDescription",
    "SlaveEntry",
    "SlaveList",
    "SlaveUsage",
    "StartChild",
    "Status",
    "StatusRequest",
    "Statuses",
    "StopChild",
    "SystemEnded",
    "SystemResult",
    "TakeBack",
    "Text",
    "ToMaster",
    "ToOwner",
    "ToSlave",
    "ToTemplate",
    "ToWorker",
    "Usage",
    "Welcome",
    "WorkerGrown",
    "WorkerReady",
]
