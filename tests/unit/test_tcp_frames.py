"""Messages on a TCP connection: however they are cut, they are the same; whatever else comes is refused."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concurrence.errors import MessageTooLarge, ProtocolError
from concurrence.transport.api import LARGE_FRAME_BYTES
from concurrence.transport.tcp_frames import FrameReader, message_parts
from concurrence.transport.tcp_link import joined
from concurrence.wire.codec import Frame
from concurrence.wire.messages import MAX_FRAMES

LIMIT = 1_000_000

small = st.binary(max_size=300)
large = st.integers(LARGE_FRAME_BYTES - 2, LARGE_FRAME_BYTES + 2).map(lambda size: bytes([size % 251]) * size)
messages = st.lists(st.lists(st.one_of(small, large), min_size=1, max_size=5), max_size=6)


def on_the_wire(frames: Sequence[Frame]) -> bytes:
    parts, size = message_parts(frames, LIMIT)
    data = b"".join(parts)
    assert len(data) == size
    return data


def fed(reader: FrameReader, data: bytes, cuts: list[int], *, uses_room: bool) -> list[list[Frame]]:
    """Give a reader the bytes in pieces, as a connection does."""
    got: list[list[Frame]] = []
    at = 0
    while at < len(data):
        size = max(1, cuts[at % len(cuts)] if cuts else len(data))
        room = reader.room() if uses_room else None
        if room is not None and len(room) > 0:
            count = min(size, len(room), len(data) - at)
            room[:count] = data[at : at + count]
            got += reader.filled(count)
        else:
            count = min(size, len(data) - at)
            scratch = bytearray(data[at : at + count])
            got += reader.feed(memoryview(scratch))
            scratch[:] = bytes(count)  # what was read is the reader's no more
        at += count
    return got


@settings(max_examples=40)
@given(messages, st.lists(st.integers(500, 70_000), max_size=7), st.booleans())
def test_what_was_sent_arrives_however_it_is_cut(
    sent: list[list[bytes]], cuts: list[int], uses_room: bool
) -> None:
    reader = FrameReader(LIMIT)
    got = fed(reader, b"".join(map(on_the_wire, sent)), cuts, uses_room=uses_room)
    assert [[bytes(frame) for frame in frames] for frames in got] == sent
    assert reader.is_between_messages
    for frame in (frame for frames in got for frame in frames):
        assert isinstance(frame, memoryview) == (len(frame) >= LARGE_FRAME_BYTES)


@given(st.lists(st.lists(small, min_size=1, max_size=5), max_size=6), st.lists(st.integers(1, 9), max_size=7))
def test_small_frames_arrive_byte_by_byte(sent: list[list[bytes]], cuts: list[int]) -> None:
    assert fed(FrameReader(LIMIT), b"".join(map(on_the_wire, sent)), cuts, uses_room=True) == sent


@given(st.binary(max_size=2_000), st.lists(st.integers(1, 50), max_size=3))
def test_arbitrary_bytes_are_messages_or_refused(data: bytes, cuts: list[int]) -> None:
    with suppress(ProtocolError):
        for frames in fed(FrameReader(LIMIT), data, cuts, uses_room=True):
            assert 0 < len(frames) <= MAX_FRAMES


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!I", 0),
        struct.pack("!I", MAX_FRAMES + 1),
        struct.pack("!I", 0xFFFF_FFFF),
        struct.pack("!IQ", 1, LIMIT + 1),
        struct.pack("!IQQ", 2, 1, 1 << 63),
    ],
)
def test_limits_are_checked_before_anything_is_allocated(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match="limit"):
            FrameReader(LIMIT).feed(memoryview(data))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_frame_of_the_limit_is_taken() -> None:
    data = on_the_wire([bytes(LIMIT)])
    assert [len(frame) for frame in FrameReader(LIMIT).feed(memoryview(data))[0]] == [LIMIT]


def test_what_is_too_large_is_not_sent() -> None:
    with pytest.raises(MessageTooLarge, match="1,000,001") as caught:
        message_parts([b"head", bytes(LIMIT + 1)], LIMIT)
    assert "max_frame" in caught.value.hint
    with pytest.raises(MessageTooLarge, match="65,537 frames"):
        message_parts([b""] * (MAX_FRAMES + 1), LIMIT)


@settings(max_examples=40)
@given(st.lists(st.one_of(small, large).map(memoryview), max_size=12))
def test_joined_parts_are_the_same_bytes(parts: list[memoryview]) -> None:
    together = joined(parts)
    assert b"".join(together) == b"".join(parts)
    assert all(part.nbytes <= 16 * 1024 or part in parts for part in together)
