"""Where a task may be interrupted: in the author's code, and never in ours that runs around or below it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator
from typing import Any

import pytest

from concurrence import TaskInterrupted
from concurrence.wire.messages import CANCELLED, EXPIRED
from concurrence.workers.cell import INTERRUPT, CellReader, WorkerCell, create_cell
from concurrence.workers.interrupts import Interrupts, call_function, call_task, interruption_fault
from concurrence.workers.output import OutputCapture


@pytest.fixture
def ends() -> Generator[tuple[CellReader, WorkerCell, Interrupts]]:
    """A cell whose task 0 of chunk 1 runs in this process, and the handler."""
    memory = create_cell()
    reader, cell = CellReader(memory), WorkerCell(memory)
    os.close(memory)
    before = signal.getsignal(INTERRUPT)
    interrupts = Interrupts(cell)
    interrupts.install()
    cell.begin_chunk(1)
    cell.begin(0)
    yield reader, cell, interrupts
    signal.signal(INTERRUPT, before)
    cell.close()
    reader.close()


def be_signalled() -> str:
    signal.raise_signal(INTERRUPT)
    return "went on"


def ours(call: Callable[[], Any]) -> Any:
    """Call it from code that seems to be the worker's own."""
    space: dict[str, Any] = {"__name__": "concurrence.workers.output"}
    exec("def send(call):\n    return call()", space)
    return space["send"](call)


def test_only_the_authors_code_is_interrupted(ends: tuple[CellReader, WorkerCell, Interrupts]) -> None:
    reader, cell, interrupts = ends
    reader.interrupt(1, 0, EXPIRED)
    assert be_signalled() == "went on", "nothing was called for a task"
    assert call_function(ours, (be_signalled,), {}) == "went on", "it was in the middle of a message"
    assert interrupts.status() is None
    assert reader.interrupt(1, 0, EXPIRED), "it has to be asked again"
    with pytest.raises(TaskInterrupted) as caught:
        call_task(be_signalled)
    assert caught.value.reason == "timeout"
    assert interrupts.status() == EXPIRED
    assert call_task(be_signalled) == "went on", "it is told once"
    cell.begin(1)
    assert interrupts.status() is None, "that was another task"


def test_what_was_in_the_way_is_finished_first(
    ends: tuple[CellReader, WorkerCell, Interrupts],
) -> None:
    """A task that prints all the time is rarely seen elsewhere: it is interrupted at the end of a print."""
    reader, cell, _ = ends
    sent: list[Any] = []
    output = OutputCapture("attic")
    Interrupts(cell, output).install()

    def send(parcel: Any) -> None:
        signal.raise_signal(INTERRUPT)
        sent.append(parcel.message.text)

    output.install()
    try:
        output.begin_chunk(7, send)
        output.begin_task(1)
        reader.interrupt(1, 0, EXPIRED)
        with pytest.raises(TaskInterrupted):
            call_function(print, ("a line",), {})
    finally:
        output.uninstall()
    assert sent == ["a line"], "the message was whole"


def test_a_task_for_which_it_was_not_meant_goes_on(ends: tuple[CellReader, WorkerCell, Interrupts]) -> None:
    reader, cell, _ = ends
    reader.interrupt(1, 0, CANCELLED)
    cell.begin(1)
    assert call_task(be_signalled) == "went on"


def test_what_it_raises_while_it_ends_is_told() -> None:
    fault = interruption_fault(ValueError("no end"), EXPIRED, 2.0, "last words")
    assert (fault.kind, fault.output) == ("timeout", "last words")
    assert "time-out of 2 s and was interrupted" in fault.message
    assert "While it was being ended it raised ValueError: no end" in fault.hint
    assert interruption_fault(TaskInterrupted("cancelled"), CANCELLED, 0.0, "").kind == "cancelled"
