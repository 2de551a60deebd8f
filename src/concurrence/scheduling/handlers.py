"""Which event of which peer leads where: one small function a message that needs nothing but the swarm's state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec.structs import replace

from concurrence.scheduling import api_calls, attaching, draining, owner_events, slave_events, system_events
from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.registry import Node, SlaveNodeRecord
from concurrence.wire import messages as wire
from concurrence.wire.codec import Parcel

Handler: TypeAlias = Callable[[SwarmState, Any, Parcel[Any], float], None]
"""Takes the state, the node that spoke, what it said, and the time."""


def _delivered(swarm: SwarmState, node: Any, parcel: Parcel[wire.Delivered], now: float) -> None:
    for system in node.deliveries.acknowledge(parcel.message.delivery):
        swarm.detached.collected(system)
    job = swarm.ledger.jobs.get(node.hello.system)
    swarm.fairness.admit(job.client if job is not None else node.id)
    swarm.changed = True


def _define_bundle(swarm: SwarmState, node: Node, parcel: Parcel[wire.DefineBundle], now: float) -> None:
    owner_events.define_bundle(swarm, node, parcel)


def _define_function(swarm: SwarmState, node: Node, parcel: Parcel[wire.DefineFunction], now: float) -> None:
    swarm.functions.define(node.id, parcel.message, parcel.frames)


def _forget_function(swarm: SwarmState, node: Any, parcel: Parcel[wire.ForgetFunction], now: float) -> None:
    owner_events.forget_function(swarm, node, parcel.message)


def _push_tasks(swarm: SwarmState, node: Any, parcel: Parcel[wire.PushTasks], now: float) -> None:
    owner_events.push_tasks(swarm, node, parcel)
    swarm.changed = True


def _push_system(swarm: SwarmState, node: Any, parcel: Parcel[wire.PushSystem], now: float) -> None:
    system_events.push_system(swarm, node, parcel)


def _attach_system(swarm: SwarmState, node: Any, parcel: Parcel[wire.AttachSystem], now: float) -> None:
    attaching.attach(swarm, node, parcel)


def _cancel(swarm: SwarmState, node: Any, parcel: Parcel[wire.Cancel], now: float) -> None:
    owner_events.cancel(swarm, node, parcel)
    swarm.changed = True


def _system_ended(swarm: SwarmState, node: Any, parcel: Parcel[wire.SystemEnded], now: float) -> None:
    system_events.system_ended(swarm, node, parcel)
    swarm.changed = True


def _report_progress(swarm: SwarmState, node: Any, parcel: Parcel[wire.ReportProgress], now: float) -> None:
    system_events.report_progress(swarm, node, parcel.message)


def _results(swarm: SwarmState, node: Any, parcel: Parcel[wire.ChunkResults], now: float) -> None:
    slave_events.results(swarm, node, parcel, now)
    swarm.changed = True


def _attempt_lost(swarm: SwarmState, node: Any, parcel: Parcel[wire.AttemptLost], now: float) -> None:
    slave_events.attempt_lost(swarm, node, parcel.message, now)
    swarm.changed = True


def _need_function(swarm: SwarmState, node: Any, parcel: Parcel[wire.NeedFunction], now: float) -> None:
    slave_events.need_function(swarm, node, parcel.message)


def _draining(swarm: SwarmState, node: Any, parcel: Parcel[wire.Draining], now: float) -> None:
    draining.announced(swarm, node, parcel.message)


def _ping(swarm: SwarmState, node: Node, parcel: Parcel[wire.Ping], now: float) -> None:
    swarm.outbox.send(node.peer, Parcel(wire.Pong(parcel.message.number)))


def _pong(swarm: SwarmState, node: Node, parcel: Parcel[wire.Pong], now: float) -> None:
    """Its arrival was the news; perhaps somebody waited for it before giving this node work."""
    if swarm.asked.pop(node.id, None) is not None:
        swarm.changed = True


def _output(swarm: SwarmState, node: Node, parcel: Parcel[wire.Output], now: float) -> None:
    job = swarm.ledger.jobs.get(parcel.message.system)
    if job is None or not (isinstance(node, SlaveNodeRecord) or job.owner == node.id):
        return
    if node.name != node.hello.name == parcel.message.source:  # the slave does not know that it was numbered
        parcel = Parcel(replace(parcel.message, source=node.name), parcel.frames)
    swarm.past.add(parcel.message, now)
    client = swarm.client_of(job)
    if client is not None:
        swarm.outbox.send(client.peer, parcel)


def _call_api(swarm: SwarmState, node: Node, parcel: Parcel[wire.CallApi], now: float) -> None:
    swarm.outbox.calls.append(api_calls.checked(swarm.outbox.calls, node, parcel))


_OF_ALL: dict[type[Any], Handler] = {wire.Ping: _ping, wire.Pong: _pong, wire.Output: _output}

OF_OWNERS: dict[type[Any], Handler] = {
    **_OF_ALL,
    wire.Delivered: _delivered,
    wire.DefineBundle: _define_bundle,
    wire.DefineFunction: _define_function,
    wire.ForgetFunction: _forget_function,
    wire.PushTasks: _push_tasks,
    wire.PushSystem: _push_system,
    wire.AttachSystem: _attach_system,
    wire.Cancel: _cancel,
    wire.SystemEnded: _system_ended,
    wire.ReportProgress: _report_progress,
    wire.CallApi: _call_api,
}
"""What clients, hosts and administrators may say."""

OF_SLAVES: dict[type[Any], Handler] = {
    **_OF_ALL,
    wire.ChunkResults: _results,
    wire.AttemptLost: _attempt_lost,
    wire.NeedFunction: _need_function,
    wire.Draining: _draining,
}
"""What slaves may say."""
