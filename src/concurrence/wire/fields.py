"""What all messages are made of: limits, field types, statuses, and the base classes."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

PROTOCOL_VERSION = 2
"""Raised by one with each incompatible change; both ends name theirs in the greeting."""

MAX_FRAMES = 65_536
MAX_NAME = 1_024
MAX_AMOUNT = 1e15
MAX_RESOURCES = 32
MIN_WEIGHT = 0.001
MAX_WEIGHT = 1_000.0
"""How much more or less than others a client or task system may have of the swarm."""
MAX_CHUNK_TASKS = 4_096
MAX_BUNDLES = 1_024
"""Bundles of code and parts of shared objects that one function may need."""

Number: TypeAlias = Annotated[int, Meta(ge=0)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=MAX_AMOUNT)]
Digest: TypeAlias = Annotated[bytes, Meta(min_length=16, max_length=16)]
Name: TypeAlias = Annotated[str, Meta(max_length=MAX_NAME)]
Text: TypeAlias = Annotated[str, Meta(max_length=131_072)]
Frames: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_FRAMES)]
Counters: TypeAlias = Annotated[list[Number], Meta(max_length=MAX_CHUNK_TASKS)]
Sizes: TypeAlias = Annotated[list[Number], Meta(max_length=MAX_FRAMES)]
Statuses: TypeAlias = Annotated[bytes, Meta(max_length=MAX_CHUNK_TASKS)]
Resources: TypeAlias = Annotated[dict[Name, Seconds], Meta(max_length=MAX_RESOURCES)]

# How one task ended: one byte each in Statuses.
FINISHED = 0
FAILED = 1  # its code raised; the payload is an encoded Fault
REFUSED = 2  # it could not start here or return: missing package, unpicklable result; a Fault
EXPIRED = 3  # its time-out; a Fault
RETURNED = 4  # taken back before it started; no payload
CANCELLED = 5  # by its owner; a Fault
LOST = 6  # its workers died too often; a Fault

# What the arguments of a task mean to its function.
KIND_CALL = 0  # a function; the arguments are (args, kwargs)
KIND_TASK = 1  # a Task class; the arguments are the instance's __dict__
KIND_OBJECT = 2  # no function: the arguments are the pickled Task itself
KIND_SYSTEM = 3  # a task system: the function blob is the pickled ITaskSystem


class Message(Struct, frozen=True, array_like=True, gc=False):
    """The base of all messages."""


class Bodied(Message, frozen=True, array_like=True, gc=False):
    """A message that owns body frames.

    Attributes:
        frames: How many body frames follow for this message.
    """

    frames: Frames
