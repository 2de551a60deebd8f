"""The options of whoever pushes tasks to a master: applications and scripts."""

from __future__ import annotations

from concurrence.component import Component
from concurrence.env.extension_options import ExtensionOption
from concurrence.env.options import BoolOption, DurationOption, IntOption, PathOption
from concurrence.tasks.ownership import MAX_DEPTH
from concurrence.transport.api import ITransport


class ClientOptions(Component, abstract=True):
    """How a client reaches its master, and how long it waits."""

    transport = ExtensionOption(
        "node", "transport", ITransport, "ZMQTransport", "What carries messages between nodes."
    )
    master = PathOption(
        "application", "master", None, "The connect file of the master; without one a private swarm is started."
    )
    connect_timeout = DurationOption(
        "application", "connect_timeout", 10.0, "How long to wait for the master's first answer."
    )
    push_timeout = DurationOption(
        "application", "push_timeout", 600.0, "How long a push outside handlers waits for room.", live=True
    )
    max_depth = IntOption(
        "application",
        "max_depth",
        MAX_DEPTH,
        "How many tasks may push one another in a row; beyond it the task that pushes fails.",
        min=0,
    )
    detach = BoolOption(
        "application",
        "detach",
        False,
        "Whether the application's task system is left at the master, where concurrence attach finds it.",
    )
