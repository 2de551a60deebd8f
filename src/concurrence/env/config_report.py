"""What there is to configure: every option of the loaded components, as data and as a page for people."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from concurrence.component import Component, Interface, identity
from concurrence.env.checks import declared_options
from concurrence.env.component_order import ORDER, component_switch
from concurrence.env.config import COMPONENTS
from concurrence.env.environment import Environment
from concurrence.env.extension_options import ExtensionOption, OrderedExtensionsOption
from concurrence.env.option_base import Option
from concurrence.env.options import (
    AddressOption,
    BoolOption,
    ByteSizeOption,
    ChoiceOption,
    DurationOption,
    FloatOption,
    IntOption,
    ListOption,
    PathOption,
    StrOption,
)
from concurrence.errors import ConfigError, UsageError, nearest

TYPES: dict[type[Option[Any]], str] = {
    BoolOption: "bool",
    IntOption: "int",
    FloatOption: "float",
    StrOption: "string",
    ListOption: "list",
    PathOption: "path",
    AddressOption: "host:port",
    DurationOption: "duration",
    ByteSizeOption: "byte size",
    ChoiceOption: "choice",
    ExtensionOption: "component",
    OrderedExtensionsOption: "components",
}
COMPONENTS_DOC = {
    '"module:Class" = false': "Leaves a component out; true puts it in. A pattern such as "
    '"module:*" means several; the full name goes before patterns, a longer pattern before a shorter one.',
    f'{ORDER} = ["module:Class", "other:*"]': "Which components come first wherever several serve, in this order.",
}
"""What the section ``[components]`` says; its keys are no options."""
UNITS = {
    "duration": "us, ms, s, min, h, d; a bare number is in seconds",
    "byte size": "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB; a bare number is in bytes",
}


@dataclass(frozen=True, slots=True)
class KnownOption:
    """An option that a loaded component, or several, declare.

    Attributes:
        section: The section of the config.
        name: The key in that section.
        type: A word for its type, one of ``TYPES`` for those of Concurrent.
        expected: What a value must be, in words.
        default: The default as TOML; empty if there is none.
        live: Whether a running node adopts a change.
        doc: What it does.
        declared_by: The full names of the classes that declare it.
        choices: The words that it can have, if they are limited.
        option: The option itself.
    """

    section: str
    name: str
    type: str
    expected: str
    default: str
    live: bool
    doc: str
    declared_by: tuple[str, ...]
    choices: tuple[str, ...]
    option: Option[Any]

    @property
    def key(self) -> str:
        """The key as it is written on the command line."""
        return f"{self.section}.{self.name}"

    def as_json(self) -> dict[str, object]:
        """What a tool may want to know."""
        return {
            "type": self.type,
            "expected": self.expected,
            "units": UNITS.get(self.type, ""),
            "choices": list(self.choices),
            "default": json_value(self.default),
            "live": self.live,
            "doc": self.doc,
            "declared_by": list(self.declared_by),
        }


def known_options(environment: Environment) -> list[KnownOption]:
    """The options of all loaded components and of the environment, sorted; each key once."""
    found: dict[tuple[str, str], list[Option[Any]]] = {}
    for option in declared_options([type(environment), *environment.registered()]):
        found.setdefault((option.section, option.name), []).append(option)
    return [_known(environment, options) for _, options in sorted(found.items(), key=lambda item: item[0])]


def unknown_option(options: Iterable[KnownOption], section: str, name: str) -> UsageError:
    """The error for a key that is none; the text tells the nearest one."""
    key = f"{section}.{name}"
    if section == COMPONENTS:
        return UsageError(f"{key} is not set", hint=f"See what is: concurrence config show {COMPONENTS}")
    return UsageError(f"there is no option {key}", hint=_nearest(key, [option.key for option in options], name))


def select(keys: Iterable[tuple[str, str]], wanted: Iterable[str]) -> set[tuple[str, str]]:
    """The keys that words name: a section with those below it, or one key; all, if there is no word.

    Raises:
        UsageError: A word names nothing; the text tells the nearest section or key.
    """
    known = {f"{section}.{name}": (section, name) for section, name in keys}
    words = [word.replace('"', "").replace("'", "") for word in wanted]
    chosen: set[tuple[str, str]] = set() if words else set(known.values())
    for word in words:
        found = {key for full, key in known.items() if full == word or f"{key[0]}.".startswith(f"{word}.")}
        if not found and word != COMPONENTS:
            sections = {section for section, _ in known.values()}
            raise UsageError(
                f"there is no section or option {word}", hint=_nearest(word, [*known, *sections], word)
            )
        chosen |= found
    return chosen


def json_value(toml: str) -> object:
    """The value that TOML means, as JSON has it; None for none."""
    try:
        return tomllib.loads(f"v = {toml}")["v"] if toml else None
    except tomllib.TOMLDecodeError:
        return toml  # of a plug-in's own type of option


def options_markdown(options: Iterable[KnownOption], *, components: bool = True) -> str:
    """The reference of options as a page of Markdown.

    Args:
        options: Which ones; see :func:`known_options`.
        components: Whether to explain the section ``[components]``, whose keys are no options, at the end.
    """
    lines = ["# Options", ""]
    section = ""
    for option in options:
        if option.section != section:
            section = option.section
            lines += [f"## [{section}]", ""]
        lines += [f"### {option.name}", "", *option.doc.splitlines(), ""]
        expected = "" if option.expected == f"a {option.type}" else f": {_code_quotes(option.expected)}"
        lines += [f"- Type: {option.type}{expected}"]
        if option.type in UNITS:
            lines += [f"- Units: {UNITS[option.type]}"]
        if option.choices:
            lines += [f"- Known choices: {', '.join(f'`{choice}`' for choice in option.choices)}"]
        lines += [f"- Default: {f'`{option.default}`' if option.default else 'none'}"]
        lines += [f"- Live: {'yes' if option.live else 'no, it needs a restart'}"]
        lines += [f"- Declared by: {', '.join(f'`{name}`' for name in option.declared_by)}", ""]
    if components:
        lines += [f"## [{COMPONENTS}]", "", *(f"- `{key}`: {doc}" for key, doc in COMPONENTS_DOC.items())]
    return "\n".join(lines).rstrip() + "\n"


def _known(environment: Environment, options: list[Option[Any]]) -> KnownOption:
    option = options[0]
    return KnownOption(
        section=option.section,
        name=option.name,
        type=_type_of(option),
        expected=option.expectation(),
        default=option.default_toml(),
        live=any(one.live for one in options),
        doc=option.doc,
        declared_by=tuple(dict.fromkeys(identity(one.owner) for one in options if one.owner)),
        choices=_choices(environment, option),
        option=option,
    )


def _type_of(option: Option[Any]) -> str:
    for cls in type(option).__mro__:
        if cls in TYPES:
            return TYPES[cls]
    return type(option).__name__.removesuffix("Option").lower()


def _choices(environment: Environment, option: Option[Any]) -> tuple[str, ...]:
    if isinstance(option, ChoiceOption):
        return option.choices
    if not isinstance(option, ExtensionOption | OrderedExtensionsOption):
        return ()
    interface = cast("type[Interface]", cast("Any", option).interface)
    known = [cls for cls in environment.registered() if issubclass(cls, interface)]
    classes = [cls for cls in known if _is_enabled(environment, cls)]
    names = [cls.__name__ for cls in classes]
    return tuple(sorted(cls.__name__ if names.count(cls.__name__) == 1 else identity(cls) for cls in classes))


def _is_enabled(environment: Environment, cls: type[Component]) -> bool:
    try:
        return component_switch(environment.config, cls) is not False
    except ConfigError:
        return True  # what is wrong in [components] is told among the errors


def _nearest(key: str, known: Iterable[str], name: str) -> str:
    names = sorted(known)
    near = next((one for one in names if one.rpartition(".")[2] == name and name != key), "")
    near = near or nearest(key, names, likeness=0.5)
    return f"Did you mean {near}?" if near else "List them all with: concurrence config doc"


def _code_quotes(text: str) -> str:
    return text.replace('"', "`")
