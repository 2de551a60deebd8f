"""The lines of a TOML text at which its keys stand; tomllib does not tell them."""

from __future__ import annotations

import re
import tomllib

KeyPath = tuple[str, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
_KEY_PART = re.compile(_PART)
_HEADER = re.compile(r"\[\[?[ \t]*")
_BLANK = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_VALUE_TOKEN = re.compile(
    r'''"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}'''
    r"""|'''(?:[^']|'{1,2}(?!'))*'{3,5}"""
    r"""|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[\[{]|[\]}]|\n|[^"'\#\[\]{}\n]+""",
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """The 1-based line of each table and key.

    Args:
        text: A text that tomllib accepts. For any other the result is meaningless.

    Returns:
        Lines by full path of the key. Keys inside inline tables and arrays are not listed.
    """
    text = text.replace("\r\n", "\n")
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    position, line = 0, 1
    while True:
        blank = _BLANK.match(text, position)
        start = blank.end() if blank else position
        line += text.count("\n", position, start)
        opening = _HEADER.match(text, start)
        key = _KEY.match(text, opening.end() if opening else start)
        if key is None:
            return lines
        path = tuple(_unquote(part) for part in _KEY_PART.findall(key.group()))
        if opening:
            table = path
            end = text.find("\n", key.end())
            position = end if end >= 0 else len(text)
        else:
            path = table + path
            position = _end_of_value(text, key.end())
        lines.setdefault(path, line)
        line += text.count("\n", start, position)


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int | None:
    """The line of a key, or of the nearest table or inline table around it."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _unquote(part: str) -> str:
    return next(iter(tomllib.loads(f"{part} = 0"))) if part[0] in "\"'" else part


def _end_of_value(text: str, position: int) -> int:
    depth = 0
    while token := _VALUE_TOKEN.match(text, position):
        if token.group() == "\n" and depth == 0:
            break
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token.group(), 0)
        position = token.end()
    return position
