"""The memory of frames: flat views of what is sent, room for what comes, and what exceeds the limit. Pure."""

from __future__ import annotations

import mmap
import sys

from concurrence.errors import MessageTooLarge
from concurrence.wire.codec import Frame

_MAPPED_BYTES = 4 * 1024 * 1024


def flat(frame: Frame) -> memoryview:
    """A frame as a view of bytes in a row; copied only if they are not."""
    view = memoryview(frame)
    if not view.c_contiguous:
        return memoryview(view.tobytes())
    return view.cast("B") if view.nbytes else memoryview(b"")


def room_for(size: int) -> memoryview:
    """Memory for a frame that is to come."""
    if size < _MAPPED_BYTES:
        return memoryview(bytearray(size))
    # A bytearray is written to when it is made; these pages come as they are filled: a length alone costs nothing.
    if sys.platform == "win32":
        return memoryview(mmap.mmap(-1, size))
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def too_large(size: int, limit: int) -> MessageTooLarge:
    """The error of a frame beyond the limit."""
    return MessageTooLarge(
        f"a frame of {size:,} bytes exceeds the limit of {limit:,}",
        hint="Split the task or its result, or raise [transport] max_frame on every machine.",
    )
