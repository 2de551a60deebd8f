# ruff: noqa: T201  # printing is what is tested here
import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from concurrence.wire.codec import Parcel
from concurrence.wire.messages import Output
from concurrence.workers.output import CapturedStream, OutputCapture


class Capturing:
    """An installed capture and what it sent."""

    def __init__(self) -> None:
        self.capture = OutputCapture("s1")
        self.sent: list[Any] = []

    def begin(self, counter: int | None = 0) -> None:
        # Not in a fixture: pytest puts other streams in place for the test itself.
        if not isinstance(sys.stdout, CapturedStream):
            self.capture.install()
        self.capture.begin_chunk(5, lambda parcel: self.sent.append(parcel.message))
        self.capture.begin_task(counter)

    @property
    def texts(self) -> list[tuple[int | None, str, str]]:
        return [(message.counter, message.stream, message.text) for message in self.sent]

    def joined(self, stream: str = "stdout") -> str:
        return "\n".join(text for _, which, text in self.texts if which == stream)


@pytest.fixture
def capturing() -> Iterator[Capturing]:
    made = Capturing()
    yield made
    made.capture.uninstall()


def test_a_line_leaves_at_once(capturing: Capturing) -> None:
    capturing.begin(3)
    print("hello")
    assert capturing.sent == [Output(5, 3, "stdout", "s1", "hello")]


def test_lines_bear_the_name_of_their_task(capturing: Capturing) -> None:
    names = iter(["first", "third"])
    capturing.capture.name_of_task = lambda: next(names)
    capturing.begin(1)
    print("one", end="")
    capturing.capture.begin_task(2)
    capturing.capture.begin_task(3)
    print("two")
    print("three")
    capturing.capture.begin_task(None)
    print("after")
    capturing.capture.flush()
    told = [(message.counter, message.name) for message in capturing.sent]
    assert list(dict.fromkeys(told)) == [(1, "first"), (3, "third"), (None, "")]


def test_what_tells_the_name_may_print(capturing: Capturing) -> None:
    def name() -> str:
        print("asked")
        return "one"

    capturing.capture.name_of_task = name
    capturing.begin(1)
    print("line")
    capturing.capture.flush()
    assert capturing.joined().split("\n") == ["asked", "line"]


def test_lines_in_quick_succession_leave_together(capturing: Capturing) -> None:
    capturing.begin()
    for number in range(100):
        print(number)
    capturing.capture.flush()
    assert capturing.joined() == "\n".join(map(str, range(100)))
    assert len(capturing.sent) < 20


def test_a_line_does_not_wait_for_a_silent_task(capturing: Capturing) -> None:
    capturing.begin()
    print("first")
    print("second")
    deadline = time.monotonic() + 30
    while len(capturing.sent) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [text for _, _, text in capturing.texts] == ["first", "second"]


def test_only_whole_lines_leave_and_the_rest_at_the_end_of_the_task(capturing: Capturing) -> None:
    capturing.begin(1)
    sys.stdout.write("half ")
    capturing.capture.flush()
    assert capturing.sent == []
    sys.stdout.write("a line\nand a rest")
    assert capturing.texts == [(1, "stdout", "half a line")]
    capturing.capture.begin_task(2)
    print("next")
    capturing.capture.end_chunk()
    assert capturing.texts[1:] == [(1, "stdout", "and a rest"), (2, "stdout", "next")]


def test_streams_and_logging_are_told_apart(capturing: Capturing) -> None:
    capturing.begin()
    print("out")
    print("err", file=sys.stderr)
    logging.getLogger("app.part").info("told %d", 5)
    logging.getLogger("app.part").debug("not told")
    capturing.capture.end_chunk()
    assert [text[1:] for text in capturing.texts] == [
        ("stdout", "out"),
        ("stderr", "err"),
        ("log", "INFO app.part: told 5"),
    ]


def test_a_bad_log_call_is_reported_and_not_raised(capturing: Capturing, monkeypatch: pytest.MonkeyPatch) -> None:
    # The test runner's own handler on the root would raise first.
    monkeypatch.setattr(logging.getLogger(), "handlers", [capturing.capture._handler])  # pyright: ignore[reportPrivateUsage]
    capturing.begin()
    logging.getLogger("app").warning("%d", "no number")
    capturing.capture.end_chunk()
    assert "Logging error" in capturing.joined("stderr")


_ADVICE = "65536 of one task's output travel; let it return the rest, or write a file"


def test_output_of_a_task_is_bounded_and_the_loss_is_told(capturing: Capturing) -> None:
    capturing.begin(1)
    for _ in range(2_000):
        print("x" * 99)
    capturing.capture.begin_task(2)
    print("y")
    capturing.capture.end_chunk()
    first = [text for counter, _, text in capturing.texts if counter == 1]
    kept = sum(text.count("x") for text in first)
    assert 64_000 < kept <= 65_536
    assert first[-1] == f"[{200_000 - 65_536} more characters were dropped: {_ADVICE}]"
    assert (2, "stdout", "y") in capturing.texts
    assert all(len(text) < 131_072 for _, _, text in capturing.texts)


def test_one_endless_line_is_bounded_too(capturing: Capturing) -> None:
    capturing.begin()
    for _ in range(50):
        sys.stdout.write("x" * 10_000)
    capturing.capture.end_chunk()
    assert 60_000 < capturing.joined().count("x") <= 65_536
    assert f"were dropped: {_ADVICE}]" in capturing.joined("stderr")


def test_a_progress_bar_is_its_last_state(capturing: Capturing) -> None:
    capturing.begin()
    for percent in range(101):
        sys.stderr.write(f"\r{percent} %")
    sys.stderr.write("\n")
    print("windows\r")
    capturing.capture.end_chunk()
    assert capturing.joined("stderr") == "100 %"
    assert capturing.joined() == "windows"


def test_the_tail_is_the_last_lines_of_the_running_task(capturing: Capturing) -> None:
    capturing.begin()
    assert capturing.capture.tail() == ""
    for number in range(50):
        print(number)
    sys.stderr.write("unfinished")
    expected = [*map(str, range(31, 50)), "unfinished"]
    assert capturing.capture.tail().splitlines() == expected
    capturing.capture.begin_task(1)
    assert capturing.capture.tail() == ""


def test_the_tail_goes_on_when_nothing_more_travels(capturing: Capturing) -> None:
    capturing.begin()
    print("x" * 100_000)
    print("the end")
    assert capturing.capture.tail().splitlines()[-1] == "the end"


def test_without_a_task_text_goes_where_it_went_before(monkeypatch: pytest.MonkeyPatch) -> None:
    original = io.StringIO()
    monkeypatch.setattr(sys, "stdout", original)
    made = Capturing()
    made.capture.install()
    print("before")
    made.begin()
    print("within")
    made.capture.end_chunk()
    print("after")
    made.capture.uninstall()
    assert original.getvalue() == "before\nafter\n"
    assert sys.stdout is original
    assert made.joined() == "within"


def test_the_writers_are_text_files(capturing: Capturing) -> None:
    capturing.begin()
    for stream in (sys.stdout, sys.stderr):
        assert stream.writable()
        assert not stream.isatty()
        assert not stream.readable()
        assert stream.encoding == "utf-8"
        assert isinstance(stream, CapturedStream)
        assert stream.fileno() == stream.original.fileno()
        stream.flush()
        stream.close()
        assert not stream.closed
    assert sys.stdout.write("abc") == 3
    with pytest.raises(TypeError, match="must be str, not bytes"):
        sys.stdout.write(b"bytes")  # type: ignore[arg-type]
    sys.stdout.writelines(["d\n", "e\n"])
    sys.stdout.buffer.write("ä\n".encode())
    capturing.capture.end_chunk()
    assert capturing.joined() == "abcd\ne\nä"


def test_lone_surrogates_are_escaped(capturing: Capturing) -> None:
    capturing.begin()
    print("\udc80")
    assert capturing.joined() == "\\udc80"


def test_threads_write_whole_lines(capturing: Capturing) -> None:
    capturing.begin(4)
    line = "one whole line of some length"
    threads = [threading.Thread(target=lambda: [print(line) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    capturing.capture.end_chunk()
    lines = capturing.joined().splitlines()
    assert lines.count(line) == len(lines) == 200


def test_unfinished_lines_of_many_threads_are_bounded(capturing: Capturing) -> None:
    capturing.begin(4)
    for _ in range(100):
        thread = threading.Thread(target=lambda: print("x", end=""))
        thread.start()
        thread.join()
    capturing.capture.end_chunk()
    assert sum(each.count("x") for each in capturing.joined().splitlines()) == 100


def test_results_leave_after_the_output_before_them(capturing: Capturing) -> None:
    capturing.begin()
    print("one")
    print("two")
    marker: Any = Parcel(Output(5, None, "log", "", "the result"))
    capturing.capture.send(marker)
    assert [text for _, _, text in capturing.texts] == ["one", "two", "the result"]


def test_a_task_systems_output_has_no_counter(capturing: Capturing) -> None:
    capturing.begin(None)
    print("from the system")
    assert capturing.texts == [(None, "stdout", "from the system")]


def test_the_root_loggers_level_is_put_back() -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    capture = OutputCapture("s1")
    capture.install()
    assert root.isEnabledFor(logging.INFO)
    capture.uninstall()
    assert (root.level, list(root.handlers)) == before


class Interrupted:
    """A link whose sends are interrupted by a signal handler, and which takes one message at a time."""

    def __init__(self, capture: OutputCapture, handler: Callable[[], None], times: int) -> None:
        self.texts: list[str] = []
        self._handler = handler
        self._left = times
        self._is_busy = False
        capture.begin_chunk(5, self.send)
        capture.begin_task(0)

    def send(self, parcel: Parcel[Any]) -> None:
        assert not self._is_busy, "a plain lock would wait for itself here"
        self._is_busy = True
        if self._left:
            self._left -= 1
            self._handler()
        self.texts.append(parcel.message.text)
        self._is_busy = False


def test_a_handler_that_prints_within_a_send(capturing: Capturing) -> None:
    capturing.begin()

    def handler() -> None:
        time.sleep(0.06)  # the link is slow: what is printed now would leave at once
        print("handled")

    link = Interrupted(capturing.capture, handler, 2)
    print("line")
    assert link.texts == ["line", "handled", "handled"]
    marker: Any = Parcel(Output(5, None, "log", "", "the result"))
    link._left = 1  # pyright: ignore[reportPrivateUsage]
    capturing.capture.send(marker)
    assert link.texts[3:] == ["the result", "handled"]


def test_a_handler_that_flushes_within_a_send(capturing: Capturing) -> None:
    capturing.begin()

    def handler() -> None:
        capturing.capture.write("stdout", "handled\n")
        capturing.capture.flush()
        assert capturing.capture.tail()

    link = Interrupted(capturing.capture, handler, 1)
    print("line")
    assert link.texts == ["line", "handled"]


def test_a_send_that_fails_does_not_silence_the_capture(capturing: Capturing) -> None:
    capturing.begin()

    def fail(parcel: Parcel[Any]) -> None:
        raise BrokenPipeError

    capturing.capture.begin_chunk(5, fail)
    with pytest.raises(BrokenPipeError):
        print("lost")
    capturing.begin()
    print("line")
    assert capturing.joined() == "line"
