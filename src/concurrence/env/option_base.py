"""What all options share: reading the config through the manager, caching, and errors that name the place.

An option reads ``self.manager.config``; on a manager without a config it has its default. The value is then kept
in the component itself, under the attribute's name, where Python finds it without asking the option; the config
takes it out when it changes. So a read costs as much as that of any attribute. Assigning to the attribute, as
tests do, overrides the option for that component.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from typing import ClassVar, Generic, Protocol, Self, TypeVar, cast, overload

from concurrence.component import ComponentManager
from concurrence.env.config import Config, ConfigValue
from concurrence.env.values import describe
from concurrence.errors import ConfigError, UsageError

T = TypeVar("T")


class HasConfig(Protocol):
    """A manager that options can read."""

    @property
    def config(self) -> Config:
        """The configuration."""
        ...


class Option(Generic[T]):
    """A named value of the config, as an attribute of a component or of the environment.

    Args:
        section: The section of the config.
        name: The key in that section.
        default: The value when no layer of the config has one.
        doc: What the option does, in sentences for its users.
        live: Whether a running node adopts a change of the option without a restart.
        aliases: Further names for it as a word of ``concurrence run APP``, if it is an application's.

    Raises:
        UsageError: The default is no value of the option.
    """

    expected: ClassVar[str] = "a value"
    example: ClassVar[str] = ""
    expected_default: ClassVar[str] = ""
    """What a default must be, where it is written otherwise than in a config file."""

    def __init__(
        self,
        section: str,
        name: str,
        default: T,
        doc: str,
        *,
        live: bool = False,
        aliases: tuple[str, ...] = (),
    ) -> None:
        self.section = section
        self.name = name
        self.default = default
        self.doc = doc
        self.live = live
        self.aliases = aliases
        self.attribute = ""
        self.owner: type | None = None
        # Not in __set_name__: before Python 3.12 its errors arrive as RuntimeError.
        if not self.accepts_default(default):
            raise self._wrong_default()

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner = owner
        self.attribute = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | T:
        return self if instance is None else self._read(instance)

    def __repr__(self) -> str:
        return f"{type(self).__name__}([{self.section}] {self.name})"

    def parse(self, value: ConfigValue) -> T:
        """The value of the option that a value of the config means.

        Raises:
            ConfigError: It has the wrong type; the text names the place, the key, and what is expected.
        """
        try:
            return cast("T", self.convert(value))
        except OverflowError:  # the text is Python's own
            raise self.error(value) from None
        except (TypeError, ValueError) as error:
            raise self.error(value, str(error)) from None

    def error(self, value: ConfigValue, reason: str = "") -> ConfigError:
        """The error for a value that the option cannot accept."""
        found = quoted(str(value.raw)) if value.is_text else describe(value.raw)
        found += f" ({reason})" if reason else ""
        return ConfigError(
            f"{key_prefix(self.section, self.name, value)}expected {self.expectation()}, found {found}",
            source=value.source,
            line=value.line,
            hint=f"For example: {self._assignment(value)}" if self.example else "",
        )

    def _assignment(self, value: ConfigValue) -> str:
        if not value.is_text:
            return f"{self.name} = {self.example}"
        # Outside of TOML there are no quotes but the shell's, and lists are words between commas.
        words = cast("list[str]", re.findall(r'"([^"]*)"', self.example))
        text = ",".join(words if self.example.startswith("[") else words[:1]) or self.example
        return f"{value.source.removeprefix('environment variable ')}={shlex.quote(text)}"

    def convert(self, value: ConfigValue) -> object:
        """Convert a value of the config; subclasses override this.

        Raises:
            ValueError: The value has the wrong type or is out of range; the text is the reason, if any.
        """
        return value.raw

    def accepts_default(self, default: object) -> bool:
        """Whether a default is a value of the option; an option that does not say takes any.

        Args:
            default: What was given; it is called while the option is made, so what it needs must be there before.
        """
        del default
        return True

    def _converts(self, default: object) -> bool:
        try:
            self.convert(ConfigValue(default, "default"))
        except (TypeError, ValueError, OverflowError):
            return False
        return True

    def _wrong_default(self) -> UsageError:
        return UsageError(
            f"[{self.section}] {self.name}: the default of {type(self).__name__} must be "
            f"{self.expected_default or self.expectation()}, found {describe(self.default)}"
        )

    def expectation(self) -> str:
        """What a value must be, in words that follow "expected"."""
        return self.expected

    def to_toml(self, value: T) -> str:
        """The value as one writes it in a config file; empty if it cannot be written: None."""
        return "" if value is None else quoted(str(value))

    def default_toml(self) -> str:
        """The default as one writes it in a config file; empty if there is none."""
        return self.to_toml(self.default)

    def check(self, value: ConfigValue, manager: ComponentManager | None) -> None:
        """Find out whether a value is right without activating any component.

        Args:
            value: The value in the config.
            manager: Who knows the components; without one, their names are not checked.

        Raises:
            ConfigError: It is not.
        """
        del manager
        self.parse(value)

    def check_default(self, manager: ComponentManager) -> None:
        """Find out whether the default is right for a manager; most options said so when they were declared.

        Raises:
            ConfigError: It is not: it means a component that is unknown or disabled here.
        """
        del manager

    def resolve(self, manager: object, value: ConfigValue | None) -> T:
        """The option's value for the components of a manager, where the config has this value or none."""
        del manager
        return self.default if value is None else self.parse(value)

    def _read(self, instance: object) -> T:
        manager = getattr(instance, "manager", instance)
        config = getattr(manager, "config", None)
        if not isinstance(config, Config):
            return self.resolve(manager, None)
        while True:
            revision = config.revision
            value = self.resolve(manager, config.get(self.section, self.name))
            if not self._is_attribute_of(type(instance)) or config.reads.keep(
                instance, self.attribute, value, lambda revision=revision: config.revision == revision
            ):
                return value

    def _is_attribute_of(self, cls: type) -> bool:
        """Whether reading the attribute asks this option, and not one that a subclass put in its place."""
        return (
            next((vars(base)[self.attribute] for base in cls.__mro__ if self.attribute in vars(base)), None)
            is self
        )


def key_prefix(section: str, name: str, value: ConfigValue | None) -> str:
    """What an error's text begins with: the key, unless the value's source tells it already."""
    return "" if value is not None and value.is_text else f"[{section}] {name}: "


def quoted(text: str) -> str:
    """A text as a string of TOML."""
    # TOML's basic strings are JSON's, except that DEL must be escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def string(raw: object) -> str:
    """The value itself if it is a string.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(raw, str):
        raise TypeError
    return raw


def strings(value: ConfigValue) -> tuple[str, ...]:
    """An array of strings; as text, words between commas, or an array as in a file.

    Raises:
        TypeError: The value is neither.
    """
    raw = _array(str(value.raw)) if value.is_text else value.raw
    if raw is None:
        return tuple(part.strip() for part in str(value.raw).split(",") if part.strip())
    if not isinstance(raw, list):
        raise TypeError
    return tuple(string(item) for item in cast("list[object]", raw))


def _array(text: str) -> object:
    """The array that a text writes as files do; None if it is none, though it may be a pattern in brackets."""
    if not text.strip().startswith("["):
        return None
    try:
        return tomllib.loads(f"array = {text.strip()}")["array"]
    except tomllib.TOMLDecodeError:
        return None
