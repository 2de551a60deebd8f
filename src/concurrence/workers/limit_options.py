"""The type of the option that limits the memory of workers."""

from __future__ import annotations

from concurrence.env.config import ConfigValue
from concurrence.env.options import ByteSizeOption


class MemoryLimitOption(ByteSizeOption[int | None]):
    """An amount of memory in bytes, or ``auto``, which reads as None."""

    expected = "a size in bytes or auto"
    example = '"2 GB", "512 MiB", a number of bytes, or "auto"'
    expected_default = "a number of bytes or None"

    def convert(self, value: ConfigValue) -> int | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The bytes; None for ``auto``."""
        if isinstance(value.raw, str) and value.raw.strip().lower() == "auto":
            return None
        return super().convert(value)

    def to_toml(self, value: int | None) -> str:
        """The size with a unit, or ``auto``."""
        return '"auto"' if value is None else super().to_toml(value)
