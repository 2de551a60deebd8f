"""Logging of a node: the standard library's, as lines for people or as JSON for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO, cast

LOGGER = "concurrence"
"""The logger above all others of the system."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class NodeHandler(logging.StreamHandler[TextIO]):
    """The handler that :func:`configure_logging` installs, and replaces when it is called again."""


class TextFormatter(logging.Formatter):
    """``12:30:01 INFO  slave-1  message key=value``.

    Args:
        node: The name of the node; empty if there is none yet.
    """

    def __init__(self, node: str = "") -> None:
        super().__init__(datefmt="%H:%M:%S")
        self.node = node

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the standard library's name
        """The line without the traceback, which the base class adds."""
        place = f"{self.node}  " if self.node else ""
        extra = "".join(f" {key}={value}" for key, value in extra_fields(record).items())
        time = self.formatTime(record, self.datefmt)
        return f"{time} {record.levelname:<5} {place}{record.message}{extra}"

    def usesTime(self) -> bool:  # noqa: N802  the standard library's name
        """The time is formatted here."""
        return False


class JsonFormatter(logging.Formatter):
    """One JSON object a line, the extra fields of the record among the others.

    Args:
        node: The name of the node; empty if there is none yet.
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
            "node": self.node,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(extra_fields(record) | fields, default=str)


def extra_fields(record: logging.LogRecord) -> dict[str, object]:
    """What a caller added to a record with ``extra={...}``."""
    return {key: cast("object", value) for key, value in vars(record).items() if key not in _STANDARD}


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


def change_format(format: Literal["text", "json"]) -> None:  # noqa: A002  the name of the option
    """Have what :func:`configure_logging` installed write another format from now on."""
    for handler in logging.getLogger(LOGGER).handlers:
        old = handler.formatter
        if isinstance(handler, NodeHandler) and isinstance(old, TextFormatter | JsonFormatter):
            handler.setFormatter(_formatter(format, old.node))


def _formatter(name: str, node: str) -> logging.Formatter:
    return JsonFormatter(node) if name == "json" else TextFormatter(node)
