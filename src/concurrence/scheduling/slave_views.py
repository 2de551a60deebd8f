"""The slaves of a swarm, a row for each: what ``concurrence top`` shows. Pure."""

from __future__ import annotations

from msgspec import Struct

from concurrence.scheduling.api import SwarmState
from concurrence.scheduling.registry import SlaveNodeRecord


class SlaveRow(Struct, frozen=True):
    """A slave, as people see it.

    Attributes:
        name: Its name.
        node: Its node id.
        state: ``working``, ``draining``, ``ending`` (draining, and it ends when it is empty) or ``away``.
        workers: Its worker processes.
        busy: How many of them have something to do, as far as the master knows.
        chunks: Chunks that are there, running and waiting.
        finished: Tasks that ran there.
        cores: Logical processors of its machine.
        memory: Physical memory of its machine, in bytes.
        speed: Its speed score; 0 if it has none.
        labels: Resources beyond ``cpu`` that it offers.
        age: Seconds since it came.
    """

    name: str
    node: str
    state: str
    workers: int
    busy: int
    chunks: int
    finished: int
    cores: int
    memory: int
    speed: float
    labels: dict[str, float]
    age: float


MAX_ROWS = 2_000
"""So many slaves are shown at most: all of them must fit into one answer of the API."""


def slave_rows(swarm: SwarmState, now: float) -> list[SlaveRow]:
    """The slaves, connected and away, by name."""
    slaves = [node for node in swarm.registry if isinstance(node, SlaveNodeRecord)]
    return [_row(slave, now) for slave in sorted(slaves, key=lambda slave: slave.name)[:MAX_ROWS]]


def state_of(slave: SlaveNodeRecord) -> str:
    """The state of a slave, as a word."""
    if slave.peer is None:
        return "away"
    if slave.is_draining:
        return "ending" if slave.stops else "draining"
    return "working"


def _row(slave: SlaveNodeRecord, now: float) -> SlaveRow:
    machine = slave.description
    return SlaveRow(
        name=slave.name,
        node=slave.id,
        state=state_of(slave),
        workers=slave.workers,
        busy=slave.workers - slave.idle_workers,
        chunks=len(slave.chunks),
        finished=slave.finished,
        cores=machine.cores,
        memory=machine.memory,
        speed=machine.speed,
        labels=dict(machine.labels),
        age=max(0.0, now - slave.joined),
    )
