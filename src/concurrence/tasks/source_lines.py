"""Lines of source in a traceback from a worker, where only this process knows them: those of notebook cells."""

from __future__ import annotations

import linecache
import re

_FRAME = re.compile(
    r'^(?P<indent> *)File "(?P<name>[^"\n]+)", line (?P<number>\d+), in .*\n(?!(?P=indent) )', re.MULTILINE
)


def with_source_lines(traceback: str) -> str:
    """Fill in the lines of code that was never in a file.

    Args:
        traceback: As text, in which some frames have no line of source.
    """

    def filled(frame: re.Match[str]) -> str:
        line = _line_of(frame["name"], int(frame["number"]))
        return f"{frame[0]}{frame['indent']}  {line}\n" if line else frame[0]

    return _FRAME.sub(filled, traceback)


def _line_of(name: str, number: int) -> str:
    entry = linecache.cache.get(name)
    # With a time of change it is a file of this machine, not necessarily the worker's.
    if entry is None or len(entry) < 4 or entry[1] is not None:
        return ""
    lines: list[str] = entry[2]
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""
