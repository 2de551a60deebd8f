"""Editing config files: one value changes, every other byte stays."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurrence.env.config import Config
from concurrence.env.config_edit import set_value, unset_value
from concurrence.env.environment import CONFIG_FILE, Environment
from concurrence.errors import UsageError

SAMPLE = """\
# All of it.
[masternode]
# Where it listens.
# port = 8080
# Who may come.
# host = "127.0.0.1"
lease = "5 s"  # short

[slavenode.deep]
# port = 1
text = '''
[masternode]
# port = 2
'''

[components]
# "my_plugin:*" = false
"""


@pytest.mark.parametrize(
    ("section", "name", "value", "below"),
    [
        ("masternode", "port", "9000", "# port = 8080"),
        ("masternode", "host", '"::1"', '# host = "127.0.0.1"'),
        ("slavenode.deep", "port", "2", "# port = 1"),
        ("components", "my_plugin:*", "false", '# "my_plugin:*" = false'),
        ("masternode", "other", "true", 'lease = "5 s"  # short'),
        ("components", "a.b:C", "false", "[components]"),
    ],
)
def test_a_new_line_goes_below_its_commented_default(section: str, name: str, value: str, below: str) -> None:
    lines = set_value(SAMPLE, section, name, value).splitlines()
    new = lines.pop(lines.index(below) + 1)
    assert new.partition(" = ")[2] == value
    assert lines == SAMPLE.splitlines()


@pytest.mark.parametrize("text", [SAMPLE, SAMPLE.replace("\n", "\r\n"), SAMPLE.rstrip("\n"), "[masternode]"])
def test_set_then_unset_gives_back_every_byte(text: str) -> None:
    for name in ("port", "other", "quo.ted"):
        changed = set_value(text, "masternode", name, "[1, 2]")
        assert tomllib.loads(changed)["masternode"][name] == [1, 2]
        assert unset_value(changed, "masternode", name) == text


@pytest.mark.parametrize(
    ("text", "section", "name", "expected"),
    [
        ("[a]\nx = 1 # why\ny = 2\n", "a", "x", "[a]\nx = 5 # why\ny = 2\n"),
        ("[a]\nx = [\n  1, # one\n] # why\ny = 2\n", "a", "x", "[a]\nx = 5 # why\ny = 2\n"),
        ("[a]\r\nx = 1\r\ny = 2\r\n", "a", "x", "[a]\r\nx = 5\r\ny = 2\r\n"),
        ("[a.b]\nx = 1\n", "a.b", "x", "[a.b]\nx = 5\n"),
        ('["a.b"]\nx = 1\n', "a.b", "x", '["a.b"]\nx = 5\n'),
        ("[a]\nb.x = 1\n", "a.b", "x", "[a]\nb.x = 5\n"),
        ("[a]\n  b.x = 1\n", "a.b", "y", "[a]\n  b.x = 1\n  b.y = 5\n"),
        ("a.b.x = 1\n[c]\n", "a", "y", "a.b.x = 1\na.y = 5\n[c]\n"),
        ("a.b.x = 1\n", "a.c", "y", "a.b.x = 1\n\n[a.c]\ny = 5\n"),
        ("[a]\nb = {x = 1}\n", "a.b", "x", "[a]\nb = {x = 5}\n"),
        ("[a]\nb = { x = 1 } # why\n", "a.b", "y", "[a]\nb = { x = 1, y = 5 } # why\n"),
        ("a = {b = {}}\n", "a.b", "y", "a = {b = {y = 5}}\n"),
        ("a = {b.x = 1}\n", "a.b", "y", "a = {b.x = 1, b.y = 5}\n"),
        ("a = {}\n", "a.b", "y", "a = {b = {y = 5}}\n"),
        ("[a.b]\nx = 1\n", "a", "y", "[a.b]\nx = 1\n\n[a]\ny = 5\n"),
        ("", "a.b", "y", "[a.b]\ny = 5\n"),
        ("[z]", "a", "y", "[z]\n\n[a]\ny = 5\n"),
        ("[a]\n[b]\n# y = 1\n", "a", "y", "[a]\ny = 5\n[b]\n# y = 1\n"),
        ("[a] # why\n\n# of b\n[b]\n", "a", "y", "[a] # why\ny = 5\n\n# of b\n[b]\n"),
        ('[a]\nt = """\n# y = 1\n"""\n', "a", "y", '[a]\nt = """\n# y = 1\n"""\ny = 5\n'),
    ],
)
def test_every_way_of_writing(text: str, section: str, name: str, expected: str) -> None:
    assert set_value(text, section, name, "5") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a]\nx = 1\ny = 2\n", "[a]\ny = 2\n"),
        ("[a]\nx = [\n1,\n]\ny = 2\n", "[a]\ny = 2\n"),
        ("[a]\nx = 1", "[a]"),
        ("[a]\n  x = 1  # why\n", "[a]\n  # why\n"),
        ("[a]\r\nx = 1 # why\r\n", "[a]\r\n# why\r\n"),
        ("a.x = 1\nb = 2\n", "b = 2\n"),
        ("a = { x = 1, y = 2 }\n", "a = { y = 2 }\n"),
        ("a = {y = 2, x = 1}\n", "a = {y = 2}\n"),
        ("a = {x = 1}\n", "a = {}\n"),
        ("[a]\ny = 1\n", "[a]\ny = 1\n"),
    ],
)
def test_unset(text: str, expected: str) -> None:
    assert unset_value(text, "a", "x") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\n", "line 1: a is a value and cannot hold others"),
        ("\n[[a]]\nx = 1\n", r"line 2: \[\[a\]\] is an array of tables"),
        ("b = 1\na = {b = 1}\n", "line 2: b in a is a value, not a table"),
    ],
)
def test_what_has_no_place_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        set_value(text, "a.b" if "{" in text else "a", "y", "5")


def test_what_is_written_twice_is_not_guessed() -> None:
    text = '[a.b]\nx = 1\n["a.b"]\nx = 2\n'
    with pytest.raises(UsageError, match=r"\[a\.b\] x cannot be edited in the way this file is written"):
        set_value(text, "a.b", "x", "5")
    with pytest.raises(UsageError, match="nothing was changed\n  Edit the file by hand"):
        unset_value(text, "a.b", "x")


NAMES = st.sampled_from(["a", "b", "c", "port", "x y", 'q"u', "d.e"])
VALUES = st.sampled_from(
    ["1", "true", '"t # x"', "[1, # no\n 2]", "{p = 1}", "'''\n[z]\n# a = 3\n'''", "0x1f", "1_0.5"]
)
NOISE = st.sampled_from(["", "# words", "  # a = 9", "#b=", "# [c]"])


@st.composite
def files(draw: st.DrawFn) -> str:
    """A file with sections, comments in all places, and one kind of line end."""
    lines = draw(st.lists(NOISE, max_size=2))
    for section in draw(st.lists(st.sampled_from(["s", "s.t", "u"]), unique=True, max_size=3)):
        lines.append(f"[{section}]{draw(st.sampled_from(['', '  # note']))}")
        for name in draw(st.lists(NAMES, unique=True, max_size=3)):
            key = name if name.isalnum() else f"'{name}'"
            behind = draw(st.sampled_from(["", " # behind", "   "]))
            lines += [*draw(st.lists(NOISE, max_size=2)), f"{key} = {draw(VALUES)}{behind}"]
        lines += draw(st.lists(NOISE, max_size=2))
    text = "\n".join(lines) + draw(st.sampled_from(["\n", "", "\n\n"]))
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


def flat(text: str) -> dict[tuple[str, str], object]:
    found: dict[tuple[str, str], object] = {}
    for section, table in tomllib.loads(text).items():
        for name, value in table.items():
            if (section, name) == ("s", "t") and isinstance(value, dict):
                found |= {("s.t", inner): raw for inner, raw in cast("dict[str, object]", value).items()}
            else:
                found[section, name] = value
    return found


def comments(text: str) -> list[str]:
    outside = re.sub(r"'''.*?'''", "", text, flags=re.DOTALL)  # of texts that only look like some
    return [line.strip() for line in outside.splitlines() if line.strip().startswith("#")]


@given(files(), st.sampled_from(["s", "s.t", "u"]), NAMES, st.sampled_from(["7", '"n"', "[true]"]))
def test_only_that_one_value_changes(text: str, section: str, name: str, value: str) -> None:
    before = flat(text)
    if isinstance(before.get((section, name)), dict):
        return  # what is a table cannot be a value too
    changed = set_value(text, section, name, value)
    assert flat(changed) == before | {(section, name): tomllib.loads(f"v = {value}")["v"]}
    assert set(comments(text)) <= set(comments(changed))
    assert set_value(changed, section, name, value) == changed
    removed = unset_value(changed, section, name)
    assert flat(removed) == {key: raw for key, raw in before.items() if key != (section, name)}
    assert set(comments(text)) <= set(comments(removed))
    if (section, name) not in before and f"[{section}]" in text:
        assert removed == text


def test_every_option_of_the_sample_can_be_set_below_its_comment(tmp_path: Path) -> None:
    with Environment.create(tmp_path / "e") as environment:
        text = (environment.path / CONFIG_FILE).read_text("utf-8")
    lines = text.splitlines()
    section, seen = "", 0
    for number, line in enumerate(lines):
        if line.startswith("["):
            section = line.strip("[]")
        name, separator, default = line.removeprefix("# ").partition(" = ")
        if not (line.startswith("# ") and separator and default and name.isidentifier()):
            continue
        seen += 1
        changed = set_value(text, section, name, default).splitlines()
        assert changed == [*lines[: number + 1], f"{name} = {default}", *lines[number + 1 :]]
    assert seen > 20
    assert Config.from_layers(files=[]).sections() == []
