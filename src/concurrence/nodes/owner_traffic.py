"""What an owner has to tell its master: pushes until they are answered, other messages once. Pure."""

from __future__ import annotations

from collections import deque

from concurrence.tasks.ownership import Push
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import (
    Delivered,
    Message,
    PushAccepted,
    PushRejected,
    Results,
    SystemResult,
    ToOwner,
)


class OwnerTraffic:
    """What has not left or may have to leave again.

    Attributes:
        accepted_push: The number of the newest push that the master answered, as were all before it.
    """

    def __init__(self) -> None:
        self.accepted_push = 0
        self._unaccepted: deque[Push] = deque()
        self._sent_push = 0
        self._once: deque[tuple[int, Parcel[Message]]] = deque()  # with the last push before it
        self._received = 0
        self._delivered = 0
        self._delivered_sent = 0

    def submit(self, push: Push) -> None:
        """Send a push; again after a reconnect, until it is answered."""
        self._unaccepted.append(push)

    def send_once(self, message: Parcel[Message]) -> None:
        """Send a message once, when there is a connection; after the pushes before it, before those after it."""
        # Not before what was pushed earlier, and not after what is pushed later: it may cancel everything.
        self._once.append((self._unaccepted[-1].number if self._unaccepted else self._sent_push, message))

    def acknowledge(self, delivery: int) -> None:
        """Everything up to this delivery was handled."""
        # A number from before the master forgot this owner must not answer for what the next one delivers.
        if delivery <= self._received:
            self._delivered = max(self._delivered, delivery)

    def received(self, message: ToOwner) -> None:
        """A message came that answers what was sent, or is to be acknowledged; others change nothing."""
        if isinstance(message, PushAccepted):
            self.accepted_push = max(self.accepted_push, message.push)
            while self._unaccepted and self._unaccepted[0].number <= message.push:
                self._unaccepted.popleft()
        elif isinstance(message, PushRejected):
            self.settle(message.push)
        elif isinstance(message, Results | SystemResult):
            self._received = max(self._received, message.delivery)

    def settle(self, push: int) -> None:
        """A push was rejected: it is not sent again, and those after it need not wait for it."""
        self._unaccepted = deque(each for each in self._unaccepted if each.number != push)
        settled = self._unaccepted[0].number - 1 if self._unaccepted else push
        self.accepted_push = max(self.accepted_push, settled)

    def resumed(self) -> None:
        """Welcomed: what the last connection may have lost is sent again."""
        self._sent_push = self.accepted_push
        self._delivered_sent = 0

    def forgotten(self) -> None:
        """Welcomed by a master that knows nothing of what was sent before."""
        self._received = self._delivered = self._delivered_sent = 0
        if self._unaccepted:
            self.accepted_push = self._unaccepted[-1].number
        self._unaccepted.clear()

    def take(self) -> list[Parcel[Message]]:
        """Everything that is to leave now that there is a connection."""
        parcels: list[Parcel[Message]] = []
        for push in self._unaccepted:
            if push.number > self._sent_push:
                while self._once and self._once[0][0] < push.number:
                    parcels.append(self._once.popleft()[1])
                parcels.extend(push.parcels)
                self._sent_push = push.number
        if self._delivered > self._delivered_sent:
            self._delivered_sent = self._delivered
            parcels.append(Parcel(Delivered(self._delivered)))
        parcels.extend(message for _, message in self._once)
        self._once.clear()
        return parcels
