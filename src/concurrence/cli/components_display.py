"""What ``concurrence components`` prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from concurrence.env.links import Link, LinkedComponent, LinkMap, short_name


def lines(links: LinkMap, *, is_part: bool = False) -> Iterator[str]:
    """The components for people: what each is for, implements, and is linked with.

    Args:
        links: The components.
        is_part: Whether they are only some of all.
    """
    for component in links.components:
        yield from _component_lines(component)
    if not is_part:
        count = len(links.components)
        yield f"{count} components; draw their links with: concurrence components --graph"


def as_dict(links: LinkMap) -> dict[str, Any]:
    """The same for programs."""
    return {"components": [asdict(component) for component in links.components], "problems": list(links.problems)}


def _component_lines(component: LinkedComponent) -> Iterator[str]:
    state = "" if component.enabled else "  DISABLED"
    yield f"{component.name}  ({component.identity}, {component.source}){state}"
    if component.doc:
        yield f"    {component.doc}"
    if component.interfaces:
        yield f"    implements {', '.join(short_name(name) for name in component.interfaces)}"
    for link in component.links:
        yield f"    {link.attribute}: {short_name(link.interface)} -> {_choice(link)}"
    yield ""


def _choice(link: Link) -> str:
    if link.problem:
        first = link.problem.splitlines()[0]
        return f"BROKEN: {first}"
    names = ", ".join(short_name(name) for name in link.chosen) or "none"
    if not link.option:
        return f"{names}    (all that there are)"
    return f"{names}    ({link.option}, {link.origin})"
