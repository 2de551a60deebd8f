"""Slaves that take no more work: who told them, and what they say of it. Pure.

What counts for the policies is :attr:`~concurrence.scheduling.registry.SlaveNodeRecord.is_draining`. It changes as
soon as an administrator says so; the order to the slave is repeated at each greeting until the slave confirms it.
"""

from __future__ import annotations

from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Drain, Draining


def order(swarm: SwarmState, slave: SlaveNodeRecord, *, is_on: bool, stops: bool) -> None:
    """An administrator has a slave drain, or work again."""
    slave.order = Drain(is_on, stops)
    swarm.outbox.send(slave.peer, Parcel(slave.order))
    _set(swarm, slave, is_on=is_on, stops=stops)


def announced(swarm: SwarmState, slave: SlaveNodeRecord, message: Draining) -> None:
    """A slave says whether it drains; what it says counts, unless it has not heard the last order yet."""
    said = Drain(message.is_on, message.stops)
    if slave.order not in (None, said) and not message.by_itself:
        return  # the answer to the order before
    slave.order = None
    slave.leaves_by_itself = message.by_itself
    _set(swarm, slave, is_on=message.is_on, stops=message.stops)


def greeted(swarm: SwarmState, slave: SlaveNodeRecord) -> None:
    """A slave was welcomed: an order that it did not confirm is repeated; else it is as it says."""
    if slave.order is not None:
        swarm.outbox.send(slave.peer, Parcel(slave.order))
    else:
        slave.is_draining = slave.hello.drains
    swarm.roster.enter(slave)


def _set(swarm: SwarmState, slave: SlaveNodeRecord, *, is_on: bool, stops: bool) -> None:
    was, slave.is_draining, slave.stops = slave.is_draining, is_on, is_on and stops
    swarm.changed = True
    if was == is_on:
        return
    if slave.peer is not None:
        swarm.roster.enter(slave)
    swarm.outbox.tell(slave, "drains: it takes no more work" if is_on else "works again")
    swarm.slaves_changed = True
