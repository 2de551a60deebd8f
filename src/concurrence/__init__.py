"""Concurrent distributes the logic of whole applications onto a swarm of machines.

This is the facade: every public name for authors of applications, loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from concurrence.version import __version__

if TYPE_CHECKING:
    from concurrence.component import Component, ComponentManager, ExtensionPoint, Interface
    from concurrence.env.api import ICommands
    from concurrence.env.environment import Environment
    from concurrence.env.extension_options import ExtensionOption, OrderedExtensionsOption
    from concurrence.env.lifecycle import ILifecycle
    from concurrence.env.options import (
        AddressOption,
        BoolOption,
        ByteSizeOption,
        ChoiceOption,
        DurationOption,
        FloatOption,
        IntOption,
        ListOption,
        PathOption,
        StrOption,
    )
    from concurrence.errors import (
        AddressInUse,
        AuthenticationFailed,
        Backpressure,
        ComponentError,
        ConcurrenceError,
        ConfigError,
        ConnectionFailed,
        EnvironmentInvalid,
        MessageTooLarge,
        NotFound,
        PackingError,
        PluginError,
        ProtocolError,
        Refused,
        TaskCancelled,
        TaskError,
        TaskInterrupted,
        UsageError,
        WorkerStartFailed,
        WouldBlock,
    )
    from concurrence.ids import NodeId, SystemId, TaskId
    from concurrence.journal.api import DurableListener, IJournal, JournalEntry
    from concurrence.nodes.advice import advise
    from concurrence.nodes.api import IApiMethods, IApp, INodeHandle, INodeService, NodeType
    from concurrence.nodes.application import ApplicationNode
    from concurrence.nodes.display import PlainDisplay
    from concurrence.nodes.report_page import report_page
    from concurrence.nodes.run_report import RunReport, SlaveShare, Split
    from concurrence.nodes.running import run
    from concurrence.scheduling.api import ITaskScheduler, ITaskScheduleStrategy, SlaveView, SwarmState, WorkView
    from concurrence.scheduling.registry import SlaveNodeRecord
    from concurrence.scripting.completion import as_completed, wait
    from concurrence.scripting.connecting import connect, local_swarm
    from concurrence.scripting.futures import Future
    from concurrence.scripting.swarm import Swarm
    from concurrence.tasks.api import ITaskMaster, ITaskSystem, SlaveSummary, Task, TaskCounts
    from concurrence.tasks.children import push_task, push_tasks
    from concurrence.tasks.functions import task
    from concurrence.tasks.shared import Shared
    from concurrence.transport.api import (
        IClient,
        IReactor,
        IServer,
        ITransport,
        IWorkQueue,
        IWorkSource,
        Origin,
        PeerId,
    )
    from concurrence.transport.remote import ApiRequest, ApiService, jsonremote
    from concurrence.transport.rpc_client import RpcClient
    from concurrence.transport.rpc_errors import (
        BadParameters,
        CallFailed,
        CallLost,
        RemoteException,
        UnknownMethod,
        VersionMismatch,
    )
    from concurrence.transport.rpc_loop import run_until
    from concurrence.transport.rpc_methods import tcpremote
    from concurrence.transport.rpc_server import RpcPeer, RpcServer
    from concurrence.transport.security import Credentials, KeyRing, Role
    from concurrence.transport.standalone import open_transport
    from concurrence.transport.tcp_transport import TCPTransport
    from concurrence.transport.zmq_transport import ZMQTransport
    from concurrence.wire.codec import Frame, Parcel
    from concurrence.wire.messages import ChunkResults
    from concurrence.workers.api import ITaskManager, Upstream
    from concurrence.workers.cores import available_cores
    from concurrence.workers.generic import GenericTaskManager
    from concurrence.workers.zmq import ZMQTaskManager

_HOMES = {
    "concurrence.component": ("Component", "ComponentManager", "ExtensionPoint", "Interface"),
    "concurrence.env.api": ("ICommands",),
    "concurrence.env.environment": ("Environment",),
    "concurrence.env.extension_options": ("ExtensionOption", "OrderedExtensionsOption"),
    "concurrence.env.lifecycle": ("ILifecycle",),
    "concurrence.env.options": (
        "AddressOption",
        "BoolOption",
        "ByteSizeOption",
        "ChoiceOption",
        "DurationOption",
        "FloatOption",
        "IntOption",
        "ListOption",
        "PathOption",
        "StrOption",
    ),
    "concurrence.errors": (
        "AddressInUse",
        "AuthenticationFailed",
        "Backpressure",
        "ComponentError",
        "ConcurrenceError",
        "ConfigError",
        "ConnectionFailed",
        "EnvironmentInvalid",
        "MessageTooLarge",
        "NotFound",
        "PackingError",
        "PluginError",
        "ProtocolError",
        "Refused",
        "TaskCancelled",
        "TaskError",
        "TaskInterrupted",
        "UsageError",
        "WorkerStartFailed",
        "WouldBlock",
    ),
    "concurrence.ids": ("NodeId", "SystemId", "TaskId"),
    "concurrence.journal.api": ("DurableListener", "IJournal", "JournalEntry"),
    "concurrence.nodes.api": ("IApiMethods", "IApp", "INodeHandle", "INodeService", "NodeType"),
    "concurrence.nodes.advice": ("advise",),
    "concurrence.nodes.application": ("ApplicationNode",),
    "concurrence.scripting.connecting": ("connect", "local_swarm"),
    "concurrence.scripting.completion": ("as_completed", "wait"),
    "concurrence.nodes.display": ("PlainDisplay",),
    "concurrence.scripting.futures": ("Future",),
    "concurrence.nodes.report_page": ("report_page",),
    "concurrence.nodes.run_report": ("RunReport", "SlaveShare", "Split"),
    "concurrence.nodes.running": ("run",),
    "concurrence.scripting.swarm": ("Swarm",),
    "concurrence.scheduling.api": (
        "ITaskScheduler",
        "ITaskScheduleStrategy",
        "SlaveView",
        "SwarmState",
        "WorkView",
    ),
    "concurrence.scheduling.registry": ("SlaveNodeRecord",),
    "concurrence.tasks.api": ("ITaskMaster", "ITaskSystem", "SlaveSummary", "Task", "TaskCounts"),
    "concurrence.tasks.children": ("push_task", "push_tasks"),
    "concurrence.tasks.functions": ("task",),
    "concurrence.tasks.shared": ("Shared",),
    "concurrence.transport.api": (
        "IClient",
        "IReactor",
        "IServer",
        "ITransport",
        "IWorkQueue",
        "IWorkSource",
        "Origin",
        "PeerId",
    ),
    "concurrence.transport.remote": ("ApiRequest", "ApiService", "jsonremote"),
    "concurrence.transport.rpc_client": ("RpcClient",),
    "concurrence.transport.rpc_errors": (
        "BadParameters",
        "CallFailed",
        "CallLost",
        "RemoteException",
        "UnknownMethod",
        "VersionMismatch",
    ),
    "concurrence.transport.rpc_loop": ("run_until",),
    "concurrence.transport.rpc_methods": ("tcpremote",),
    "concurrence.transport.rpc_server": ("RpcPeer", "RpcServer"),
    "concurrence.transport.security": ("Credentials", "KeyRing", "Role"),
    "concurrence.transport.standalone": ("open_transport",),
    "concurrence.transport.tcp_transport": ("TCPTransport",),
    "concurrence.transport.zmq_transport": ("ZMQTransport",),
    "concurrence.wire.codec": ("Frame", "Parcel"),
    "concurrence.wire.messages": ("ChunkResults",),
    "concurrence.workers.api": ("ITaskManager", "Upstream"),
    "concurrence.workers.cores": ("available_cores",),
    "concurrence.workers.generic": ("GenericTaskManager",),
    "concurrence.workers.zmq": ("ZMQTaskManager",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

# By topic; a test holds this list against the table above.
__all__ = [
    "__version__",
    # applications
    "ApplicationNode",
    "IApp",
    "available_cores",
    "run",
    # scripts and notebooks
    "Future",
    "PlainDisplay",
    "RunReport",
    "SlaveShare",
    "Split",
    "Swarm",
    "advise",
    "as_completed",
    "connect",
    "local_swarm",
    "report_page",
    "wait",
    # tasks and task systems
    "ITaskMaster",
    "ITaskSystem",
    "Shared",
    "SlaveSummary",
    "Task",
    "TaskCounts",
    "push_task",
    "push_tasks",
    "task",
    # remote methods, usable without the rest
    "BadParameters",
    "CallFailed",
    "CallLost",
    "RemoteException",
    "Role",
    "RpcClient",
    "RpcPeer",
    "RpcServer",
    "UnknownMethod",
    "VersionMismatch",
    "open_transport",
    "run_until",
    "tcpremote",
    # errors
    "AddressInUse",
    "AuthenticationFailed",
    "Backpressure",
    "ComponentError",
    "ConcurrenceError",
    "ConfigError",
    "ConnectionFailed",
    "EnvironmentInvalid",
    "MessageTooLarge",
    "NotFound",
    "PackingError",
    "PluginError",
    "ProtocolError",
    "Refused",
    "TaskCancelled",
    "TaskError",
    "TaskInterrupted",
    "UsageError",
    "WorkerStartFailed",
    "WouldBlock",
    # identities
    "NodeId",
    "SystemId",
    "TaskId",
    # components and configuration
    "AddressOption",
    "BoolOption",
    "ByteSizeOption",
    "ChoiceOption",
    "Component",
    "ComponentManager",
    "DurationOption",
    "Environment",
    "ExtensionOption",
    "ExtensionPoint",
    "FloatOption",
    "IntOption",
    "Interface",
    "ListOption",
    "OrderedExtensionsOption",
    "PathOption",
    "StrOption",
    # for authors of plug-ins
    "ApiRequest",
    "ApiService",
    "ChunkResults",
    "Credentials",
    "DurableListener",
    "Frame",
    "GenericTaskManager",
    "IApiMethods",
    "IClient",
    "ICommands",
    "IJournal",
    "ILifecycle",
    "INodeHandle",
    "INodeService",
    "IReactor",
    "IServer",
    "ITaskManager",
    "ITaskScheduleStrategy",
    "ITaskScheduler",
    "ITransport",
    "IWorkQueue",
    "IWorkSource",
    "JournalEntry",
    "KeyRing",
    "NodeType",
    "Origin",
    "Parcel",
    "PeerId",
    "SlaveNodeRecord",
    "SlaveView",
    "SwarmState",
    "TCPTransport",
    "Upstream",
    "WorkView",
    "ZMQTaskManager",
    "ZMQTransport",
    "jsonremote",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: a worker pays only for what its task needs."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'concurrence' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
