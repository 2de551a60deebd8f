"""From docstrings and signatures to Markdown."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

_ROLE = re.compile(r":[a-z]+:`~?(?P<target>[^`]+)`")
_SECTION = re.compile(r"^(?P<name>Args|Arguments|Attributes|Raises|Returns|Yields):$")
_ITEM = re.compile(r"^    (?P<name>\*{0,2}[\w.]+(?:, [\w.]+)*): (?P<text>.*)$")
_TITLES = {"Args": "Arguments", "Raises": "Raises", "Returns": "Returns", "Yields": "Yields"}
_UNNAMED = ("Returns", "Yields")
_MODULE = re.compile(r"\b(?:[a-z_]\w*\.)+([A-Z]\w*)")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def markdown(doc: str) -> list[str]:
    """The lines of a docstring as Markdown: sections become lists, roles and double backquotes become code."""
    lines: list[str] = []
    section = ""
    literal = False
    for line in _with_fences(inspect.cleandoc(doc).splitlines()):
        if line.startswith("```") or literal:
            literal = line != "```"
            lines.append(line.removeprefix("    "))
            continue
        heading = _SECTION.match(line)
        item = _ITEM.match(line)
        if heading:
            section = heading["name"]
            lines += [f"{_TITLES.get(section, section)}:", ""]
        elif section and item and section not in _UNNAMED:
            lines.append(f"- `{item['name']}`: {plain(item['text'])}")
        elif section and line.startswith("    "):
            lines.append(f"- {plain(line.strip())}" if lines[-1] == "" else f"  {plain(line.strip())}")
        else:
            section = section if not line else ""
            lines.append(plain(line))
    return lines


def plain(text: str) -> str:
    """A line of a docstring as Markdown."""
    return _ROLE.sub(_of_role, text).replace("``", "`")


def first_sentence(doc: str | None) -> str:
    """The first line of a docstring, as Markdown."""
    return plain(inspect.cleandoc(doc or "").partition("\n")[0])


def slug(heading: str) -> str:
    """The anchor that a heading has on the web."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors_of(headings: Iterable[str]) -> list[str]:
    """The anchors of the headings of a page, in order; one that repeats gets a number."""
    seen: Counter[str] = Counter()
    found: list[str] = []
    for heading in headings:
        plain_slug = slug(heading)
        found.append(f"{plain_slug}-{seen[plain_slug]}" if seen[plain_slug] else plain_slug)
        seen[plain_slug] += 1
    return found


def signature(name: str, function: Callable[..., Any], *, is_bound: bool = False) -> str:
    """How a function is called, as one writes it.

    Args:
        name: What to call it.
        function: The function or class.
        is_bound: Whether its first parameter is given by Python.
    """
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return name
    parameters = list(found.parameters.values())[1 if is_bound else 0 :]
    shown = [each.replace(annotation=_Plain.of(each.annotation)) for each in parameters]
    returned = _Plain.of(found.return_annotation) if not isinstance(function, type) else inspect.Signature.empty
    text = str(found.replace(parameters=shown, return_annotation=returned))
    return name + _MODULE.sub(r"\1", _ADDRESS.sub("", text)).removesuffix(" -> None")


def members(cls: type, bases: Iterable[type]) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class that have a docstring of their own, in order of definition.

    Args:
        cls: The class.
        bases: Of these only what they define counts: the class itself and what is not told of elsewhere.
    """
    seen: set[str] = set()
    for base in bases:
        for name, value in vars(base).items():
            is_public = not name.startswith("_") or name == "__call__"
            if not is_public or name in seen or inspect.getattr_static(cls, name) is not value:
                continue
            seen.add(name)
            if _is_method(value) or isinstance(value, property):
                yield name, value


def member(name: str, value: Any) -> list[str]:
    """A method or property with its documentation."""
    function: Any = getattr(value, "__func__", value)
    doc = markdown(inspect.getdoc(cast("object", value)) or "")
    if isinstance(value, property):
        returned = inspect.signature(value.fget).return_annotation if value.fget else inspect.Signature.empty
        head = name if returned is inspect.Signature.empty else f"{name}: {_Plain.of(returned)!r}"
    else:
        prefix = "async " if inspect.iscoroutinefunction(function) else ""
        head = prefix + signature(name, function, is_bound=not isinstance(value, staticmethod))
    return [f"**`{head}`**", "", *doc, ""]


def assignment_doc(module: str, name: str) -> str:
    """The text below an assignment in a module: what documents an alias."""
    body = ast.parse(inspect.getsource(sys.modules[module])).body
    for statement, following in itertools.pairwise(body):
        match statement, following:
            case (
                ast.Assign(targets=[ast.Name(id=found)]) | ast.AnnAssign(target=ast.Name(id=found)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ) if found == name:
                return text
            case _:
                pass
    return ""


def _is_method(value: object) -> bool:
    return inspect.isfunction(value) or isinstance(value, staticmethod | classmethod)


def _of_role(match: re.Match[str]) -> str:
    target = match["target"]
    return f"`{target.rpartition('.')[2] if '~' in match[0] else target}`"


def _with_fences(lines: list[str]) -> Iterator[str]:
    """The lines, with the indented ones that follow ``::`` as a block of text."""
    rest = deque(lines)
    while rest:
        line = rest.popleft()
        if not line.endswith("::"):
            yield line
            continue
        literal: list[str] = []
        while rest and (not rest[0] or rest[0].startswith("    ")):
            literal.append(rest.popleft())
        yield from (line.removesuffix(":"), "", "```text")
        yield from "\n".join(literal).strip("\n").splitlines()
        yield from ("```", "")


class _Plain(str):
    """An annotation that a signature prints without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    @classmethod
    def of(cls, annotation: object) -> object:
        """The annotation in this form; what is none stays none."""
        return cls(annotation) if isinstance(annotation, str) else annotation
