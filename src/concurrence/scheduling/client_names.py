"""Whose a job is, by name: also when its client has left. Pure."""

from __future__ import annotations

from concurrence.scheduling.detached import DetachedSystems
from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.registry import Registry


def client_name(job: Job, registry: Registry, detached: DetachedSystems) -> str:
    """The name of the client that pushed a job; empty if it left and the job is not detached.

    Args:
        job: The job.
        registry: Who is connected.
        detached: The systems that outlive their clients.
    """
    client = registry.owner(job.client)
    if client is not None:
        return client.name
    left = detached.get(job.root)
    return left.client if left is not None else ""
