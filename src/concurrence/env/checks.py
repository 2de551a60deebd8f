"""Checking a whole config against the options of components: all that is wrong with it, at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any, cast

from concurrence.component import ComponentManager, identity
from concurrence.env.config import COMPONENTS, Config, ConfigValue
from concurrence.env.option_base import Option
from concurrence.errors import ConfigError

_KNOWN = {("project", "app")}
_WILDCARDS = frozenset("*?[")


def declared_options(classes: Iterable[type]) -> list[Option[Any]]:
    """The options that classes declare or inherit, each once, in order of classes and declaration."""
    found: dict[Option[Any], None] = {}
    for cls in classes:
        for base in reversed(cls.__mro__):
            for value in vars(base).values():
                if isinstance(value, Option):
                    found[cast("Option[Any]", value)] = None
    return list(found)


def component_switch(config: Config, cls: type) -> bool | None:
    """What ``[components]`` says of a class: enabled, disabled, or nothing.

    The full name goes before patterns, a longer pattern before a shorter one.

    Raises:
        ConfigError: The value is neither true nor false.
    """
    name = identity(cls)
    patterns = [pattern for pattern in config.names(COMPONENTS) if pattern == name or fnmatchcase(name, pattern)]
    if not patterns:
        return None
    best = max(patterns, key=lambda pattern: (pattern == name, len(pattern), pattern))
    value = config.get(COMPONENTS, best)
    return None if value is None else _switch(best, value)


def check_config(config: Config, classes: Iterable[type], manager: ComponentManager | None = None) -> None:
    """Compare each value of a config with the options of some classes.

    Args:
        config: What is checked.
        classes: All classes whose options count, the environment's own included.
        manager: Who knows the components that values name; without one, such names are not checked.

    Raises:
        ConfigError: Sections or keys are unknown, or values are wrong; the text lists all of them.
    """
    options = declared_options(classes)
    errors = [
        error
        for section, name, value in config.items()
        if (error := _error(section, name, value, options, manager))
    ]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        listing = "\n".join(f"  {line}" for error in errors for line in str(error).splitlines())
        raise ConfigError(f"{len(errors)} errors in the configuration:\n{listing}")


def _error(
    section: str, name: str, value: ConfigValue, options: list[Option[Any]], manager: ComponentManager | None
) -> ConfigError | None:
    matching = [option for option in options if (option.section, option.name) == (section, name)]
    try:
        if section == COMPONENTS:
            _check_switch(name, value, manager)
        elif not matching and (section, name) not in _KNOWN:
            return _unknown(section, name, value, options)
        for option in matching:
            option.check(value, manager)
    except ConfigError as error:
        return error
    return None


def _check_switch(name: str, value: ConfigValue, manager: ComponentManager | None) -> None:
    _switch(name, value)
    if manager is None or _WILDCARDS & set(name):
        return
    known = [identity(cls) for cls in manager.registered()]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f'Did you mean "{near[0]}"?' if near else 'Write "module:Class", or a pattern: "module:*".'
        raise ConfigError(
            f"[{COMPONENTS}] {name}: there is no such component", source=value.source, line=value.line, hint=hint
        )


def _switch(name: str, value: ConfigValue) -> bool:
    words = {"true": True, "false": False}
    found = words.get(str(value.raw).lower()) if value.is_text or isinstance(value.raw, bool) else None
    if found is None:
        raise ConfigError(
            f"[{COMPONENTS}] {name}: expected true or false, found {value.raw!r}",
            source=value.source,
            line=value.line,
            hint=f'For example: "{name}" = false',
        )
    return found


def _unknown(section: str, name: str, value: ConfigValue, options: list[Option[Any]]) -> ConfigError:
    keys = {option.name for option in options if option.section == section}
    if not section:
        message, hint = f"{name} stands outside any section", "Put it below its [section]."
    elif not keys:
        message = f"unknown section [{section}] (key {name})"
        hint = _guess(section, {option.section for option in options} | {COMPONENTS, "project"}, "[{}]")
    else:
        message, hint = f"unknown key {name} in [{section}]", _guess(name, keys, "{}")
    if not hint:
        homes = sorted(f"[{option.section}]" for option in options if option.name == name)
        hint = f"There is a key {name} in {homes[0]}." if homes else f"[{section}] has: {', '.join(sorted(keys))}."
        hint = hint if homes or keys else ""
    return ConfigError(message, source=value.source, line=value.line, hint=hint)


def _guess(name: str, known: Iterable[str], form: str) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"Did you mean {form.format(near[0])}?" if near else ""


def sample_config(classes: Iterable[type], app: str | None = None) -> str:
    """A commented config with every option of some classes at its default.

    Args:
        classes: The classes whose options are listed.
        app: The application to run; it is the only value that is not commented out.
    """
    return "\n".join(_sample_lines(declared_options(classes), app)) + "\n"


def _sample_lines(options: list[Option[Any]], app: str | None) -> Iterator[str]:
    yield "# Configuration of this environment. Options without a value here have the default that is shown."
    sections = dict.fromkeys(["project", *(option.section for option in options)])
    for section in sections:
        yield from ("", f"[{section}]")
        done: set[str] = set()
        for option in options:
            if option.section != section or option.name in done:
                continue
            done.add(option.name)
            yield from (f"# {line}".rstrip() for line in option.doc.splitlines())
            if (section, option.name) == ("project", "app") and app:
                yield f"app = {option.to_toml(app)}"
            else:
                yield f"# {option.name} = {option.default_toml()}".rstrip()
    yield from ("", f"[{COMPONENTS}]", '# Which components take part. "module:Class" or a pattern, true or false.')
    yield '# "my_plugin:*" = false'
