"""The options of a master that bound what it holds and for how long; all of them can be changed while it runs."""

from __future__ import annotations

from concurrence.env.options import ByteSizeOption, ChoiceOption, DurationOption, IntOption
from concurrence.nodes.labels import WeightsOption, parse_weights
from concurrence.nodes.serving import ServingNode
from concurrence.scheduling.api import Limits
from concurrence.transport.descriptors import connections_within, open_files

_PINGS_PER_LEASE = 3.0  # at least; with fewer a node would be given up for one late ping


class LimitedNode(ServingNode, abstract=True):
    """A node with the limits of a master."""

    lease = DurationOption(
        "masternode", "lease", 10.0, "A node that is silent for so long is given up.", live=True
    )
    heartbeat = DurationOption(
        "masternode",
        "heartbeat",
        2.0,
        "A node with nothing to say pings this often, but at least three times in a lease.",
        live=True,
    )
    task_window = IntOption(
        "masternode", "task_window", 131_072, "Unfinished tasks that one owner may have here.", min=1, live=True
    )
    delivery_window = ByteSizeOption(
        "masternode",
        "delivery_window",
        256 * 1024 * 1024,
        "Results that an owner may leave unacknowledged.",
        live=True,
    )
    code_window = ByteSizeOption(
        "masternode", "code_window", 1 << 30, "Code and shared objects that one owner may have here.", live=True
    )
    max_attempts = IntOption(
        "masternode", "max_attempts", 3, "Workers that a task may kill before it is given up.", min=1, live=True
    )
    impossible_tasks = ChoiceOption(
        "masternode",
        "impossible_tasks",
        ("wait", "fail"),
        "wait",
        "What becomes of tasks that no connected slave can ever run. Without any slave tasks always wait.",
        live=True,
    )
    impossible_patience = DurationOption(
        "masternode",
        "impossible_patience",
        10.0,
        "After so long impossible tasks fail, if they are to.",
        live=True,
    )
    retry_delay = DurationOption(
        "masternode",
        "retry_delay",
        0.1,
        "Wait before a task that raised is tried again; doubled with each failure, half of it left to chance.",
        live=True,
    )
    longest_retry_delay = DurationOption(
        "masternode", "longest_retry_delay", 30.0, "The longest wait before a task is tried again.", live=True
    )

    weights = WeightsOption(
        "masternode",
        "weights",
        (),
        'How much more of the swarm than others clients of these names may have, as in ["night=0.5"].',
        live=True,
    )

    def limits(self) -> Limits:
        """The limits as they are now."""
        return Limits(
            lease=self.lease,
            heartbeat=min(self.heartbeat, self.lease / _PINGS_PER_LEASE),
            task_window=self.task_window,
            delivery_window=self.delivery_window,
            code_window=self.code_window,
            max_attempts=self.max_attempts,
            max_connections=connections_within(open_files()) * 9 // 10,
            impossible_fails=self.impossible_tasks == "fail",
            impossible_patience=self.impossible_patience,
            retry_delay=self.retry_delay,
            longest_retry_delay=self.longest_retry_delay,
            weights=parse_weights(self.weights),
        )
