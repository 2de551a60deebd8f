"""What comes from a worker's descriptors: whose it is, in lines, and bounded."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from concurrence.wire.messages import Output
from concurrence.workers.raw_output import RawOutput, Writer

ONE, TWO = Writer(5, 1), Writer(5, 2)


@pytest.fixture
def raw() -> Iterator[RawOutput]:
    made = RawOutput("vm", limit=20)
    yield made
    made.close()
    os.close(made.writing_end)


def written(raw: RawOutput, data: bytes, writer: Writer | None = ONE) -> list[Output]:
    os.write(raw.writing_end, data)
    return raw.read(lambda: writer)


def test_nothing_is_no_output_and_nobody_is_asked(raw: RawOutput) -> None:
    def ask() -> Writer:
        raise AssertionError

    assert raw.read(ask) == []
    assert raw.end() == []


def test_whole_lines_leave_at_once_and_the_rest_at_the_end(raw: RawOutput) -> None:
    assert written(raw, b"one\ntwo\nth") == [Output(5, 1, "stderr", "vm", "one\ntwo")]
    assert written(raw, b"ree") == []
    assert raw.end() == [Output(5, 1, "stderr", "vm", "three")]
    assert raw.end() == []


def test_a_line_belongs_to_the_task_that_began_it(raw: RawOutput) -> None:
    written(raw, b"one")
    assert written(raw, b"two\n", TWO) == [
        Output(5, 1, "stderr", "vm", "one"),
        Output(5, 2, "stderr", "vm", "two"),
    ]


def test_characters_may_come_in_pieces_and_junk_is_escaped(raw: RawOutput) -> None:
    assert written(raw, "ä".encode()[:1]) == []
    assert written(raw, "ä".encode()[1:] + b"\xff\n") == [Output(5, 1, "stderr", "vm", "ä\\xff")]


def test_each_task_has_its_bound_and_is_told_of_it(raw: RawOutput) -> None:
    texts = [each.text for each in written(raw, b"0123456789\n0123456789\n0123456789\n") + raw.end()]
    assert texts[0] == "0123456789"
    assert texts[1].startswith("012345678\n[13 more characters were dropped")
    assert written(raw, b"again\n") == [Output(5, 1, "stderr", "vm", "again")]


def test_what_no_task_wrote_goes_to_standard_error(raw: RawOutput, capsys: pytest.CaptureFixture[str]) -> None:
    assert written(raw, b"x" * 30 + b"\n", None) == []
    assert capsys.readouterr().err == "x" * 30 + "\n"


def test_the_end_of_the_worker_loses_nothing() -> None:
    raw = RawOutput("vm")
    os.write(raw.writing_end, b"last words")
    os.close(raw.writing_end)
    while raw.is_open:
        assert raw.read(lambda: ONE) == []
    assert raw.end() == [Output(5, 1, "stderr", "vm", "last words")]
    raw.close()
