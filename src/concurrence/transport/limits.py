"""The limits that all transports have, and that must be the same on all machines."""

from __future__ import annotations

from concurrence.env.options import ByteSizeOption


def max_frame_option() -> ByteSizeOption[int]:
    """The option of the largest frame, for each transport to declare."""
    return ByteSizeOption(
        "transport",
        "max_frame",
        256 * 1024 * 1024,
        "The largest frame that is sent or accepted: an argument, a result or a big buffer. "
        "It must be the same on all machines; who sends a larger one is disconnected.",
    )
