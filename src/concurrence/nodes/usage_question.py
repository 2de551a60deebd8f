"""The question at the end of a run: what did it take of the swarm?"""

from __future__ import annotations

import time

from concurrence.errors import ConcurrenceError
from concurrence.nodes.master_link import LinkEvent
from concurrence.nodes.owner_channel import IOwnerChannel
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import AskUsage, Usage

PATIENCE = 2.0
"""Seconds to wait for the answer: the report is not worth more at the end of a run."""


def ask_usage(channel: IOwnerChannel) -> Usage | None:
    """Ask the master what this client's tasks took; None if it does not answer in time.

    Whatever else comes meanwhile is dropped: nobody handles it any more.
    """
    deadline = time.monotonic() + PATIENCE
    try:
        channel.send(Parcel(AskUsage(1)))
        while (left := deadline - time.monotonic()) > 0:
            notification = channel.receive(left)
            if isinstance(notification, LinkEvent):
                if notification in (LinkEvent.LOST, LinkEvent.FAILED, LinkEvent.DISMISSED):
                    return None
            elif notification is not None and isinstance(notification.message, Usage):
                return notification.message
    except ConcurrenceError:
        return None  # what ended the run says more than that there is no report
    return None
