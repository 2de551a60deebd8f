"""The page of interfaces and components: what can be swapped, for what, and by which option."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import cast

import concurrence
from concurrence.component import Component, Interface, identity, interfaces
from concurrence.env.checks import declared_options
from concurrence.env.environment import Environment
from concurrence.env.links import Link, LinkedComponent, LinkMap, map_links, short_name
from tools.reference.loaded import entry_point_of
from tools.reference.text import markdown, member, members, slug

_INTERFACE = re.compile(r"^class (I[A-Z]\w*)\(", re.MULTILINE)
_INTRO = """\
What can be swapped, for what, and by which option: every interface, and every built-in component.
`concurrence components` shows the same for your environment, with its plug-ins and what its config chose. How to
write one: [components](../components.md) and [plug-ins](../plugins.md).

![How the built-in components are linked](../images/components.svg)
"""


def components_markdown(environment: Environment) -> str:
    """The page."""
    links = map_links(environment)
    contracts = known_interfaces()
    classes = {identity(cls): cls for cls in environment.registered()}
    lines = ["# Components", "", _INTRO, "| interface | chosen by | built in |", "|---|---|---|"]
    lines += [_row(contract, links) for contract in contracts]
    lines += ["", "## Interfaces", ""]
    for contract in contracts:
        lines += _interface(contract, links)
    lines += ["## Built-in components", ""]
    for component in links.components:
        lines += _component(classes[component.identity], component)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def known_interfaces() -> list[type[Interface]]:
    """Concurrent's own interfaces, sorted by name."""
    # Found in the sources: what is loaded differs from one process to the next.
    root = Path(concurrence.__file__).parent
    found: dict[type[Interface], None] = {}
    for path in sorted(root.rglob("*.py")):
        for name in _INTERFACE.findall(path.read_text("utf-8")):
            module = ".".join(path.relative_to(root.parent).with_suffix("").parts)
            cls = cast("type", getattr(import_module(module), name))
            if issubclass(cls, Interface):
                found[cls] = None
    return sorted(found, key=lambda cls: cls.__name__)


def _uses(contract: type[Interface], links: LinkMap) -> Iterator[tuple[LinkedComponent, Link]]:
    """The extension points of components that ask for an interface."""
    for component in links.components:
        for link in component.links:
            if link.interface == identity(contract):
                yield component, link


def _row(contract: type[Interface], links: LinkMap) -> str:
    chosen = dict.fromkeys(_option(link.option) for _, link in _uses(contract, links) if link.option)
    built_in = ", ".join(_linked(component.name) for component in links.implementing(identity(contract)))
    return f"| {_linked(contract.__name__)} | {', '.join(chosen)} | {built_in} |"


def _interface(contract: type[Interface], links: LinkMap) -> list[str]:
    lines = [f"### {contract.__name__}", "", *_purpose(contract), ""]
    lines += [f"- Full name: `{identity(contract)}`"]
    wider = [base for base in contract.__mro__[1:] if issubclass(base, Interface) and base is not Interface]
    if wider:
        lines.append("- Is also: " + ", ".join(_linked(base.__name__) for base in wider))
    told: set[str] = set()
    for component, link in _uses(contract, links):
        if link.option and link.option not in told:
            told.add(link.option)
            default = ", ".join(_linked(short_name(name)) for name in link.chosen) or "none"
            lines.append(f"- Chosen by: {_option(link.option)}; by default {default}")
        elif not link.option:
            lines.append(f"- All that are loaded serve, at `{component.name}.{link.attribute}`")
    lines += [*_implementations(contract, links), ""]
    for name, value in members(contract, [contract]):
        first, *rest = member(name, value)
        is_abstract = getattr(value, "__isabstractmethod__", False)
        lines += [first + ("" if is_abstract else " (has a default)"), *rest]
    return lines


def _implementations(contract: type[Interface], links: LinkMap) -> list[str]:
    names = [_linked(component.name) for component in links.implementing(identity(contract))]
    return ["- Built in: " + (", ".join(names) or "none; for plug-ins")]


def _component(cls: type[Component], component: LinkedComponent) -> list[str]:
    lines = [f"### {component.name}", "", *_purpose(cls), ""]
    lines += [f"- Full name: `{component.identity}`"]
    entry_point = entry_point_of(cls)
    lines += [f"- Entry point: `{entry_point}`"] if entry_point else []
    contracts = [_linked(base.__name__) for base in interfaces(cls)]
    lines += ["- Implements: " + ", ".join(contracts)] if contracts else []
    sections: dict[str, list[str]] = {}
    for option in declared_options([cls]):
        sections.setdefault(option.section, []).append(option.name)
    for section, names in sections.items():
        shown = ", ".join(f"`{name}`" for name in dict.fromkeys(names))
        lines.append(f"- Options in [`[{section}]`](options.md#{slug(section)}): {shown}")
    for link in component.links:
        chosen = ", ".join(_linked(short_name(name)) for name in link.chosen) or "none is built in"
        how = f"chosen by {_option(link.option)}" if link.option else "all that are loaded"
        lines.append(f"- Uses {_linked(short_name(link.interface))} as `{link.attribute}`, {how}: {chosen}")
    return [*lines, ""]


def _purpose(cls: type) -> list[str]:
    """What a class is for; the arguments of its constructor are the manager's business."""
    return markdown((inspect.getdoc(cls) or "").partition("\nArgs:\n")[0])


def _option(option: str) -> str:
    section = option.partition("]")[0].removeprefix("[")
    return f"[`{option}`](options.md#{slug(section)})"


def _linked(name: str) -> str:
    return f"[{name}](#{slug(name)})"
