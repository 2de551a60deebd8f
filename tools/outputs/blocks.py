"""Finds in a document what was measured or calculated, and puts there what is so now. It runs nothing itself.

Output of a command stands in a ``text`` block behind a line that names the command, all of its lines or some:

    <!-- output of: COMMAND -->
    <!-- output of: COMMAND; from "how the first begins" to "how the last begins" -->

A table that is calculated stands behind ``<!-- table of: MODULE -->``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

OUTPUT = "<!-- output of:"
TABLE = "<!-- table of:"
_BLOCK = re.compile(
    r"(?P<head><!-- output of: (?P<command>(?:concurrence|python) [^\n]+?)"
    r'(?:; from "(?P<first>[^"\n]+)" to "(?P<last>[^"\n]+)")? -->\n+```text\n)(?P<output>.*?)(?P<tail>```)',
    re.DOTALL,
)
_ROWS = re.compile(r"(?P<head><!-- table of: (?P<module>[\w.]+) -->\n+)(?P<rows>(?:\|[^\n]*\n)+)")


class Shown(NamedTuple):
    """The output of a command, as a document shows it.

    Attributes:
        command: What to run.
        first: How the first line begins that is shown; empty for all lines.
        last: The same of the last one.
        output: What is shown now.
    """

    command: str
    first: str
    last: str
    output: str


def shown_in(text: str) -> list[Shown]:
    """All output of commands that a document shows."""
    return [
        Shown(found["command"], found["first"] or "", found["last"] or "", found["output"])
        for found in _BLOCK.finditer(text)
    ]


def tables_in(text: str) -> dict[str, str]:
    """The tables that a document shows, by the module that calculates them."""
    return {found["module"]: found["rows"] for found in _ROWS.finditer(text)}


def renewed(text: str, measured: Callable[[str], str], calculated: Callable[[str], str]) -> str:
    """A document with everything in it as it is now.

    Args:
        text: The document.
        measured: Tells the output of a command.
        calculated: Tells the table of a module.

    Raises:
        ValueError: A command printed no line that begins as those shown do.
    """

    def output(found: re.Match[str]) -> str:
        shown = measured(found["command"])
        if found["first"]:
            shown = part_of(shown, found["first"], found["last"])
        return f"{found['head']}{shown}{found['tail']}"

    text = _BLOCK.sub(output, text)
    return _ROWS.sub(lambda found: f"{found['head']}{calculated(found['module'])}", text)


def part_of(output: str, first: str, last: str) -> str:
    """The lines from the first that begins in one way to the next that begins in another.

    Raises:
        ValueError: There are none.
    """
    lines = output.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if line.startswith(first)]
    ends = [
        number for number, line in enumerate(lines) if starts and number >= starts[0] and line.startswith(last)
    ]
    if not ends:
        raise ValueError(f"no lines from {first!r} to {last!r} in:\n{output}")
    return "".join(lines[starts[0] : ends[0] + 1])
