"""Values that config files spell in words: addresses, durations and sizes; read and written alike."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Self, cast

_SECONDS = {
    "": Fraction(1),
    "us": Fraction(1, 1_000_000),
    "ms": Fraction(1, 1_000),
    "s": Fraction(1),
    "min": Fraction(60),
    "h": Fraction(3_600),
    "d": Fraction(86_400),
}
_BYTES = {
    "": 1,
    "b": 1,
    "kb": 1_000,
    "mb": 1_000_000,
    "gb": 1_000_000_000,
    "tb": 1_000_000_000_000,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
_QUANTITY = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3})?)\s*([A-Za-z]*)", re.ASCII)
_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where something listens: a host name or IP address, and a port; port 0 means any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address that a text means.

        Args:
            text: ``host:port``, with IPv6 addresses in brackets: ``[::1]:8080``.

        Raises:
            ValueError: The text has another form, or the port is out of range.
        """
        host, separator, port = text.strip().rpartition(":")
        if not separator or not host:
            raise ValueError("a host and a port are needed")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError("an IPv6 address must stand in brackets")
        if not host or any(character in "[]/" or character.isspace() for character in host):
            raise ValueError(f"{host!r} is not a host")
        if not (port.isascii() and port.isdecimal() and int(port) <= _MAX_PORT):
            raise ValueError(f"the port must be a number from 0 to {_MAX_PORT}")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_duration(raw: object) -> float:
    """The seconds of a duration: ``2.5 s``, ``500 ms``, ``10 min``, ``1 h``, ``1 d``, or a number of seconds.

    Raises:
        ValueError: It is negative, not finite, or has an unknown unit.
    """
    seconds = _quantity(raw, _SECONDS)
    try:
        return float(seconds)
    except OverflowError:
        raise ValueError("it is too long") from None


def format_duration(seconds: float) -> str:
    """A text from which :func:`parse_duration` reads the same duration."""
    seconds = float(seconds)
    for unit in ("d", "h", "min"):
        size = int(_SECONDS[unit])
        if seconds >= size and seconds % size == 0 and seconds < size * 1_000:
            return f"{int(seconds // size)} {unit}"
    if 0 < seconds < 1 and round(seconds * 1_000) / 1_000 == seconds:
        return f"{round(seconds * 1_000)} ms"
    return f"{repr(seconds).removesuffix('.0')} s"


def parse_byte_size(raw: object) -> int:
    """The bytes of a size: ``64 MB`` (millions), ``64 MiB`` (binary), or a number of bytes.

    Raises:
        ValueError: It is negative, not a whole number of bytes, or has an unknown unit.
    """
    size = _quantity(raw, {unit: Fraction(factor) for unit, factor in _BYTES.items()})
    if size.denominator != 1:
        raise ValueError("it is not a whole number of bytes")
    return int(size)


def format_byte_size(size: int) -> str:
    """A text from which :func:`parse_byte_size` reads the same size."""
    for unit in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "kB"):
        factor = _BYTES[unit.lower()]
        if size and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} B"


def _quantity(raw: object, units: dict[str, Fraction]) -> Fraction:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise TypeError("it is neither a number nor a string")
    if isinstance(raw, str):
        match = _QUANTITY.fullmatch(raw.strip())
        if match is None:
            raise ValueError("it is not a number with a unit")
        number, unit = match.groups()
        if unit.lower() not in units:
            known = ", ".join(unit for unit in units if unit)
            raise ValueError(f"the unit {unit!r} is none of {known}")
        return Fraction(number) * units[unit.lower()]
    if not math.isfinite(raw) or raw < 0:
        raise ValueError("it is negative or not finite")
    return Fraction(raw)


def describe(raw: object) -> str:
    """What a value of a config file is, for people: ``the string "x"``, ``the integer 5``."""
    if isinstance(raw, bool):
        return f"the boolean {str(raw).lower()}"
    if isinstance(raw, str):
        return f'the string "{raw}"'
    if raw is None:
        return "None"
    if isinstance(raw, type):
        return f"the class {raw.__name__}"
    names = {int: "integer", float: "number", list: "list"}
    found = cast("type", type(raw))
    return f"the {names.get(found, found.__name__)} {raw}"
