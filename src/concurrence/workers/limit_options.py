"""The type of the option that limits the memory of workers."""

from __future__ import annotations

from concurrence.env.config import ConfigValue
from concurrence.env.option_base import Option, quoted
from concurrence.env.values import format_byte_size, parse_byte_size


class MemoryLimitOption(Option[int | None]):
    """An amount of memory in bytes, or ``auto``, which reads as None."""

    expected = "a size in bytes or auto"
    example = '"2 GB", "512 MiB", a number of bytes, or "auto"'
    expected_default = "a number of bytes or None"

    def convert(self, value: ConfigValue) -> int | None:
        """The bytes; None for ``auto``."""
        if isinstance(value.raw, str) and value.raw.strip().lower() == "auto":
            return None
        return parse_byte_size(value.raw)

    def accepts_default(self, default: object) -> bool:
        """Bytes, or None."""
        return default is None or (isinstance(default, int) and self._converts(default))

    def to_toml(self, value: int | None) -> str:
        """The size with a unit, or ``auto``."""
        return quoted("auto" if value is None else format_byte_size(value))
