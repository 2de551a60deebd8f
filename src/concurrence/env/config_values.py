"""What is configured, and what is wrong with it: as data, for people and tools."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from concurrence.env.checks import check_config, declared_options, default_errors, variable_errors
from concurrence.env.component_order import ORDER, check_components
from concurrence.env.config import COMPONENTS, Config, ConfigValue
from concurrence.env.config_report import KnownOption, json_value
from concurrence.env.config_sources import OVERRIDES, Sources
from concurrence.env.environment import Environment
from concurrence.env.extension_options import ExtensionOption, OrderedExtensionsOption
from concurrence.env.option_base import Option, quoted, strings
from concurrence.errors import ConfigError

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class EffectiveValue:
    """A key with the value that holds.

    Attributes:
        section: The section of the config.
        name: The key in that section.
        toml: The value as TOML; empty if there is none.
        origin: Where it comes from: ``default``, ``file:line``, ``environment variable NAME`` or ``--set``.
        hidden: The origins of lower layers that have the key too, the nearest first.
        known: The option; None for the keys of ``[components]``.
        is_wrong: Whether the option cannot accept it; the value is then what was written.
    """

    section: str
    name: str
    toml: str
    origin: str
    hidden: tuple[str, ...]
    known: KnownOption | None
    is_wrong: bool = False

    def as_json(self) -> dict[str, object]:
        """The value and all that is known of it."""
        told: dict[str, object] = {"value": json_value(self.toml), "origin": self.origin}
        if self.hidden:
            told["hidden"] = list(self.hidden)
        if self.is_wrong:
            told["wrong"] = True
        known = self.known
        told["default"] = json_value(known.default) if known else None
        kind = known.type if known else "components" if self.name == ORDER else "bool"
        return told | {"live": known.live if known else False, "type": kind}


def effective_values(
    environment: Environment, sources: Sources, options: Iterable[KnownOption]
) -> list[EffectiveValue]:
    """The value of each option, and what ``[components]`` says, sorted by section and name.

    Args:
        environment: Whose configuration it is.
        sources: Its layers.
        options: The known options.
    """
    known = {(option.section, option.name): option for option in options}
    given = {key for layer in sources.layers for key in layer if key[0] == COMPONENTS}
    return [effective_value(environment, sources, key, known.get(key)) for key in sorted(known.keys() | given)]


def effective_value(
    environment: Environment, sources: Sources, key: tuple[str, str], known: KnownOption | None
) -> EffectiveValue:
    """The value of one key.

    Args:
        environment: Whose configuration it is.
        sources: Its layers.
        key: Section and name.
        known: The option; None if the key is none.
    """
    section, name = key
    history = sources.history(section, name)
    value = history[0] if history else None
    origin, *hidden = [_origin(one) for one in history] or [DEFAULT]
    is_wrong = value is not None and bool(value_errors(environment, section, name, value))
    if value is None:
        toml = known.default if known else ""
    elif is_wrong:
        toml = raw_toml(value.raw)
    else:
        toml = option_toml(known.option, value) if known else _switch_toml(name, value)
    return EffectiveValue(section, name, toml, origin, tuple(hidden), known, is_wrong)


def config_errors(environment: Environment, sources: Sources) -> list[ConfigError]:
    """Everything that is wrong with a configuration: layers that cannot be read, values, and then defaults."""
    errors = list(sources.errors)
    merged: dict[tuple[str, str], ConfigValue] = {}
    for layer in sources.layers:
        merged |= layer
    places = sorted(merged.items(), key=lambda item: (item[1].source, item[1].line or 0))
    errors += [error for key, value in places for error in value_errors(environment, *key, value)]
    errors += variable_errors(environment.config, declared_options([type(environment), *environment.registered()]))
    return [*errors, *default_errors(environment.config, environment)]


def value_errors(environment: Environment, section: str, name: str, value: ConfigValue) -> list[ConfigError]:
    """What is wrong with one value."""
    if section == COMPONENTS:
        errors = list(check_components(name, value, environment))
    else:
        one = Config(lambda: [{(section, name): value}])
        errors: list[ConfigError] = []
        try:
            check_config(one, [type(environment), *environment.registered()], environment)
        except ConfigError as error:
            errors.append(error)
    return [_without_repetition(error, section, name, value) for error in errors]


def option_toml(option: Option[Any], value: ConfigValue) -> str:
    """A value of an option as one writes it in a config file, components by their names.

    Raises:
        ConfigError: The option cannot accept it.
    """
    if isinstance(option, ExtensionOption):
        return quoted(option.component_name(value))
    if isinstance(option, OrderedExtensionsOption):
        return f"[{', '.join(quoted(name) for name in option.component_names(value))}]"
    return option.to_toml(option.parse(value))


def raw_toml(raw: object) -> str:
    """A value as TOML that no option has accepted: as it was written, as near as can be."""
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, int | float) and math.isfinite(raw):
        return repr(raw)
    if isinstance(raw, list):
        return f"[{', '.join(raw_toml(item) for item in cast('list[object]', raw))}]"
    return quoted(str(raw))


def text_toml(environment: Environment, known: KnownOption | None, section: str, name: str, text: str) -> str:
    """A text of the command line as TOML of the right type.

    Args:
        environment: Who knows the components.
        known: The option; None for a key of ``[components]``.
        section: The section of the key.
        name: The key.
        text: What was typed.

    Raises:
        ConfigError: The text is no value of the option, or there is no such option.
    """
    value = ConfigValue(text.strip(), f"{section}.{name}", is_text=True)
    for error in value_errors(environment, section, name, value):
        raise error
    if known is None:
        return _switch_toml(name, value)
    toml = option_toml(known.option, value)
    # A plug-in's own type of option may write what it does not read.
    back = ConfigValue(json_value(toml), "")
    is_same = not value_errors(environment, section, name, back) and option_toml(known.option, back) == toml
    return toml if is_same else quoted(text.strip())


def _switch_toml(name: str, value: ConfigValue) -> str:
    """A value of ``[components]``, or of a key that is no option."""
    if name == ORDER:
        return f"[{', '.join(quoted(one) for one in strings(value))}]"
    return str(value.raw).lower() if value.is_text else raw_toml(value.raw)


def _origin(value: ConfigValue) -> str:
    return OVERRIDES if value.source.startswith(f"{OVERRIDES} ") else value.origin


def _without_repetition(error: ConfigError, section: str, name: str, value: ConfigValue) -> ConfigError:
    """The same error without the key, if the value's source names it already."""
    before = f"{value.source}: [{section}] {name}: "
    if not (value.is_text and error.message.startswith(before)):
        return error
    return ConfigError(error.message.removeprefix(before), source=error.source, line=error.line, hint=error.hint)
