"""The types of options: descriptors that a component declares and reads as plain attributes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeVar, cast

from concurrence.env.config import ConfigValue
from concurrence.env.option_base import Option, quoted, string, strings
from concurrence.env.values import (
    Address,
    format_byte_size,
    format_duration,
    parse_byte_size,
    parse_duration,
)
from concurrence.errors import nearest

IntT = TypeVar("IntT", int, int | None)
FloatT = TypeVar("FloatT", float, float | None)
PathT = TypeVar("PathT", Path, Path | None)
AddressT = TypeVar("AddressT", Address, Address | None)

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class BoolOption(Option[bool]):
    """Yes or no."""

    expected = "true or false"
    example = "true"

    def convert(self, value: ConfigValue) -> bool:
        """TOML's booleans; as text also yes, no, on, off, 1 and 0."""
        if isinstance(value.raw, bool):
            return value.raw
        text = str(value.raw).strip().lower()
        if not value.is_text or text not in _TRUE + _FALSE:
            raise ValueError
        return text in _TRUE

    def accepts_default(self, default: object) -> bool:
        """A boolean."""
        return isinstance(default, bool)

    def to_toml(self, value: bool) -> str:
        """``true`` or ``false``."""
        return str(value).lower()


class IntOption(Option[IntT]):
    """A whole number.

    Args:
        section: The section of the config.
        name: The key in that section.
        default: The value when no layer of the config has one.
        doc: What the option does.
        live: Whether a running node adopts a change.
        min: The least value that is accepted.
        max: The greatest value that is accepted.
        aliases: Further names for it as a word of ``concurrence run APP``, if it is an application's.
    """

    expected = "an integer"
    example = "8"

    def __init__(
        self,
        section: str,
        name: str,
        default: IntT,
        doc: str,
        *,
        live: bool = False,
        min: int | None = None,  # noqa: A002  the word that users of the option expect
        max: int | None = None,  # noqa: A002
        aliases: tuple[str, ...] = (),
    ) -> None:
        self.min = min
        self.max = max
        super().__init__(section, name, default, doc, live=live, aliases=aliases)

    def expectation(self) -> str:
        """What a value must be, with its bounds."""
        if self.min is not None and self.max is not None:
            return f"{self.expected} from {self.min} to {self.max}"
        bounds = [f"at least {self.min}"] if self.min is not None else []
        bounds += [f"at most {self.max}"] if self.max is not None else []
        return " ".join([self.expected, *bounds])

    def convert(self, value: ConfigValue) -> int:
        """TOML's integers within the bounds."""
        raw = _number(value)
        if not isinstance(raw, int):
            raise TypeError
        if (self.min is not None and raw < self.min) or (self.max is not None and raw > self.max):
            raise ValueError
        return raw

    def accepts_default(self, default: object) -> bool:
        """An integer within the bounds, or None."""
        return default is None or self._converts(default)

    def to_toml(self, value: int | None) -> str:
        """The number."""
        return "" if value is None else str(value)


class FloatOption(Option[FloatT]):
    """A finite number."""

    expected = "a number"
    example = "0.5"

    def convert(self, value: ConfigValue) -> float:
        """TOML's finite floats and integers."""
        number = float(_number(value))
        if not math.isfinite(number):
            raise ValueError
        return number

    def accepts_default(self, default: object) -> bool:
        """A finite number, or None."""
        return default is None or self._converts(default)

    def to_toml(self, value: float | None) -> str:
        """The number."""
        return "" if value is None else repr(value)


class StrOption(Option[str]):
    """A text."""

    expected = "a string"
    example = '"text"'

    def convert(self, value: ConfigValue) -> str:
        """TOML's strings."""
        return string(value.raw)

    def accepts_default(self, default: object) -> bool:
        """A text."""
        return isinstance(default, str)


class ChoiceOption(Option[str]):
    """One of a few words; upper and lower case are the same.

    Args:
        section: The section of the config.
        name: The key in that section.
        choices: The words.
        default: The word when no layer of the config has one.
        doc: What the option does.
        live: Whether a running node adopts a change.
        aliases: Further names for it as a word of ``concurrence run APP``, if it is an application's.
    """

    def __init__(
        self,
        section: str,
        name: str,
        choices: tuple[str, ...],
        default: str,
        doc: str,
        *,
        live: bool = False,
        aliases: tuple[str, ...] = (),
    ) -> None:
        self.choices = choices
        super().__init__(section, name, default, doc, live=live, aliases=aliases)

    def expectation(self) -> str:
        """The words."""
        return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)

    def convert(self, value: ConfigValue) -> str:
        """The choice as it was declared."""
        words = {choice.lower(): choice for choice in self.choices}
        word = string(value.raw).strip().lower()
        if word not in words:
            near = nearest(word, words)
            raise ValueError(f'did you mean "{words[near]}"?' if near else "")
        return words[word]

    def accepts_default(self, default: object) -> bool:
        """One of the words as it was declared."""
        return default in self.choices


class ListOption(Option[tuple[str, ...]]):
    """Several texts."""

    expected = "a list of strings"
    example = '["one", "two"]'
    expected_default = "a tuple of strings"

    def convert(self, value: ConfigValue) -> tuple[str, ...]:
        """TOML's arrays of strings; as text, words between commas."""
        return strings(value)

    def accepts_default(self, default: object) -> bool:
        """A tuple of texts."""
        return isinstance(default, tuple) and all(
            isinstance(item, str) for item in cast("tuple[object, ...]", default)
        )

    def to_toml(self, value: tuple[str, ...]) -> str:
        """The array."""
        return f"[{', '.join(quoted(item) for item in value)}]"


class PathOption(Option[PathT]):
    """A file or folder.

    A relative path in a config file starts at that file's folder, in a variable or argument at the current
    folder. A relative default stays relative.
    """

    expected = "a path"
    example = '"data/input.csv"'
    expected_default = "a pathlib.Path or None"

    def convert(self, value: ConfigValue) -> Path:
        """The path, with ``~`` expanded."""
        text = string(value.raw)
        if not text:
            raise ValueError
        return (value.folder or Path.cwd()) / Path(text).expanduser()

    def accepts_default(self, default: object) -> bool:
        """A path, or None."""
        return default is None or isinstance(default, Path)


class AddressOption(Option[AddressT]):
    """Where something listens."""

    expected = "an address host:port"
    example = '"127.0.0.1:8080" or "[::1]:8080"'
    expected_default = 'an Address, such as Address.parse("127.0.0.1:8080"), or None'

    def convert(self, value: ConfigValue) -> Address:
        """The host and the port."""
        return Address.parse(string(value.raw))

    def accepts_default(self, default: object) -> bool:
        """An address, or None."""
        return default is None or isinstance(default, Address)


class DurationOption(Option[FloatT]):
    """A length of time in seconds."""

    expected = "a duration"
    example = '"2.5 s", "500 ms", "10 min", "1 h", or a number of seconds'
    expected_default = "a number of seconds"

    def convert(self, value: ConfigValue) -> float:
        """The seconds."""
        return parse_duration(value.raw)

    def accepts_default(self, default: object) -> bool:
        """Seconds, or None."""
        return default is None or (not isinstance(default, str) and self._converts(default))

    def to_toml(self, value: float | None) -> str:
        """The duration with a unit."""
        return "" if value is None else quoted(format_duration(value))


class ByteSizeOption(Option[IntT]):
    """An amount of memory or disk in bytes."""

    expected = "a size in bytes"
    example = '"64 MB", "64 MiB", or a number of bytes'
    expected_default = "a number of bytes"

    def convert(self, value: ConfigValue) -> int:
        """The bytes."""
        return parse_byte_size(value.raw)

    def accepts_default(self, default: object) -> bool:
        """Bytes, or None."""
        return default is None or (isinstance(default, int) and self._converts(default))

    def to_toml(self, value: int | None) -> str:
        """The size with a unit."""
        return "" if value is None else quoted(format_byte_size(value))


def _number(value: ConfigValue) -> int | float:
    raw = value.raw
    if value.is_text:
        text = str(raw).strip()
        try:
            return int(text) if text.lstrip("+-").replace("_", "").isdecimal() else float(text)
        except ValueError:
            raise ValueError from None  # without Python's own text
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise TypeError
    return raw
