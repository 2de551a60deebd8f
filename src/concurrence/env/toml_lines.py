"""Where the keys and values of a TOML text stand; tomllib does not tell it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

KeyPath = tuple[str, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
_KEY_PART = re.compile(_PART)
_HEADER = re.compile(r"\[\[?[ \t]*")
_EQUALS = re.compile(r"[ \t]*=[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_VALUE_TOKEN = re.compile(
    r'''"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}'''
    r"""|'''(?:[^']|'{1,2}(?!'))*'{3,5}"""
    r"""|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[\[{]|[\]}]|\n|[^"'\#\[\]{}\n]+""",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """A heading ``[table]``, or a key with its value.

    Attributes:
        path: The full path of the table or key.
        table: The path of the table under whose heading it stands; of a heading, its own.
        line: The 1-based line on which it begins.
        start: The offset of its first character.
        value: The offsets of the value's begin and end; None for a heading.
        end: The offset of the line end behind it, or of the end of the text.
        is_array: Whether it is the heading of an array of tables: ``[[table]]``.
    """

    path: KeyPath
    table: KeyPath
    line: int
    start: int
    value: tuple[int, int] | None
    end: int
    is_array: bool = False


def statements(text: str) -> Iterator[Statement]:
    """The headings and keys of a text, in order. Keys inside inline tables and arrays are not among them.

    Args:
        text: A text that tomllib accepts. For any other the result is meaningless.
    """
    table: KeyPath = ()
    position, line = 0, 1
    while True:
        blank = _BLANK.match(text, position)
        start = blank.end() if blank else position
        line += text.count("\n", position, start)
        opening = _HEADER.match(text, start)
        key = _KEY.match(text, opening.end() if opening else start)
        if key is None:
            return
        path = tuple(_unquote(part) for part in _KEY_PART.findall(key.group()))
        if opening:
            table = path
            position = _end_of_line(text, key.end())
            yield Statement(path, path, line, start, None, position, opening.group().startswith("[["))
        else:
            equals = _EQUALS.match(text, key.end())
            value_start = equals.end() if equals else key.end()
            value_end, position = _end_of_value(text, value_start)
            yield Statement(table + path, table, line, start, (value_start, value_end), position)
        line += text.count("\n", start, position)


def key_lines(text: str) -> dict[KeyPath, int]:
    """The 1-based line of each table and key.

    Args:
        text: A text that tomllib accepts. For any other the result is meaningless.

    Returns:
        Lines by full path of the key. Keys inside inline tables and arrays are not listed.
    """
    lines: dict[KeyPath, int] = {}
    for statement in statements(text):
        lines.setdefault(statement.path, statement.line)
    return lines


def key_text(name: str) -> str:
    """A key as TOML writes it: with quotes if it needs them."""
    # TOML's basic strings are JSON's, except that DEL must be escaped.
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int | None:
    """The line of a key, or of the nearest table or inline table around it."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _unquote(part: str) -> str:
    return next(iter(tomllib.loads(f"{part} = 0"))) if part[0] in "\"'" else part


def _end_of_line(text: str, position: int) -> int:
    end = text.find("\n", position)
    return end if end >= 0 else len(text)


def _end_of_value(text: str, position: int) -> tuple[int, int]:
    """Where a value ends, and where its line does."""
    depth, end = 0, position
    while token := _VALUE_TOKEN.match(text, position):
        found = token.group()
        if found == "\n" and depth == 0:
            break
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found, 0)
        position = token.end()
        if found.strip() and not (found[0] == "#" and depth == 0):
            end = token.start() + len(found.rstrip())
    return end, position
