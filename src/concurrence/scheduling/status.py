"""What the master says of the swarm when it is asked. Pure."""

from __future__ import annotations

from concurrence.scheduling import notices
from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.registry import Node, SlaveNodeRecord
from concurrence.wire.messages import NodeStatus, Progress


def nodes_of(swarm: SwarmState, now: float) -> list[NodeStatus]:
    """The connected nodes."""
    return [_node_status(each, now) for each in swarm.registry if each.peer is not None]


def systems_of(swarm: SwarmState) -> list[Progress]:
    """How far the task systems and the plain tasks of clients are."""
    return [notices.progress_of(job) for job in swarm.ledger.jobs.values()]


def _node_status(node: Node, now: float) -> NodeStatus:
    slave = node if isinstance(node, SlaveNodeRecord) else None
    return NodeStatus(
        node=node.id,
        name=node.name,
        kind=node.hello.kind,
        address=node.origin.address,
        age=now - node.joined,
        workers=slave.workers if slave else 0,
        busy_chunks=len(slave.chunks) if slave else 0,
        finished=node.finished,
        drains=slave.is_draining if slave else False,
        note=slave.circuit.describe(now) if slave else "",
    )
