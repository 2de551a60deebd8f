"""What people type to name jobs, tasks and slaves, and what they are shown of them. Pure.

A job is named by the first hexadecimal digits of its system's id, as many as make it unique, or by its name if no
other has it; a task by its job, ``/`` and its counter (the ``-`` of a task id will do too); a slave by its name or
the first digits of its node id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import pairwise
from typing import NamedTuple

from concurrence.errors import NotFound, UsageError
from concurrence.scheduling.registry import Registry, SlaveNodeRecord

SHORT_DIGITS = 8
"""How many digits of an id are shown at least."""

_ID_DIGITS = 16
_HEXADECIMAL = frozenset("0123456789abcdef")
_SHOWN = 5  # alternatives that an error names


class Target(NamedTuple):
    """What somebody named.

    Attributes:
        system: The job.
        counter: The task; None if the whole job is meant.
    """

    system: int
    counter: int | None


def short_ids(systems: Iterable[int]) -> dict[int, str]:
    """For each system the first digits of its id, as many as tell it from the others, at least eight.

    Args:
        systems: All that can be named.
    """
    texts = {system: f"{system:0{_ID_DIGITS}x}" for system in systems}
    ordered = sorted(texts.values())
    needed = dict.fromkeys(ordered, SHORT_DIGITS)
    for one, other in pairwise(ordered):
        common = next((n for n in range(_ID_DIGITS) if one[n] != other[n]), _ID_DIGITS)
        for text in (one, other):
            needed[text] = max(needed[text], common + 1)
    return {system: text[: needed[text]] for system, text in texts.items()}


def find_target(text: str, jobs: dict[int, str]) -> Target:
    """The job or task that somebody named.

    Args:
        text: ``SYSTEM``, ``SYSTEM/COUNTER`` or ``SYSTEM-COUNTER``.
        jobs: The names of all jobs that can be meant, by system; empty for those that have none.

    Raises:
        NotFound: There is no such job.
        UsageError: It names several, or is malformed.
    """
    words = text.strip()
    if (system := _match(words, jobs)) is not None:
        return Target(system, None)
    separator = "/" if "/" in words else "-"
    head, found, tail = words.rpartition(separator)
    if not found:
        raise _no_job(words, jobs)
    if not tail.isascii() or not tail.isdigit():
        raise UsageError(
            f"{text!r} names no task: behind {separator} comes its number", hint="As in 0c8d2a41/7, or 0c8d2a41."
        )
    system = _match(head, jobs)
    if system is None:
        raise _no_job(head, jobs)
    return Target(system, int(tail))


def find_slave(text: str, registry: Registry) -> SlaveNodeRecord:
    """The slave that somebody named, connected or away.

    Raises:
        NotFound: There is no such slave.
        UsageError: The beginning of an id fits several.
    """
    slaves = [node for node in registry if isinstance(node, SlaveNodeRecord)]
    named = [slave for slave in slaves if slave.name == text]
    if named:
        return named[0]  # no two have the same
    found = [slave for slave in slaves if text and slave.id.startswith(text.lower())]
    if len(found) > 1:
        raise UsageError(
            f"{text!r} is the beginning of {len(found)} slaves' ids: {_listed(slave.id for slave in found)}",
            hint="Type more digits, or the name of the slave.",
        )
    if not found:
        names = sorted(slave.name for slave in slaves)
        raise NotFound(f"there is no slave {text!r}", hint=_alternatives(text, names, "No slave is connected."))
    return found[0]


def _match(text: str, jobs: dict[int, str]) -> int | None:
    """The one job with this beginning of an id, or with this name.

    Raises:
        UsageError: There are several.
    """
    digits = text.lower().removeprefix("0x")
    found: list[int] = []
    if digits and _HEXADECIMAL.issuperset(digits):
        found = [system for system in jobs if f"{system:0{_ID_DIGITS}x}".startswith(digits)]
    found = found or [system for system, name in jobs.items() if name and name == text]
    if len(found) > 1:
        ids = short_ids(found).values()
        raise UsageError(f"{text!r} fits {len(found)} jobs: {_listed(ids)}", hint="Type more digits of the id.")
    return found[0] if found else None


def _no_job(text: str, jobs: dict[int, str]) -> NotFound:
    return NotFound(
        f"there is no job {text!r}",
        hint=_alternatives(text, list(short_ids(jobs).values()), "No job is there; each client has one at least."),
    )


def _alternatives(text: str, known: Collection[str], none: str) -> str:
    if not known:
        return none
    near = get_close_matches(text[:64], known, n=1)
    return f"Did you mean {near[0]}?" if near else f"There is {_listed(known)}."


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
