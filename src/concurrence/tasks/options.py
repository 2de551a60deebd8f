"""The options of a task, checked where they are given: a master would cut off whoever sent it a wrong one."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from datetime import timedelta
from numbers import Real
from typing import Any, NamedTuple, Protocol, cast

from concurrence.errors import UsageError
from concurrence.wire.fields import MAX_AMOUNT, MAX_NAME, MAX_RESOURCES, MAX_WEIGHT, MIN_WEIGHT

MAX_WHOLE = 1_000_000_000
"""Of priorities in both directions, and of retries."""
MAX_SECONDS = 1e9

_TIMEOUT = "a number of seconds above 0 or a datetime.timedelta, as in timeout=1.5; None for no limit"
_RESOURCES = f'at most {MAX_RESOURCES} names with amounts above 0, as in resources={{"gpu": 1}}'


class ILabelled(Protocol):
    """A task. Its label is asked for when it is needed: to make it may take long, of large arguments."""

    @property
    def label(self) -> str:
        """What people see."""
        ...


class Options(NamedTuple):
    """What a push says of all its tasks.

    Attributes:
        priority: Higher first.
        max_retries: How often a task that raised is tried again.
        timeout: Seconds of one attempt; 0 for no limit.
        resources: What it needs of a slave.
    """

    priority: int
    max_retries: int
    timeout: float
    resources: dict[str, float]


def checked_weight(owner: str, weight: Any) -> float:
    """The weight of a task system as messages carry it.

    Args:
        owner: Whose it is, for the error.
        weight: A number.

    Raises:
        UsageError: It is none, or too small or too large.
    """
    if isinstance(weight, bool) or not isinstance(weight, Real) or not MIN_WEIGHT <= float(weight) <= MAX_WEIGHT:
        raise UsageError(
            f"the weight of {owner} is {weight!r:.100}",
            hint=f"Give a number from {MIN_WEIGHT:g} to {MAX_WEIGHT:g}: 2 for twice as much as others.",
        )
    return float(weight)


def checked_timeout(owner: str | ILabelled, timeout: Any) -> float:
    """A time-out as messages carry it: 0 for none.

    Args:
        owner: Whose it is, for the error.
        timeout: Seconds, a ``timedelta`` or None.

    Raises:
        UsageError: It means nothing.
    """
    return 0.0 if timeout is None else _seconds(owner, timeout)


def checked_options(owner: str | ILabelled, priority: Any, retries: Any, timeout: Any, resources: Any) -> Options:
    """The options of a task as messages carry them.

    Args:
        owner: Whose they are, for the error.
        priority: A whole number.
        retries: A whole number, not negative.
        timeout: Seconds, a ``timedelta`` or None.
        resources: Amounts by name; None or empty for none.

    Raises:
        UsageError: One is not what it has to be; the text names it, its value and what is accepted.
    """
    return Options(
        _whole(owner, "priority", priority, -MAX_WHOLE),
        _whole(owner, "retries", retries, 0),
        checked_timeout(owner, timeout),
        {} if resources is None else _amounts(owner, resources),
    )


def wrong(owner: str | ILabelled, option: str, value: object, accepted: str) -> UsageError:
    """The error of an option that cannot mean anything."""
    shown = owner if isinstance(owner, str) else owner.label
    return UsageError(f"{shown}: the option {option}={value!r:.100} means nothing", hint=f"Give {accepted}.")


def _whole(owner: str | ILabelled, option: str, value: Any, least: int) -> int:
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # NumPy's integers too
    except TypeError:
        number = None
    if number is None or not least <= number <= MAX_WHOLE:
        raise wrong(owner, option, value, f"a whole number from {least:,} to {MAX_WHOLE:,}")
    return number


def _seconds(owner: str | ILabelled, value: Any) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else _number(value)
    if not 0 < seconds <= MAX_SECONDS:
        raise wrong(owner, "timeout", value, _TIMEOUT)
    return seconds


def _amounts(owner: str | ILabelled, value: Any) -> dict[str, float]:
    shown: object = value
    given: Mapping[Any, Any] | None = cast("Mapping[Any, Any]", value) if isinstance(value, Mapping) else None
    if given is None or len(given) > MAX_RESOURCES:
        raise wrong(owner, "resources", shown, _RESOURCES)
    amounts: dict[str, float] = {}
    for name, amount in given.items():
        number = _number(amount)
        if not isinstance(name, str) or len(name) > MAX_NAME or not 0 < number <= MAX_AMOUNT:
            raise wrong(owner, "resources", shown, _RESOURCES)
        amounts[name] = number
    return amounts


def _number(value: Any) -> float:
    """The number that a value is; not a number, which is in no range, if it is none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
