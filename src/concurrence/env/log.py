"""Logging of a node: the standard library's, as lines for people or as JSON for machines."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO, cast

LOGGER = "concurrence"
"""The logger above all others of the system."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_RECORD = re.compile(r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) (?P<name>\S+): (?P<message>.*)")

_output = logging.getLogger(f"{LOGGER}.output")
_output.setLevel(logging.DEBUG)  # what a task prints is no log of ours, and [logging] level not about it


class NodeHandler(logging.StreamHandler[TextIO]):
    """The handler that :func:`configure_logging` installs, and replaces when it is called again."""


class TextFormatter(logging.Formatter):
    """``12:30:01 INFO  slave-1  message key=value``; a value that the message tells anyway is not told again.

    Args:
        node: The name of the node; empty if there is none yet.
    """

    def __init__(self, node: str = "") -> None:
        super().__init__(datefmt="%H:%M:%S")
        self.node = node

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the standard library's name
        """The line without the traceback, which the base class adds."""
        place = f"{self.node}  " if self.node else ""
        shown = ((key, str(value)) for key, value in extra_fields(record).items())
        extra = "".join(f" {key}={_quoted(text)}" for key, text in shown if not _tells(record.message, text))
        time = self.formatTime(record, self.datefmt)
        return f"{time} {record.levelname:<5} {place}{record.message}{extra}"

    def usesTime(self) -> bool:  # noqa: N802  the standard library's name
        """The time is formatted here."""
        return False


class JsonFormatter(logging.Formatter):
    """One JSON object a line, the extra fields of the record among the others; a traceback is one of them.

    Args:
        node: The name of the node; a process without one is a client.
    """

    def __init__(self, node: str = "") -> None:
        super().__init__()
        self.node = node

    def format(self, record: logging.LogRecord) -> str:
        """The object."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "node": self.node or "client",
            "message": _message(record),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        extra = {key: _plain(value) for key, value in extra_fields(record).items()}
        return json.dumps(fields | {key: value for key, value in extra.items() if key not in fields})


def _message(record: logging.LogRecord) -> str:
    """The message; of a wrong call, what it was made of: the line stays JSON."""
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001  the author's arguments; what is wrong is told in the message itself
        return f"{record.msg!r} % {record.args!r:.500} ({type(error).__name__}: {error})"


def _plain(value: object) -> object:
    """What JSON knows, or the value's text; JSON has no number for infinity."""
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  the author's own method; its failure is told in place of the text
        return f"({type(value).__name__} without a text: {type(error).__name__})"


def _tells(message: str, text: str) -> bool:
    return bool(text) and re.search(rf"(?<!\w){re.escape(text)}(?!\w)", message) is not None


def _quoted(text: str) -> str:
    return text if text and text.isprintable() and not set(text) & set(' "=') else json.dumps(text)


def extra_fields(record: logging.LogRecord) -> dict[str, object]:
    """What a caller added to a record with ``extra={...}``."""
    return {key: cast("object", value) for key, value in vars(record).items() if key not in _STANDARD}


def log_output(
    text: str, *, stream: str, slave: str, task: str | None, system: str | None, level: int = logging.INFO
) -> None:
    """Log what a task or task system wrote, a record for each line that it printed or record that it logged.

    Args:
        text: Whole lines.
        stream: ``stdout``, ``stderr``, or ``log`` for lines like ``WARNING name: text``.
        slave: The slave's name; empty if it came from none.
        task: The task's name; None for a task system.
        system: The task system's id; None for the application's own tasks.
        level: That of printed lines.
    """
    fields = {"slave": slave or None, "task": task, "system": system, "stream": stream}
    for number, name, message in _records(text, level) if stream == "log" else _lines(text, level):
        about = {**fields, "source": name or None}
        _output.log(number, "%s", message, extra={key: value for key, value in about.items() if value is not None})


def _lines(text: str, level: int) -> list[tuple[int, str, str]]:
    return [(level, "", line) for line in text.split("\n")]


def _records(text: str, level: int) -> list[tuple[int, str, str]]:
    """Level, logger and message of each record; lines that begin none belong to the one before: tracebacks."""
    records: list[tuple[int, str, str]] = []
    for line in text.split("\n"):
        found = _RECORD.match(line)
        if found:
            records.append((logging.getLevelNamesMapping()[found["level"]], found["name"], found["message"]))
        elif records:
            records[-1] = (*records[-1][:2], f"{records[-1][2]}\n{line}")
        else:
            records.append((level, "", line))
    return records


def configure_logging(
    level: str = "INFO",
    format: Literal["text", "json"] = "text",  # noqa: A002  the name of the option
    stream: TextIO | None = None,
    node: str = "",
) -> logging.Handler:
    """Write what the system logs to a stream.

    Args:
        level: The least level that is written: DEBUG, INFO, WARNING, ERROR.
        format: ``text`` for people or ``json`` for machines.
        stream: Where to; standard error by default.
        node: The name of the node, shown in each line.

    Returns:
        The handler; an earlier one of this function is removed.
    """
    logger = logging.getLogger(LOGGER)
    for old in [handler for handler in logger.handlers if isinstance(handler, NodeHandler)]:
        logger.removeHandler(old)
    handler = NodeHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(_formatter(format, node))
    logger.addHandler(handler)
    logger.setLevel(level)
    return handler


def writes_json() -> bool:
    """Whether this process logs JSON lines."""
    handlers = logging.getLogger(LOGGER).handlers
    return any(isinstance(each, NodeHandler) and isinstance(each.formatter, JsonFormatter) for each in handlers)


def change_format(format: Literal["text", "json"]) -> None:  # noqa: A002  the name of the option
    """Have what :func:`configure_logging` installed write another format from now on."""
    for handler in logging.getLogger(LOGGER).handlers:
        old = handler.formatter
        if isinstance(handler, NodeHandler) and isinstance(old, TextFormatter | JsonFormatter):
            handler.setFormatter(_formatter(format, old.node))


def _formatter(name: str, node: str) -> logging.Formatter:
    return JsonFormatter(node) if name == "json" else TextFormatter(node)
