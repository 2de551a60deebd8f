"""Editing a config file in place: one value changes, every other line stays as it is.

A line is put in or taken out as text, at the place that :mod:`concurrence.env.toml_lines` finds; tomlkit edits
what stands inside inline tables. Each result is read again before it is used: it must differ in that value only.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any, cast

import tomlkit

from concurrence.env.toml_lines import KeyPath, Statement, key_text, statements
from concurrence.errors import UsageError

_OPENING, _CLOSING = re.compile(r"^\{\s*"), re.compile(r"\s*\}$")
_MISSING = object()


def set_value(text: str, section: str, name: str, value: str) -> str:
    """The text with a value set.

    A value that is there is replaced, with the comment behind it kept. A new line goes below the commented default
    ``# name = ...`` of its section if there is one, otherwise below the section's last line.

    Args:
        text: The content of a TOML file.
        section: The section; it is made at the end if need be.
        name: The key.
        value: The value as TOML.

    Raises:
        UsageError: The text is not TOML, or is written so that the value has no place in it.
    """
    found = list(statements(text))
    owner = _holder(found, section, name)
    if owner is not None and owner.value is not None:
        rest = _rest(owner, section, name)
        new = _inside(text, owner, rest, value) if rest else _spliced(text, owner.value, value)
    else:
        new = _added(text, found, section, name, value)
    _verify(text, new, section, name, tomllib.loads(f"v = {value}")["v"])
    return new


def unset_value(text: str, section: str, name: str) -> str:
    """The text without a value; unchanged if it has none. A comment behind the value stays, on its own line.

    Args:
        text: The content of a TOML file.
        section: The section; its heading stays.
        name: The key.

    Raises:
        UsageError: The text is not TOML, or is written so that the value cannot be taken out.
    """
    if (section, name) not in _flat(text):
        return text
    owner = _holder(list(statements(text)), section, name)
    if owner is None:
        raise _impossible(section, name)
    rest = _rest(owner, section, name)
    new = _inside(text, owner, rest, None) if rest else _without(text, owner)
    _verify(text, new, section, name, _MISSING)
    return new


def _holder(found: list[Statement], section: str, name: str) -> Statement | None:
    """The statement that holds a value, or the inline table in which it is or would be."""
    for statement in found:
        if statement.value is not None and _rest(statement, section, name) is not None:
            return statement
    return None


def _rest(statement: Statement, section: str, name: str) -> KeyPath | None:
    """What is left of a key inside the value of a statement: () if it is the value; None if it is elsewhere."""
    path = statement.path
    if (".".join(path[:-1]), path[-1]) == (section, name):
        return ()
    head = ".".join(path)
    if section == head:
        return (name,)
    return (*section.removeprefix(f"{head}.").split("."), name) if section.startswith(f"{head}.") else None


def _spliced(text: str, span: tuple[int, int], new: str) -> str:
    return text[: span[0]] + new + text[span[1] :]


def _inside(text: str, owner: Statement, path: KeyPath | None, value: str | None) -> str:
    """Set or remove a value inside an inline table."""
    begin, end = cast("tuple[int, int]", owner.value)
    inline = text[begin:end]
    if not inline.startswith("{"):
        raise UsageError(
            f"line {owner.line}: {'.'.join(owner.path)} is a value and cannot hold others",
            hint=f"Remove the line, or write a section [{'.'.join(owner.path)}].",
        )
    document = cast("Any", tomlkit.parse(f"v = {inline}\n"))
    table: Any = document["v"]
    *inner, name = cast("KeyPath", path)
    for part in inner:
        if part not in table:
            table[part] = tomlkit.inline_table()
        table = table[part]
        if not hasattr(table, "items"):
            raise UsageError(f"line {owner.line}: {part} in {'.'.join(owner.path)} is a value, not a table")
    if value is None:
        del table[name]
    else:
        table[name] = cast("Any", tomlkit.value(value))
    edited = cast("str", document.as_string()).removeprefix("v = ").rstrip("\n")
    opening, closing = _OPENING.match(inline), _CLOSING.search(inline)
    if opening and closing and document["v"]:  # tomlkit forgets a space at the braces, or leaves one over
        edited = _CLOSING.sub(closing.group(), _OPENING.sub(opening.group(), edited))
    return _spliced(text, (begin, end), edited)


def _added(text: str, found: list[Statement], section: str, name: str, value: str) -> str:
    heading = next((one for one in found if one.value is None and ".".join(one.path) == section), None)
    if heading is None:
        dotted = [one for one in found if one.value is not None and _is_dotted_into(one, section)]
        if dotted:
            return _below_dotted(text, dotted[-1], section, f"{key_text(name)} = {value}")
        return _with_section(text, section, f"{key_text(name)} = {value}")
    if heading.is_array:
        raise UsageError(
            f"line {heading.line}: [[{section}]] is an array of tables", hint=f"Write [{section}], once."
        )
    first = found.index(heading)
    body = next((i for i in range(first + 1, len(found)) if found[i].value is None), len(found))
    inside = found[first:body]
    end = found[body].start if body < len(found) else len(text)
    place, indent = _below_default(text, inside, end, name) or (inside[-1].end, _indent(text, inside[-1].start))
    return _insert_line(text, place, f"{indent}{key_text(name)} = {value}")


def _below_default(text: str, inside: list[Statement], end: int, name: str) -> tuple[int, str] | None:
    """The end of the line ``# name = ...`` among a section's statements, and its indent."""
    pattern = re.compile(rf"^([ \t]*)#[ \t]*{re.escape(key_text(name))}[ \t]*=[^\n]*", re.MULTILINE)
    borders = [*(statement.start for statement in inside[1:]), end]
    for statement, border in zip(inside, borders, strict=True):
        match = pattern.search(text, min(statement.end + 1, border), border)
        if match:
            return match.end(), match[1]
    return None


def _is_dotted_into(statement: Statement, section: str) -> bool:
    """Whether a dotted key makes the section, which no heading may repeat then."""
    path, table = statement.path, len(statement.table)
    return any(".".join(path[:length]) == section for length in range(table + 1, len(path)))


def _below_dotted(text: str, statement: Statement, section: str, line: str) -> str:
    table = ".".join(statement.table)
    parts = section.removeprefix(table).removeprefix(".").split(".")
    prefix = "".join(f"{key_text(part)}." for part in parts)
    return _insert_line(text, statement.end, f"{_indent(text, statement.start)}{prefix}{line}")


def _with_section(text: str, section: str, line: str) -> str:
    newline = _newline(text)
    heading = ".".join(key_text(part) for part in section.split("."))
    gap = "" if not text else newline if text.endswith("\n") else newline * 2
    return f"{text}{gap}[{heading}]{newline}{line}{newline}"


def _insert_line(text: str, place: int, line: str) -> str:
    """Put a line below the one that ends at a place, or at the end of a text whose last line has no end."""
    if place > 0 and text[place - 1 : place] == "\r":
        place -= 1
    return text[:place] + _newline(text) + line + text[place:]


def _without(text: str, owner: Statement) -> str:
    begin = text.rfind("\n", 0, owner.start) + 1
    comment = text[cast("tuple[int, int]", owner.value)[1] : owner.end].strip()
    if comment:
        return text[: owner.start] + comment + text[owner.end - (text[owner.end - 1] == "\r") :]
    if owner.end < len(text):
        return text[:begin] + text[owner.end + 1 :]
    kept = text[:begin]  # the last line, which has no end: the one before it has none then
    return kept.removesuffix("\n").removesuffix("\r") if kept else kept


def _indent(text: str, start: int) -> str:
    return text[text.rfind("\n", 0, start) + 1 : start]


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text.partition("\n")[0] + "\n" else "\n"


def _verify(old: str, new: str, section: str, name: str, value: object) -> None:
    """Make sure that a new text says what it should; that would be our fault, but the file is the user's.

    Raises:
        UsageError: It does not.
    """
    wanted = _flat(old)
    wanted.pop((section, name), None)
    if value is not _MISSING:
        wanted[section, name] = repr(value)
    try:
        found = _flat(new)
    except tomllib.TOMLDecodeError as error:
        raise _impossible(section, name) from error
    if found != wanted:
        raise _impossible(section, name)


def _impossible(section: str, name: str) -> UsageError:
    return UsageError(
        f"[{section}] {name} cannot be edited in the way this file is written; nothing was changed",
        hint="Edit the file by hand.",
    )


def _flat(text: str) -> dict[tuple[str, str], str]:
    """Each value by section and name, as text, for in Python 1 == 1.0 == True."""
    flat: dict[tuple[str, str], str] = {}

    def walk(path: KeyPath, table: Mapping[str, object]) -> None:
        for key, raw in table.items():
            if isinstance(raw, dict):
                walk((*path, key), cast("dict[str, object]", raw))
            else:
                flat[".".join(path), key] = repr(raw)

    walk((), tomllib.loads(text))
    return flat
