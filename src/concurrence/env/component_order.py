"""What ``[components]`` says: which components take part, and which of them come first at extension points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from concurrence.component import Component, ComponentManager, identity
from concurrence.env.config import COMPONENTS, Config, ConfigValue
from concurrence.env.option_base import key_prefix, strings
from concurrence.errors import ConfigError, nearest

ORDER = "order"
"""The one key of ``[components]`` that is no component."""

_WILDCARDS = frozenset("*?[")

C = TypeVar("C", bound=type)


def is_pattern(name: str) -> bool:
    """Whether a name may mean several components: ``my_plugin:*``."""
    return not _WILDCARDS.isdisjoint(name)


def rank(cls: type, names: Sequence[str]) -> int | None:
    """The place of a class in a list of full names and patterns; None if nothing there means it.

    Its full name goes before patterns, the first pattern before later ones.
    """
    full = identity(cls)
    if full in names:
        return names.index(full)
    return next((place for place, name in enumerate(names) if is_pattern(name) and fnmatchcase(full, name)), None)


def arrange(classes: Iterable[C], names: Sequence[str]) -> list[C]:
    """Put classes in order: first those that the names mean, as they are named; the others as they were."""

    def place(cls: C) -> int:
        found = rank(cls, names)
        return len(names) if found is None else found

    return sorted(classes, key=place)


def component_order(config: Config, classes: Sequence[type[Component]]) -> list[type[Component]]:
    """Put components in the order of ``[components] order``.

    Raises:
        ConfigError: The value is not a list of strings.
    """
    value = config.get(COMPONENTS, ORDER)
    return list(classes) if value is None else arrange(classes, _names(value))


def component_switch(config: Config, cls: type) -> bool | None:
    """What ``[components]`` says of a class: enabled, disabled, or nothing.

    The full name goes before patterns, a longer pattern before a shorter one.

    Raises:
        ConfigError: The value is neither true nor false.
    """
    name = identity(cls)
    # The key of the order means no class: full names have a colon.
    patterns = [pattern for pattern in config.names(COMPONENTS) if pattern == name or fnmatchcase(name, pattern)]
    if not patterns:
        return None
    best = max(patterns, key=lambda pattern: (pattern == name, len(pattern), pattern))
    value = config.get(COMPONENTS, best)
    return None if value is None else _switch(best, value)


def check_components(name: str, value: ConfigValue, manager: ComponentManager | None) -> Iterator[ConfigError]:
    """What is wrong with a key of ``[components]``.

    Args:
        name: The key: ``order``, a component or a pattern.
        value: Its value.
        manager: Who knows the components; without one, their names are not checked.
    """
    try:
        unknown = _unknown(name, value, manager)
    except ConfigError as error:
        yield error
        return
    known = [] if manager is None else [identity(cls) for cls in manager.registered()]
    for each in unknown:
        which = f": {each!r}" if name == ORDER else ""  # otherwise the key is the component
        yield ConfigError(
            f"{key_prefix(COMPONENTS, name, value)}there is no such component{which}",
            source=value.source,
            line=value.line,
            hint=_guess(each, known),
        )


def unknown_components(name: str, value: ConfigValue, manager: ComponentManager) -> list[str]:
    """The components that a key of ``[components]`` names and nobody knows; none if its value is wrong."""
    try:
        return _unknown(name, value, manager)
    except ConfigError:
        return []


def _unknown(name: str, value: ConfigValue, manager: ComponentManager | None) -> list[str]:
    names = _names(value) if name == ORDER else [name]
    if name != ORDER:
        _switch(name, value)
    known = None if manager is None else {identity(cls) for cls in manager.registered()}
    return [each for each in names if known is not None and not is_pattern(each) and each not in known]


def _guess(name: str, known: Sequence[str]) -> str:
    near = nearest(name, known)
    # Somebody may have written the class alone.
    classes = {full.rpartition(":")[2].casefold(): full for full in known}
    near = near or classes.get(nearest(name.casefold(), classes), "")
    return f'Did you mean "{near}"?' if near else 'Write "module:Class", or a pattern: "module:*".'


def _names(value: ConfigValue) -> tuple[str, ...]:
    try:
        return strings(value)
    except TypeError:
        expected = f"expected a list of components or patterns, found {value.raw!r}"
        raise ConfigError(
            f"{key_prefix(COMPONENTS, ORDER, value)}{expected}",
            source=value.source,
            line=value.line,
            hint=f'For example: {ORDER} = ["my_plugin:Fast", "my_plugin:*"]',
        ) from None


def _switch(name: str, value: ConfigValue) -> bool:
    words = {"true": True, "false": False}
    found = words.get(str(value.raw).lower()) if value.is_text or isinstance(value.raw, bool) else None
    if found is None:
        raise ConfigError(
            f"{key_prefix(COMPONENTS, name, value)}expected true or false, found {value.raw!r}",
            source=value.source,
            line=value.line,
            hint=f'For example: "{name}" = false',
        )
    return found
