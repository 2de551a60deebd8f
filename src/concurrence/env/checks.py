"""Checking a whole config against the options of components: all that is wrong with it, at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from concurrence.component import Component, ComponentManager
from concurrence.env.component_order import check_components, unknown_components
from concurrence.env.config import COMPONENTS, ENVIRONMENT_PREFIX, Config, ConfigValue
from concurrence.env.option_base import Option
from concurrence.errors import ConfigError, nearest

_KNOWN = {("project", "app")}


def declared_options(classes: Iterable[type]) -> list[Option[Any]]:
    """The options that classes declare or inherit, each once, in order of classes and declaration."""
    found: dict[Option[Any], None] = {}
    for cls in classes:
        for base in reversed(cls.__mro__):
            for value in vars(base).values():
                if isinstance(value, Option):
                    found[cast("Option[Any]", value)] = None
    return list(found)


def check_config(
    config: Config,
    classes: Iterable[type],
    manager: ComponentManager | None = None,
    *,
    is_partial: bool = False,
) -> list[ConfigError]:
    """Compare each value of a config with the options of some classes.

    Args:
        config: What is checked.
        classes: All classes whose options count, the environment's own included.
        manager: Who knows the components that values name; without one, such names are not checked.
        is_partial: Whether there are plug-ins that could not be loaded: one of them may be who knows a section, or
            a component of a module, that nobody here knows.

    Returns:
        What is excused by ``is_partial``.

    Raises:
        ConfigError: Sections or keys are unknown, or values are wrong; the text lists all of them.
    """
    options = declared_options(classes)
    errors: list[ConfigError] = []
    excused: list[ConfigError] = []
    for section, name, value in config.items():
        is_excused = is_partial and _may_be_of_a_missing_plugin(section, name, value, options, manager)
        (excused if is_excused else errors).extend(_errors(section, name, value, options, manager))
    errors += variable_errors(config, options)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        listing = "\n".join(f"  {line}" for error in errors for line in str(error).splitlines())
        raise ConfigError(f"{len(errors)} errors in the configuration:\n{listing}")
    return excused


def variable_errors(config: Config, options: Iterable[Option[Any]]) -> Iterator[ConfigError]:
    """Environment variables that name an option but for the second underscore, and so set nothing."""
    keys = {(option.section, option.name) for option in options}
    names = {_variable(section, name): _variable(section, name, "__") for section, name in sorted(keys)}
    for variable in config.idle_variables:
        if variable in names:
            source = f"environment variable {variable}"
            yield ConfigError("it sets nothing", source=source, hint=f"Did you mean {names[variable]}?")


def _variable(section: str, name: str, dot: str = "_") -> str:
    return f"{ENVIRONMENT_PREFIX}{section.replace('.', dot)}{dot}{name}".upper()


def default_errors(config: Config, manager: ComponentManager) -> Iterator[ConfigError]:
    """What is wrong with the defaults that hold: they choose components that are unknown or disabled.

    Only who needs such a component fails, so this is for whoever looks for mistakes, not for a node that starts.

    Args:
        config: Where it has a value, the default does not matter.
        manager: Who knows the components; the options of those that take part count.
    """
    told: set[str] = set()  # of an option that several components declare, once
    for option in declared_options(cls for cls in manager.registered() if _takes_part(manager, cls)):
        if config.get(option.section, option.name) is not None:
            continue
        try:
            option.check_default(manager)
        except ConfigError as error:
            if error.message not in told:
                yield error
            told.add(error.message)


def _takes_part(manager: ComponentManager, cls: type[Component]) -> bool:
    try:
        return manager.is_enabled(cls)
    except ConfigError:
        return False  # what is wrong in [components] is told with its line


def _may_be_of_a_missing_plugin(
    section: str, name: str, value: ConfigValue, options: list[Option[Any]], manager: ComponentManager | None
) -> bool:
    if section != COMPONENTS:
        return bool(section) and all(option.section != section for option in options)
    if manager is None:
        return False
    modules = {cls.__module__ for cls in manager.registered()}
    parts = [unknown.partition(":") for unknown in unknown_components(name, value, manager)]
    return bool(parts) and all(separator and module not in modules for module, separator, _ in parts)


def _errors(
    section: str, name: str, value: ConfigValue, options: list[Option[Any]], manager: ComponentManager | None
) -> Iterator[ConfigError]:
    matching = [option for option in options if (option.section, option.name) == (section, name)]
    if section == COMPONENTS:
        yield from check_components(name, value, manager)
    elif not matching and (section, name) not in _KNOWN:
        yield _unknown(section, name, value, options)
    for option in matching:
        try:
            option.check(value, manager)
        except ConfigError as error:
            yield error
            return


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
    near = nearest(name, known, likeness=0.5)
    return f"Did you mean {form.format(near)}?" if near else ""


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
    yield "# Which components come first wherever several serve, in this order; patterns are allowed too."
    yield '# order = ["my_plugin:Fast", "my_plugin:*"]'
