"""Lines of the log: for people, and as JSON for machines."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

import pytest

from concurrence.env.log import LOGGER, JsonFormatter, change_format, configure_logging, log_output, writes_json

Lines = Callable[[], list[str]]


class Start(Protocol):
    """Begins to log into lines."""

    def __call__(self, form: Literal["text", "json"], level: str = "DEBUG", node: str = "") -> Lines: ...


_log = logging.getLogger(f"{LOGGER}.test")


@pytest.fixture
def written() -> Iterator[Start]:
    logger = logging.getLogger(LOGGER)
    level, handlers = logger.level, list(logger.handlers)

    def start(form: Literal["text", "json"], level: str = "DEBUG", node: str = "") -> Lines:
        stream = io.StringIO()
        configure_logging(level, form, stream, node)
        return lambda: stream.getvalue().splitlines()

    yield start
    for handler in [each for each in logger.handlers if each not in handlers]:
        logger.removeHandler(handler)
    logger.setLevel(level)


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_text_shows_what_a_record_is_about(written: Start) -> None:
    lines = written("text", node="m")
    _log.warning("worker %d is replaced", 3, extra={"slave": "vm", "task": 7, "text": 'a "b"', "empty": ""})
    assert lines()[0].endswith('WARNING m  worker 3 is replaced slave=vm task=7 text="a \\"b\\"" empty=""')


def test_text_does_not_tell_twice(written: Start) -> None:
    lines = written("text")
    _log.info("slave vm registered", extra={"slave": "vm"})
    assert lines()[0].endswith("slave vm registered")


def test_json_is_one_object_a_line(written: Start) -> None:
    lines = written("json", node="m")
    try:
        raise ValueError("two\nlines")  # noqa: TRY301
    except ValueError:
        _log.exception("went\nwrong", extra={"slave": "vm", "task": 7})
    (line,) = lines()
    found = json.loads(line)
    assert (found["level"], found["logger"], found["node"]) == ("ERROR", f"{LOGGER}.test", "m")
    assert (found["message"], found["slave"], found["task"]) == ("went\nwrong", "vm", 7)
    assert found["traceback"].endswith("ValueError: two\nlines")
    assert found["time"].endswith("+00:00")


def test_json_stays_json_whatever_is_logged() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    def logged(message: str, *args: object, **fields: object) -> dict[str, object]:
        record = logging.makeLogRecord({"msg": message, "args": args, "levelname": "INFO", **fields})
        line = JsonFormatter().format(record)
        assert "\n" not in line
        return json.loads(line, parse_constant=refuse)

    wrong = str(logged("%d items", "many")["message"])
    assert "'%d items'" in wrong
    assert "TypeError" in wrong
    assert "RuntimeError" in str(logged("odd %s", Odd())["message"])
    found = logged("numbers", large=float("inf"), odd=Odd(), list=[1], level="mine", half=0.5)
    assert (found["large"], found["list"], found["half"]) == ("inf", "[1]", 0.5)
    assert found["level"] == "INFO"  # a field of ours is not replaced
    assert "RuntimeError" in str(found["odd"])
    found = logged("\ud800 \x00 \u2028", stack_info="in some\nplace")
    assert (found["message"], found["node"], found["stack"]) == ("\ud800 \x00 \u2028", "client", "in some\nplace")


def test_what_a_task_printed_is_a_record_a_line(written: Start) -> None:
    lines = written("json", level="ERROR")  # which is about logs of ours
    log_output("one\ntwo", stream="stdout", slave="vm", task="add 1", system=None)
    found = [json.loads(line) for line in lines()]
    assert [each["message"] for each in found] == ["one", "two"]
    assert [(each["slave"], each["task"], each["stream"]) for each in found] == [("vm", "add 1", "stdout")] * 2
    assert "system" not in found[0]
    assert found[0]["level"] == "INFO"


def test_what_a_task_logged_keeps_level_name_and_traceback(written: Start) -> None:
    lines = written("json")
    text = "WARNING a.b: careful\nERROR c: failed\nTraceback (most recent call last):\nValueError: x\nINFO d: on"
    log_output(text, stream="log", slave="", task=None, system="00ff")
    found = [json.loads(line) for line in lines()]
    assert [(each["level"], each["source"]) for each in found] == [
        ("WARNING", "a.b"),
        ("ERROR", "c"),
        ("INFO", "d"),
    ]
    assert found[1]["message"] == "failed\nTraceback (most recent call last):\nValueError: x"
    assert all(each["system"] == "00ff" and "slave" not in each and "task" not in each for each in found)


def test_the_form_can_be_changed(written: Start) -> None:
    lines = written("text", node="m")
    assert not writes_json()
    change_format("json")
    assert writes_json()
    _log.info("news")
    assert json.loads(lines()[0])["node"] == "m"
