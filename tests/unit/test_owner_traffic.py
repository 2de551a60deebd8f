"""What an owner has to tell its master: pushes until they are answered, other messages once, in order."""

from __future__ import annotations

from typing import Any

import pytest

from concurrence.nodes.owner_traffic import OwnerTraffic
from concurrence.tasks.ownership import Push
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import (
    AttachSystem,
    Bye,
    Delivered,
    PushAccepted,
    PushRejected,
    ReportProgress,
    Results,
)


@pytest.fixture
def traffic() -> OwnerTraffic:
    return OwnerTraffic()


def push(number: int) -> Push:
    return Push(number, [Parcel(AttachSystem(number, number))], 0, 0)


def submit(traffic: OwnerTraffic, *numbers: int) -> None:
    for number in numbers:
        traffic.submit(push(number))


def sent(traffic: OwnerTraffic) -> list[Any]:
    """What leaves: the numbers of pushes, and other messages."""
    messages = [parcel.message for parcel in traffic.take()]
    return [message.push if isinstance(message, AttachSystem) else message for message in messages]


def test_what_was_not_answered_is_sent_again_on_a_new_connection_and_only_then(traffic: OwnerTraffic) -> None:
    submit(traffic, 1, 2, 3)
    assert sent(traffic) == [1, 2, 3]
    submit(traffic, 4)
    assert sent(traffic) == [4]
    traffic.received(PushAccepted(2))
    assert (traffic.accepted_push, sent(traffic)) == (2, [])
    traffic.resumed()
    assert sent(traffic) == [3, 4]


def test_a_rejection_answers_one_push(traffic: OwnerTraffic) -> None:
    submit(traffic, 1, 2, 3)
    sent(traffic)
    traffic.received(PushRejected(2, "no"))
    assert traffic.accepted_push == 0, "the first one is not answered"
    traffic.resumed()
    assert sent(traffic) == [1, 3]
    traffic.received(PushAccepted(1))
    traffic.received(PushRejected(3, "no"))
    assert traffic.accepted_push == 3


def test_other_messages_leave_once_between_the_pushes_before_and_after_them(traffic: OwnerTraffic) -> None:
    submit(traffic, 1)
    said = [ReportProgress(7, 1.0, 2.0), ReportProgress(7, 2.0, 2.0), Bye("done")]
    traffic.send_once(Parcel(said[0]))
    submit(traffic, 2)
    traffic.send_once(Parcel(said[1]))
    assert sent(traffic) == [1, said[0], 2, said[1]]
    traffic.resumed()
    traffic.send_once(Parcel(said[2]))
    assert sent(traffic) == [1, 2, said[2]]


def test_what_was_handled_is_acknowledged_again_on_a_new_connection(traffic: OwnerTraffic) -> None:
    for delivery in (1, 2):
        traffic.received(Results(1, delivery, 7, [delivery], bytes(1), 0.0))
    traffic.acknowledge(2)
    assert sent(traffic) == [Delivered(2)]
    traffic.acknowledge(1)
    assert sent(traffic) == [], "that is behind it"
    traffic.resumed()
    assert sent(traffic) == [Delivered(2)]


def test_what_a_master_delivered_that_forgot_is_not_acknowledged_to_the_next(traffic: OwnerTraffic) -> None:
    submit(traffic, 1)
    sent(traffic)
    traffic.received(Results(1, 9, 7, [0], bytes(1), 0.0))
    traffic.forgotten()
    traffic.acknowledge(9)
    assert sent(traffic) == [], "nor is sent what it never heard of"
    assert traffic.accepted_push == 1, "nobody waits for an answer"
    traffic.received(Results(1, 1, 7, [1], bytes(1), 0.0))
    traffic.acknowledge(1)
    assert sent(traffic) == [Delivered(1)]
