"""Concurrent distributes the logic of whole applications onto a swarm of machines.

This is the facade: every public name for authors of applications, loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from concurrence.version import __version__

if TYPE_CHECKING:
    from concurrence.component import Component, ComponentManager, ExtensionPoint, Interface
    from concurrence.env.environment import Environment
    from concurrence.env.extension_options import ExtensionOption, OrderedExtensionsOption
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
    from concurrence.errors import Backpressure, ConcurrenceError, TaskCancelled, TaskError
    from concurrence.ids import NodeId, SystemId, TaskId
    from concurrence.nodes.api import IApp
    from concurrence.nodes.application import ApplicationNode
    from concurrence.nodes.running import run
    from concurrence.tasks.api import ITaskMaster, ITaskSystem, SlaveSummary, Task, TaskCounts
    from concurrence.tasks.functions import task

_HOMES = {
    "concurrence.component": ("Component", "ComponentManager", "ExtensionPoint", "Interface"),
    "concurrence.env.environment": ("Environment",),
    "concurrence.env.extension_options": ("ExtensionOption", "OrderedExtensionsOption"),
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
    "concurrence.errors": ("Backpressure", "ConcurrenceError", "TaskCancelled", "TaskError"),
    "concurrence.ids": ("NodeId", "SystemId", "TaskId"),
    "concurrence.nodes.api": ("IApp",),
    "concurrence.nodes.application": ("ApplicationNode",),
    "concurrence.nodes.running": ("run",),
    "concurrence.tasks.api": ("ITaskMaster", "ITaskSystem", "SlaveSummary", "Task", "TaskCounts"),
    "concurrence.tasks.functions": ("task",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

# By topic; a test holds this list against the table above.
__all__ = [
    "__version__",
    # applications
    "ApplicationNode",
    "IApp",
    "run",
    # tasks and task systems
    "ITaskMaster",
    "ITaskSystem",
    "SlaveSummary",
    "Task",
    "TaskCounts",
    "task",
    # errors
    "Backpressure",
    "ConcurrenceError",
    "TaskCancelled",
    "TaskError",
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
