"""Sending what may be too large: only the message that is too large fails, never what travels beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

from concurrence.errors import MessageTooLarge
from concurrence.wire import faults
from concurrence.wire.codec import Parcel, decode_results, encode_results, in_batches
from concurrence.wire.messages import REFUSED, ChunkResults, Message, PackedResult

Substitute: TypeAlias = Callable[[Parcel[Message], MessageTooLarge], Sequence[Parcel[Message]]]
"""Gives what is sent in the place of a parcel that is too large, or raises."""


def send_all(
    send: Callable[[Sequence[Parcel[Message]]], bool], parcels: list[Parcel[Message]], substitute: Substitute
) -> list[Parcel[Message]]:
    """Send parcels, in as few messages as can be.

    Args:
        send: Sends parcels in one message, or says False.
        parcels: What is to be sent.
        substitute: What is sent in the place of one that is too large.

    Returns:
        What there is no room for yet; it is to be sent again later.
    """
    waiting = deque(parcels)
    try:
        for batch in in_batches(parcels):
            if not send(batch):
                return list(waiting)
            for _ in batch:
                waiting.popleft()
    except MessageTooLarge:
        pass  # one of what waits is: each goes alone
    else:
        return []
    while waiting:
        try:
            if not send([waiting[0]]):
                return list(waiting)
            waiting.popleft()
        except MessageTooLarge as error:
            waiting.extendleft(reversed(substitute(waiting.popleft(), error)))
    return []


def smaller_results(parcel: Parcel[Message], error: MessageTooLarge) -> list[Parcel[Message]]:
    """In the place of results that are too large together, each of them alone; of one, its failure.

    Raises:
        MessageTooLarge: It is no parcel of results.
    """
    message = parcel.message
    if not isinstance(message, ChunkResults):
        raise error
    if len(message.counters) == 1:
        fault = faults.Fault(faults.KIND_RESULT, f"the result is too large: {error.message}", hint=error.hint)
        body = encode_results([PackedResult(faults.encode_fault(fault))])
        return [
            Parcel(
                ChunkResults(1, message.chunk, message.counters, bytes([REFUSED]), message.busy, cpu=message.cpu),
                [body],
            )
        ]
    entries = decode_results(parcel.frames)
    ends = [1]
    for entry in entries:
        ends.append(ends[-1] + entry.buffers)
    busy, cpu = message.busy / len(entries), None if message.cpu is None else message.cpu / len(entries)
    parcels: list[Parcel[Message]] = []
    for index, (start, end) in enumerate(pairwise(ends)):
        frames = [encode_results([entries[index]]), *parcel.frames[start:end]]
        one = slice(index, index + 1)
        single = ChunkResults(
            len(frames), message.chunk, message.counters[one], message.statuses[one], busy, cpu=cpu
        )
        parcels.append(Parcel(single, frames))
    return parcels
