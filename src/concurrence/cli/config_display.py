"""How ``concurrence config`` prints values and options: for people, as TOML, as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import cast

from concurrence.env.config import COMPONENTS
from concurrence.env.config_report import COMPONENTS_DOC, UNITS, KnownOption, json_value
from concurrence.env.config_values import EffectiveValue
from concurrence.env.toml_lines import key_text
from concurrence.errors import ConfigError

_WIDTH = 100
_ORIGIN_COLUMN = 40


def print_lines(lines: Iterable[str]) -> None:
    """Print lines; what standard output cannot encode is escaped."""
    for line in lines:
        print(line.encode("utf-8", "backslashreplace").decode("utf-8"))


def print_json(value: object) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, default=str))


def values_lines(values: Iterable[EffectiveValue], *, origin: bool) -> Iterator[str]:
    """The values as TOML, with a heading for each section.

    Args:
        values: The values, sorted.
        origin: Whether a comment tells where each comes from.
    """
    section = None
    for value in values:
        if value.section != section:
            if section is not None:
                yield ""
            section = value.section
            yield f"[{'.'.join(key_text(part) for part in section.split('.'))}]"
        text = f"{key_text(value.name)} = {value.toml}" if value.toml else f"# {key_text(value.name)} ="
        if value.is_wrong:
            text = f"# wrong: {text}"
        if origin:
            also = f"; also set in {', '.join(value.hidden)}" if value.hidden else ""
            text = f"{text:<{_ORIGIN_COLUMN}}  # {value.origin}{also}"
        yield from text.splitlines() or [""]


def values_json(values: Iterable[EffectiveValue], *, origin: bool) -> dict[str, dict[str, object]]:
    """The values by section and name; with ``origin`` all that is known of each."""
    told: dict[str, dict[str, object]] = {}
    for value in values:
        shown = value.as_json() if origin else json_value(value.toml)
        told.setdefault(value.section, {})[value.name] = shown
    return told


def errors_json(errors: Iterable[ConfigError]) -> dict[str, object]:
    """What is wrong, or that nothing is."""
    told = [
        {"source": error.source, "line": error.line, "message": error.message, "hint": error.hint}
        for error in errors
    ]
    return {"ok": not told, "errors": told}


def doc_json(options: Iterable[KnownOption]) -> dict[str, dict[str, object]]:
    """The options by section and name."""
    told: dict[str, dict[str, object]] = {}
    for option in options:
        told.setdefault(option.section, {})[option.name] = option.as_json()
    return told


def doc_lines(options: Iterable[KnownOption]) -> Iterator[str]:
    """The options for people, with a heading for each section."""
    section = None
    for option in options:
        if option.section != section:
            section = option.section
            yield f"[{section}]"
        yield f"  {option.name} = {option.default}".rstrip()
        for line in option.doc.splitlines():
            yield from _wrapped(line)
        units = f" ({UNITS[option.type]})" if option.type in UNITS else ""
        yield from _wrapped(f"type: {option.type}: {option.expected}{units}")
        if option.choices and option.type.startswith("component"):
            yield from _wrapped(f"known: {', '.join(option.choices)}")
        yield from _wrapped(
            "live: a running node takes up a change" if option.live else "a change needs a restart"
        )
        yield from _wrapped(f"declared by {', '.join(option.declared_by)}")
        yield ""


def components_lines() -> Iterator[str]:
    """The section ``[components]``, whose keys are no options, for people."""
    yield f"[{COMPONENTS}]"
    for key, doc in COMPONENTS_DOC.items():
        yield f"  {key}"
        yield from _wrapped(doc)


def plain(toml: str) -> str:
    """A value for scripts: a text without quotes, a list as words between commas."""
    value = json_value(toml)
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join(str(item) for item in cast("list[object]", value))
    return toml


def described(value: EffectiveValue) -> str:
    """A value and its origin: ``8080 (default)``."""
    return f"{value.toml or 'nothing'} ({value.origin})"


def edit_lines(
    key: str, place: str, before: EffectiveValue | None, after: EffectiveValue | None, *, is_set: bool
) -> Iterator[str]:
    """What an edit did, for people.

    Args:
        key: The key as it is written on the command line.
        place: The file, with the line if the key is in it.
        before: The value that held, if there was any.
        after: The value that holds now, if there is any.
        is_set: Whether the key was set, not taken out.
    """
    was = described(before) if before else "not set"
    if after is None:
        yield f"{key} is not set any more; it was {was}"
        yield f"  taken out of {place}"
        return
    yield f"{key} was {was}, is {described(after)}"
    yield f"  {'written to' if is_set else 'taken out of'} {place}"
    if after.known is not None and after.known.live:
        yield "  live: a running node takes it up without a restart"
    else:
        yield "  a running node takes it up when it is restarted"
    if is_set and after.origin != place:
        yield f"  note: what is in the file does not hold, for this goes before it: {after.origin}"


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(
        line,
        _WIDTH,
        initial_indent="      ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )
