"""Results that a slave writes itself, for tasks that no worker answered; those of workers without some. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from concurrence.errors import ProtocolError
from concurrence.wire.codec import Frame, Parcel, decode_results, encode_results
from concurrence.wire.faults import KIND_TIMEOUT, Fault, encode_fault
from concurrence.wire.messages import EXPIRED, LOST, RETURNED, ChunkResults, PackedResult
from concurrence.workers.slot_state import Chunk, Recorded


def recorded_results(chunk: Chunk, recorded: Sequence[Recorded]) -> Parcel[ChunkResults]:
    """The results that were found in a cell, as the worker would have sent them; user code may have scribbled."""
    wanted = set(chunk.counters()) - chunk.done
    results: list[Recorded] = []
    for result in recorded:
        if result.counter in wanted and result.status <= LOST:
            wanted.discard(result.counter)
            results.append(result)
    return _results(
        chunk.number,
        [result.counter for result in results],
        bytes(result.status for result in results),
        [PackedResult(result.payload) for result in results],
    )


def returned_results(chunk: Chunk, counters: list[int]) -> Parcel[ChunkResults]:
    """These tasks were taken back."""
    return _results(
        chunk.number, counters, bytes([RETURNED]) * len(counters), [PackedResult(b"") for _ in counters]
    )


def expired_result(chunk: Chunk, counter: int) -> Parcel[ChunkResults]:
    """A task took longer than its time-out."""
    timeout = chunk.parcel.message.timeout
    fault = Fault(
        KIND_TIMEOUT,
        f"the task took longer than its time-out of {timeout:g} s, and its worker was killed",
        hint="Raise the time-out, or split the task.",
    )
    return _results(chunk.number, [counter], bytes([EXPIRED]), [PackedResult(encode_fault(fault))])


def without(done: AbstractSet[int], parcel: Parcel[ChunkResults]) -> Parcel[ChunkResults]:
    """A worker's results without those of tasks that were answered already.

    Raises:
        ProtocolError: The results are malformed.
    """
    message = parcel.message
    if done.isdisjoint(message.counters):
        return parcel
    kept = [position for position, counter in enumerate(message.counters) if counter not in done]
    if not kept:
        return _results(message.chunk, [], b"", [])
    entries = decode_results(parcel.frames)
    if len(entries) != len(message.counters):
        raise ProtocolError(f"results of chunk {message.chunk} have {len(entries)} entries instead of one a task")
    buffers: list[Frame] = []
    first = 1
    for position, entry in enumerate(entries):
        if message.counters[position] not in done:
            buffers += parcel.frames[first : first + entry.buffers]
        first += entry.buffers
    rest = replace(
        message,
        frames=1 + len(buffers),
        counters=[message.counters[position] for position in kept],
        statuses=bytes(message.statuses[position] for position in kept),
    )
    return Parcel(rest, [encode_results([entries[position] for position in kept]), *buffers])


def _results(
    chunk: int, counters: list[int], statuses: bytes, entries: list[PackedResult]
) -> Parcel[ChunkResults]:
    return Parcel(ChunkResults(1, chunk, counters, statuses, 0.0), [encode_results(entries)])
