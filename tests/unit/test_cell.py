"""The shared-memory cell: what the slave sees of a worker, also while the worker changes it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from typing import Any

import pytest

from concurrence.wire.messages import FAILED, FINISHED
from concurrence.workers.cell import CAPACITY, CellReader, WorkerCell, create_cell


@pytest.fixture
def ends() -> Iterator[tuple[CellReader, WorkerCell]]:
    descriptor = create_cell()
    reader, worker = CellReader(descriptor), WorkerCell(descriptor)
    os.close(descriptor)
    yield reader, worker
    worker.close()
    reader.close()


def test_a_fresh_cell_tells_nothing(ends: tuple[CellReader, WorkerCell]) -> None:
    reader, _ = ends
    assert reader.running() is None
    assert reader.drain() == (None, [])


def test_the_slave_sees_what_runs(ends: tuple[CellReader, WorkerCell]) -> None:
    reader, worker = ends
    worker.begin_chunk(7)
    running = reader.running()
    assert running is not None
    assert (running.chunk, running.index) == (7, None)
    assert worker.begin(3)
    running = reader.running()
    assert running is not None
    assert (running.chunk, running.index) == (7, 3)
    assert running.started > 0
    worker.clear()
    running = reader.running()
    assert running is not None
    assert running.index is None


def test_results_are_drained_once(ends: tuple[CellReader, WorkerCell]) -> None:
    reader, worker = ends
    worker.begin_chunk(1)
    assert worker.record(10, FINISHED, b"ten")
    assert worker.record(11, FAILED, b"")
    assert reader.drain() == (1, [(10, FINISHED, b"ten"), (11, FAILED, b"")])
    assert reader.drain() == (1, [])
    assert worker.record(12, FINISHED, b"twelve")
    assert reader.drain() == (1, [(12, FINISHED, b"twelve")])


def test_what_was_sent_is_not_drained(ends: tuple[CellReader, WorkerCell]) -> None:
    reader, worker = ends
    worker.begin_chunk(1)
    worker.record(10, FINISHED, b"x" * 100)
    assert len(reader.drain().results) == 1
    worker.clear()
    worker.record(11, FINISHED, b"y")
    assert reader.drain() == (1, [(11, FINISHED, b"y")])
    worker.begin_chunk(2)
    assert reader.drain() == (2, [])


def test_a_full_cell_refuses_and_stays_whole(ends: tuple[CellReader, WorkerCell]) -> None:
    reader, worker = ends
    worker.begin_chunk(1)
    half = b"h" * (CAPACITY // 2)
    assert worker.record(1, FINISHED, half)
    assert not worker.record(2, FINISHED, half)
    assert worker.record(3, FINISHED, b"small")
    assert [(r.counter, len(r.payload)) for r in reader.drain().results] == [(1, len(half)), (3, 5)]


def test_a_stop_holds_for_its_chunk_only(ends: tuple[CellReader, WorkerCell]) -> None:
    reader, worker = ends
    reader.stop_at(5)
    reader.stop_at(4, 2)
    worker.begin_chunk(4)
    assert worker.begin(0)
    assert worker.begin(1)
    assert not worker.begin(2)
    worker.begin_chunk(5)
    assert not worker.begin(0)
    worker.begin_chunk(6)
    assert worker.begin(0)
    reader.stop_at(6, 1)
    assert not worker.begin(1)


def test_stops_of_old_chunks_give_way(ends: tuple[CellReader, WorkerCell]) -> None:
    reader, worker = ends
    for chunk in range(100):
        reader.stop_at(chunk)
        worker.begin_chunk(chunk)
        assert not worker.begin(0), chunk


def test_scribbled_lengths_do_no_harm(ends: tuple[CellReader, WorkerCell]) -> None:
    reader, worker = ends
    worker.begin_chunk(1)
    worker.record(1, FINISHED, b"good")
    inside: Any = worker
    inside._memory[inside._used : inside._used + 13] = b"\xff" * 13
    inside._words[4] = 2**63
    assert reader.drain() == (1, [(1, FINISHED, b"good")])


def _write_for_ever(descriptor: int) -> None:
    worker = WorkerCell(descriptor)
    chunk = 0
    while True:
        chunk += 1
        worker.begin_chunk(chunk)
        for index in range(1 + chunk % 7):
            worker.begin(index)
            worker.record(chunk * 1000 + index, FINISHED, b"%d" % (chunk * 1000 + index) * (1 + chunk % 50))


def test_a_reader_never_sees_a_mixture() -> None:
    descriptor = create_cell()
    reader = CellReader(descriptor)
    writer = multiprocessing.get_context("fork").Process(target=_write_for_ever, args=(descriptor,), daemon=True)
    writer.start()
    try:
        seen = 0
        while seen < 2_000:
            chunk, results = reader.drain()
            for counter, status, payload in results:
                assert chunk is not None
                assert counter // 1000 == chunk
                assert status == FINISHED
                assert payload == b"%d" % counter * (1 + chunk % 50)
            seen += len(results)
    finally:
        writer.kill()
        writer.join()
        reader.close()
        os.close(descriptor)


def test_only_the_task_that_is_meant_is_interrupted(ends: tuple[CellReader, WorkerCell]) -> None:
    reader, worker = ends
    assert worker.asked_to_interrupt() is None
    worker.begin_chunk(7)
    worker.begin(0)
    assert reader.interrupt(7, 1, 5), "a signal is needed"
    assert worker.asked_to_interrupt() is None, "another one runs"
    worker.begin(1)
    assert worker.asked_to_interrupt() == 5
    assert reader.interrupt(7, 1, 5), "it has not been heard"
    assert worker.take_interruption() == (7, 1)
    assert worker.is_at((7, 1))
    assert worker.asked_to_interrupt() is None, "it is told once"
    assert not reader.interrupt(7, 1, 5), "it was heard"
    worker.clear()
    assert not worker.is_at((7, 1))
    assert reader.interrupt(8, 1, 3)
    worker.begin(1)
    assert worker.asked_to_interrupt() is None, "another chunk is meant"
