"""The page of the facade: every public name by topic, with its signature and its documentation."""

from __future__ import annotations

import inspect
import re
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, cast

import concurrence
from concurrence import testing
from concurrence.component import Component, Interface
from tools.reference.text import (
    anchors_of,
    assignment_doc,
    first_sentence,
    markdown,
    member,
    members,
    signature,
    slug,
)

_TITLE = "Public names"
_INTRO = """\
Every name that `from concurrence import NAME` gives, and those of `concurrence.testing`. All else in the package
may change without notice. The hand-written pages say which of them is good for what: [docs](../index.md).
"""
_TOPIC = re.compile(r"^    # (?P<topic>.+)$")
_NAME = re.compile(r'^    "(?P<name>\w+)",')


def topics() -> dict[str, list[str]]:
    """The names of the facade below the comments that stand in its list; what stands before any is left out."""
    source = Path(concurrence.__file__).read_text("utf-8").partition("__all__ = [")[2].partition("\n]")[0]
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in source.splitlines():
        if topic := _TOPIC.match(line):
            names = found.setdefault(topic["topic"], [])
        elif name := _NAME.match(line):
            names.append(name["name"])
    return found


def facade_doc(name: str) -> str:
    """What documents a name of the facade: a docstring, or the text below an alias."""
    value = getattr(concurrence, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        return value.__doc__ or ""
    return assignment_doc(home_of(name), name)


def home_of(name: str) -> str:
    """The module that defines a name of the facade."""
    homes = cast("dict[str, tuple[str, ...]]", vars(concurrence)["_HOMES"])
    return next(home for home, names in homes.items() if name in names)


def api_markdown() -> str:
    """The page."""
    found: dict[str, dict[str, Any]] = {
        topic[0].upper() + topic[1:]: {name: getattr(concurrence, name) for name in names}
        for topic, names in topics().items()
    }
    found["For tests, from concurrence.testing"] = {name: getattr(testing, name) for name in testing.__all__}
    headings = [_TITLE, *(heading for topic, names in found.items() for heading in (topic, *names))]
    places = dict(zip(headings, anchors_of(headings), strict=True))
    lines = [f"# {_TITLE}", "", _INTRO]
    for topic, names in found.items():
        lines.append(f"- {_linked(topic, places)}: " + ", ".join(_linked(name, places) for name in names))
    lines.append("")
    for topic, names in found.items():
        lines += [f"## {topic}", ""]
        for name, value in names.items():
            lines += [f"### {name}", "", *_described(name, value, places)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _linked(name: str, places: dict[str, str]) -> str:
    return f"[{name}](#{places[name]})"


def _described(name: str, value: Any, places: dict[str, str]) -> list[str]:
    if inspect.isclass(value):
        return _class(name, value, places)
    if inspect.isfunction(value):
        return ["```text", signature(name, value), "```", "", *markdown(value.__doc__ or ""), ""]
    kind = "A union of types" if isinstance(value, UnionType) else "A type"
    return [f"{kind}, for annotations.", "", *markdown(facade_doc(name)), ""]


def _class(name: str, cls: type, places: dict[str, str]) -> list[str]:
    lines: list[str] = []
    if _is_contract(cls):
        page = f"components.md#{slug(name)}"
        return [first_sentence(cls.__doc__), "", f"An interface; its methods: [{name}]({page}).", ""]
    if words := _words_of(cls):
        lines += ["One of: " + ", ".join(f"`{name}.{word}`" for word in words), ""]
    elif not getattr(cls, "_is_protocol", False):
        lines += ["```text", signature(name, cls), "```", ""]
    known = [base.__name__ for base in cls.__mro__[1:] if _is_public(base) and base is not Interface]
    if known:
        lines += ["Is a: " + ", ".join(_linked(base, places) for base in known), ""]
    lines += [*markdown(cls.__doc__ or ""), ""]
    own = [base for base in cls.__mro__ if base is cls or (_is_ours(base) and not _is_public(base))]
    for attribute, value in members(cls, own):
        lines += member(attribute, value)
    return lines


def _words_of(cls: type) -> list[str]:
    """The members of an enumeration; none of another class."""
    return [each.name for each in cls] if issubclass(cls, Enum) else []


def _is_contract(cls: type) -> bool:
    return issubclass(cls, Interface) and not issubclass(cls, Component) and cls is not Interface


def _is_ours(cls: type) -> bool:
    return cls.__module__.startswith("concurrence.")


def _is_public(cls: type) -> bool:
    return cls.__name__ in concurrence.__all__ and getattr(concurrence, cls.__name__) is cls
