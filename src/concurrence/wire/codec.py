"""Bytes <-> messages, with limits: a header frame that lists messages, and the body frames they own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from concurrence.errors import ProtocolError
from concurrence.wire.messages import (
    MAX_CHUNK_TASKS,
    MAX_FRAMES,
    Bodied,
    ChunkResults,
    Delivered,
    FromOwner,
    FromSlave,
    FromTemplate,
    FromWorker,
    Message,
    Output,
    PackedResult,
    PackedTask,
    Ping,
    Pong,
    Progress,
    PushAccepted,
    Results,
    ToMaster,
    ToOwner,
    ToSlave,
    ToTemplate,
    ToWorker,
)

Frame: TypeAlias = bytes | memoryview
"""A body frame; zero-copy receivers hand out memory views."""

MAX_HEADER_BYTES = 16 * 1024 * 1024
MAX_MESSAGES = 16_384

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)


class Parcel(msgspec.Struct, Generic[M_co], frozen=True, gc=False):
    """A message with the body frames it owns."""

    message: M_co
    frames: Sequence[Frame] = ()


_encoder = msgspec.msgpack.Encoder()


def encode(parcels: Iterable[Parcel[Message]]) -> list[Frame]:
    """One transport message: the header frame, then all body frames.

    Args:
        parcels: At least one; each with exactly the body frames that its message announces.
    """
    messages: list[Message] = []
    frames: list[Frame] = [b""]
    for parcel in parcels:
        messages.append(parcel.message)
        frames.extend(parcel.frames)
    frames[0] = _encoder.encode(messages)
    return frames


_SMALL = 8_192  # bytes of a message without its lists and texts: a few names of up to 4 KiB each
BATCH_FRAMES = 8_192
BATCH_BYTES = 512 * 1024


def in_batches(parcels: Sequence[Parcel[Message]]) -> Iterator[Sequence[Parcel[Message]]]:
    """The parcels in groups that are each well within the limits of one transport message, in order.

    A group has at least one parcel; a single large one travels alone.

    Args:
        parcels: What waits for one peer.
    """
    start = frames = size = header = 0
    for position, parcel in enumerate(parcels):
        more_bytes = sum(map(frame_size, parcel.frames)) if parcel.frames else 0
        more_header = _header_bound(parcel.message)
        is_full = (
            frames + len(parcel.frames) > BATCH_FRAMES
            or size + more_bytes > BATCH_BYTES
            or header + more_header > MAX_HEADER_BYTES
            or position - start >= MAX_MESSAGES
        )
        if is_full and position > start:
            yield parcels[start:position]
            start, frames, size, header = position, 0, 0, 0
        frames += len(parcel.frames)
        size += more_bytes
        header += more_header
    if start < len(parcels):
        yield parcels[start:]


def _header_bound(message: Message) -> int:
    """Bytes that a message takes in a header at most, without encoding it if that can be told."""
    if isinstance(message, ChunkResults | Results):
        return 10 * len(message.counters) + _SMALL
    if isinstance(message, Output):
        return 4 * len(message.text) + _SMALL
    if isinstance(message, Bodied | Ping | Pong | Delivered | PushAccepted | Progress):
        return _SMALL
    return len(_encoder.encode(message)) + 16


def frame_size(frame: Frame) -> int:
    """Bytes of a frame."""
    return frame.nbytes if isinstance(frame, memoryview) else len(frame)


class MessageDecoder(Generic[M]):
    """Turns the frames of one direction of one link into parcels.

    Args:
        union: A list type of the messages that this direction may carry.
    """

    def __init__(self, union: type[list[M]]) -> None:
        self._decoder = msgspec.msgpack.Decoder(Annotated[union, Meta(max_length=MAX_MESSAGES)])

    def decode(self, frames: Sequence[Frame]) -> list[Parcel[M]]:
        """The messages, each with its body frames.

        Raises:
            ProtocolError: Anything but a whole, well-formed list of messages of this link.
        """
        if not frames or len(frames) > MAX_FRAMES or len(frames[0]) > MAX_HEADER_BYTES:
            raise ProtocolError(f"a message of {len(frames)} frames is empty, too long or has too long a header")
        try:
            messages: list[M] = self._decoder.decode(frames[0])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise ProtocolError(f"a header is not a list of messages of this link: {error}") from error
        if len(messages) == 1 and not isinstance(messages[0], Bodied) and len(frames) == 1:
            return [Parcel(messages[0])]
        return self._with_bodies(messages, frames)

    @staticmethod
    def _with_bodies(messages: list[M], frames: Sequence[Frame]) -> list[Parcel[M]]:
        parcels: list[Parcel[M]] = []
        position = 1
        for message in messages:
            count = message.frames if isinstance(message, Bodied) else 0
            parcels.append(Parcel(message, frames[position : position + count] if count else ()))
            position += count
        if position != len(frames):
            raise ProtocolError(f"a message announces {position - 1} body frames and has {len(frames) - 1}")
        return parcels


def decoder_for_master() -> MessageDecoder[ToMaster]:
    """For what any peer sends to the master before it has said hello."""
    return MessageDecoder(list[ToMaster])


def decoder_from_owner() -> MessageDecoder[FromOwner]:
    """For what clients and hosts send to the master."""
    return MessageDecoder(list[FromOwner])


def decoder_from_slave() -> MessageDecoder[FromSlave]:
    """For what slaves send to the master."""
    return MessageDecoder(list[FromSlave])


def decoder_to_owner() -> MessageDecoder[ToOwner]:
    """For what the master sends to clients and hosts."""
    return MessageDecoder(list[ToOwner])


def decoder_to_slave() -> MessageDecoder[ToSlave]:
    """For what the master sends to slaves, directly or on the work queue."""
    return MessageDecoder(list[ToSlave])


def decoder_to_worker() -> MessageDecoder[ToWorker]:
    """For what a slave sends to its workers."""
    return MessageDecoder(list[ToWorker])


def decoder_from_worker() -> MessageDecoder[FromWorker]:
    """For what a worker sends to its slave."""
    return MessageDecoder(list[FromWorker])


def decoder_to_template() -> MessageDecoder[ToTemplate]:
    """For what a node sends to its template process."""
    return MessageDecoder(list[ToTemplate])


def decoder_from_template() -> MessageDecoder[FromTemplate]:
    """For what a template process sends to its node."""
    return MessageDecoder(list[FromTemplate])


_task_list = msgspec.msgpack.Decoder(Annotated[list[PackedTask], Meta(min_length=1, max_length=MAX_CHUNK_TASKS)])
_result_list = msgspec.msgpack.Decoder(Annotated[list[PackedResult], Meta(max_length=MAX_CHUNK_TASKS)])


def encode_tasks(tasks: Iterable[PackedTask]) -> bytes:
    """The first body frame of a chunk."""
    return _encoder.encode(tasks if isinstance(tasks, list) else list(tasks))


def decode_tasks(frames: Sequence[Frame]) -> list[PackedTask]:
    """The tasks of a chunk; the buffers they announce are the frames after the first.

    Raises:
        ProtocolError: The frame is no task list, or announces other buffers than came.
    """
    tasks = _decode_entries(_task_list, frames)
    if sum(task.buffers for task in tasks) != len(frames) - 1:
        raise ProtocolError("a chunk announces other buffers than it brings")
    return tasks


def encode_results(results: Iterable[PackedResult]) -> bytes:
    """The first body frame of a result chunk."""
    return _encoder.encode(results if isinstance(results, list) else list(results))


def decode_results(frames: Sequence[Frame]) -> list[PackedResult]:
    """The results of a chunk; the buffers they announce are the frames after the first.

    Raises:
        ProtocolError: The frame is no result list, or announces other buffers than came.
    """
    results = _decode_entries(_result_list, frames)
    if sum(result.buffers for result in results) != len(frames) - 1:
        raise ProtocolError("a result chunk announces other buffers than it brings")
    return results


def _decode_entries(decoder: msgspec.msgpack.Decoder[list[M]], frames: Sequence[Frame]) -> list[M]:
    if not frames:
        raise ProtocolError("a chunk has no body")
    try:
        return decoder.decode(frames[0])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ProtocolError(f"a chunk's body is malformed: {error}") from error
