"""Values in words: durations, sizes and addresses survive writing, and bad ones are refused with a reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurrence.env.values import (
    Address,
    format_byte_size,
    format_duration,
    parse_byte_size,
    parse_duration,
)


@given(st.floats(0, allow_nan=False, allow_infinity=False))
def test_durations_survive_writing(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 1 << 80))
def test_byte_sizes_survive_writing(size: int) -> None:
    assert parse_byte_size(format_byte_size(size)) == size


@given(st.from_regex(r"[a-z0-9.:-]{1,12}", fullmatch=True), st.integers(0, 65_535))
def test_addresses_survive_writing(host: str, port: int) -> None:
    assert Address.parse(str(Address(host, port))) == Address(host, port)


@given(st.text(max_size=20), st.sampled_from([parse_duration, parse_byte_size, Address.parse]))
def test_any_text_is_parsed_or_refused_with_a_reason(text: str, parse: Callable[[str], object]) -> None:
    refusal = ""
    try:
        parsed = parse(text)
    except ValueError as error:
        parsed, refusal = None, str(error)
    assert (parsed is None) == bool(refusal)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2.5 s", 2.5),
        ("500 ms", 0.5),
        ("10 min", 600),
        ("1 h", 3600),
        ("1d", 86400),
        ("250us", 0.00025),
        (" 3 ", 3),
    ],
)
def test_units_of_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("64 MB", 64_000_000), ("64 MiB", 64 << 20), ("1.5 kB", 1_500), ("2gib", 2 << 30), ("7 B", 7)],
)
def test_units_of_size(text: str, size: int) -> None:
    assert parse_byte_size(text) == size


@pytest.mark.parametrize(
    "value", [(90.0, "90 s"), (0.5, "500 ms"), (600.0, "10 min"), (86400.0, "1 d"), (0, "0 s")]
)
def test_durations_are_written_for_people(value: tuple[float, str]) -> None:
    assert format_duration(value[0]) == value[1]
