"""Messages by which an administrator steers slaves, through the master."""

from __future__ import annotations

from concurrence.wire.fields import Message


class Drain(Message, frozen=True, array_like=True, gc=False, tag=60):
    """To a slave: take no more work, give back what has not started, finish what runs; or work again.

    Attributes:
        is_on: Whether to drain, or to work again.
        stops: Whether to end once nothing is left.
    """

    is_on: bool
    stops: bool = False


class Draining(Message, frozen=True, array_like=True, gc=False, tag=61):
    """From a slave: whether it drains from now on; the answer to :class:`Drain`, or its own decision.

    Attributes:
        is_on: Whether it takes no more work.
        stops: Whether it ends once nothing is left.
        by_itself: Whether it was told so where it runs, by a signal: then no master can have it work again.
    """

    is_on: bool
    stops: bool = False
    by_itself: bool = False
