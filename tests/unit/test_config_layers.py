"""The layers of a config: the highest one that has a key decides, for every type, and its place is known."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import VALUES, kinds_environment

from concurrence.env.config import Config, ConfigValue, read_overrides
from concurrence.env.config_edit import set_value, unset_value
from concurrence.env.config_report import KnownOption, known_options, options_markdown, select, unknown_option
from concurrence.env.config_sources import Sources, read_sources, split_key
from concurrence.env.config_values import EffectiveValue, config_errors, effective_values, option_toml, text_toml
from concurrence.env.environment import Environment
from concurrence.errors import ConfigError, UsageError

KEYS = sorted(VALUES)


@pytest.fixture(scope="module")
def environment() -> Generator[Environment]:
    with kinds_environment() as made:
        yield made


@pytest.fixture(scope="module")
def options(environment: Environment) -> dict[tuple[str, str], KnownOption]:
    return {(option.section, option.name): option for option in known_options(environment)}


@dataclass
class Written:
    """One layer: which of its values each key has, and the line in the file."""

    chosen: dict[tuple[str, str], int]
    lines: dict[tuple[str, str], int]
    text: str = ""


@st.composite
def written(draw: st.DrawFn) -> Written:
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=len(KEYS)))
    chosen = {key: draw(st.integers(0, len(VALUES[key]) - 1)) for key in keys}
    lines: list[str] = []
    places: dict[tuple[str, str], int] = {}
    noise = st.lists(st.sampled_from(["", "# count = 9", "   # [kinds]", "\t"]), max_size=3)
    for section in draw(st.permutations(["kinds", "kinds.deep"])):
        lines += [*draw(noise), f"[{section}]  # heading"]
        for key in keys:
            if key[0] == section:
                lines += draw(noise)
                places[key] = len(lines) + 1
                lines += f"{key[1]} = {VALUES[key][chosen[key]][0]}  # note".split("\n")
    return Written(chosen, places, "\n".join(lines) + "\n")


def shown(values: list[EffectiveValue]) -> dict[tuple[str, str], EffectiveValue]:
    return {(value.section, value.name): value for value in values}


@settings(max_examples=60, deadline=None)
@given(layers=st.lists(written(), min_size=5, max_size=5))
def test_the_highest_layer_that_has_a_key_decides(
    environment: Environment, options: dict[tuple[str, str], KnownOption], layers: list[Written]
) -> None:
    *files, variables, overrides = layers
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{number}.toml" for number in range(len(files))]
        for path, file in zip(paths, files, strict=True):
            path.write_text(file.text, encoding="utf-8")
        environ = {
            f"CONCURRENCE_{section.upper().replace('.', '__')}__{name.upper()}": VALUES[section, name][index][1]
            for (section, name), index in variables.chosen.items()
        }
        texts = [f"{s}.{n}={VALUES[s, n][index][1]}" for (s, n), index in overrides.chosen.items()]
        sources = read_sources(paths[0], paths[1:], environ, texts)
        merged = Config.from_layers(files=paths, environ=environ, overrides=texts)
    assert config_errors(environment, sources) == []
    found = shown(effective_values(environment, sources, options.values()))
    for key in KEYS:
        value, expected = found[key], options[key].default
        origins: list[str] = []
        for path, file in zip(paths, files, strict=True):
            origins += [f"{path}:{file.lines[key]}"] if key in file.chosen else []
        if key in variables.chosen:
            origins.append(f"environment variable CONCURRENCE_{'__'.join(key).upper().replace('.', '__')}")
        origins += ["--set"] if key in overrides.chosen else []
        assert [*reversed(value.hidden), value.origin] == (origins or ["default"])
        chosen = [layer.chosen[key] for layer in layers if key in layer.chosen]
        told = value.as_json()["value"]
        if chosen:
            assert told == VALUES[key][chosen[-1]][2]
            assert type(told) is type(VALUES[key][chosen[-1]][2])
        else:
            assert value.toml == expected
        # What nodes read is the same.
        raw = merged.get(*key)
        assert (raw is None) == (not chosen)
        assert raw is None or option_toml(options[key].option, raw) == value.toml


CASES = [(key, index) for key in KEYS for index in range(len(VALUES[key]))]


@pytest.mark.parametrize(("key", "index"), CASES, ids=str)
def test_each_type_through_each_layer(
    environment: Environment,
    options: dict[tuple[str, str], KnownOption],
    tmp_path: Path,
    key: tuple[str, str],
    index: int,
) -> None:
    section, name = key
    toml, text, expected = VALUES[key][index]
    file = tmp_path / "c.toml"
    file.write_text(f"[{section}]\n{name} = {toml}\n", encoding="utf-8")
    variable = f"CONCURRENCE_{section.upper().replace('.', '__')}__{name.upper()}"
    for sources in (
        read_sources(file, environ={}),
        read_sources(None, environ={variable: text}),
        read_sources(None, environ={}, overrides=[f"{section}.{name}={text}"]),
    ):
        assert config_errors(environment, sources) == []
        assert shown(effective_values(environment, sources, options.values()))[key].as_json()["value"] == expected


@settings(max_examples=60, deadline=None)
@given(case=st.sampled_from(CASES), file=written())
def test_what_is_set_is_what_one_gets(
    environment: Environment,
    options: dict[tuple[str, str], KnownOption],
    case: tuple[tuple[str, str], int],
    file: Written,
) -> None:
    key, index = case
    _, text, expected = VALUES[key][index]
    toml = text_toml(environment, options[key], *key, text)
    assert tomllib.loads(f"v = {toml}")["v"] == expected
    changed = set_value(file.text, *key, toml)
    table = tomllib.loads(changed)
    for part in key[0].split("."):
        table = table[part]
    value = ConfigValue(table[key[1]], "x")
    assert option_toml(options[key].option, value) == toml
    if key not in file.chosen:
        assert unset_value(changed, *key) == file.text


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("kinds.count", "5001", 'kinds.count: expected an integer from -5 to 5000, found "5001"'),
        ("kinds.count", "many", 'expected an integer from -5 to 5000, found "many"'),
        ("kinds.flag", "maybe", "expected true or false"),
        ("kinds.deep.pause", "3 weeks", "the unit 'weeks' is none of us, ms, s, min, h, d"),
        ("kinds.deep.room", "-1 MB", "expected a size in bytes"),
        ("kinds.deep.peer", "host", "a host and a port are needed"),
        ("kinds.deep.colour", "blu", 'did you mean "Blue"?'),
        ("kinds.deep.fruit", "Peer", "Did you mean Pear?"),
        ("kinds.deep.fruits", "Apple,Peer", "Did you mean Pear?"),
        ("kinds.cuont", "1", "unknown key cuont in [kinds]\n  Did you mean count?"),
        ("kind.count", "1", "unknown section [kind] (key count)\n  Did you mean [kinds]?"),
        ("components.kinds:Kind", "false", "there is no such component"),
        ("components.a*", "maybe", "expected true or false"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_written(
    environment: Environment, options: dict[tuple[str, str], KnownOption], key: str, text: str, message: str
) -> None:
    section, name = split_key(key)
    with pytest.raises(ConfigError) as caught:
        text_toml(environment, options.get((section, name)), section, name, text)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{key}: ")
    assert str(caught.value).count(key.rpartition(".")[2]) <= 2, "the key is repeated"


def test_all_errors_are_found_at_once_in_the_order_of_the_files(environment: Environment, tmp_path: Path) -> None:
    own, broken = tmp_path / "own.toml", tmp_path / "broken.toml"
    own.write_text("[kinds]\ncount = 'x'\nnothing = 1\n[nowhere]\na = 1\n[components]\n'x:Y' = true\n")
    broken.write_text("[kinds]\n= 1\n")
    sources = read_sources(own, [broken, tmp_path / "missing"], {}, ["kinds.flag=9", "components.x=1", "what"])
    texts = [str(error).partition("\n")[0] for error in config_errors(environment, sources)]
    assert texts == [
        f"{broken}:2: not valid TOML: Invalid statement",
        f"{tmp_path / 'missing'}: the config file cannot be read: No such file or directory",
        "--set: 'what' does not set a value",
        "--set components.x: expected true or false, found '1'",
        '--set kinds.flag: expected true or false, found "9"',
        f'{own}:2: [kinds] count: expected an integer from -5 to 5000, found the string "x"',
        f"{own}:3: unknown key nothing in [kinds]",
        f"{own}:5: unknown section [nowhere] (key a)",
        f"{own}:7: [components] x:Y: there is no such component",
    ]
    values = shown(effective_values(environment, sources, known_options(environment)))
    assert values["kinds", "count"].is_wrong
    assert values["kinds", "count"].as_json()["value"] == "x"
    assert ("kinds", "nothing") not in values


def test_only_the_value_that_holds_must_be_right(environment: Environment, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("[kinds]\ncount = 'x'\n")
    assert config_errors(environment, read_sources(own, environ={}, overrides=["kinds.count=1"])) == []


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a.b", ("a", "b")),
        ("a.b.c", ("a.b", "c")),
        ('components."x.y:*"', ("components", "x.y:*")),
        ("components.x.y:Z", ("components", "x.y:Z")),
        ("components.order", ("components", "order")),
        ('"a.b".c', ("a.b", "c")),
    ],
)
def test_keys(key: str, expected: tuple[str, str]) -> None:
    assert split_key(key) == expected
    if not key.startswith('"'):
        assert expected in read_overrides([f"{key}=1"]), "--set understands it otherwise"


@pytest.mark.parametrize("key", ["", "a", ".a", "a.", "components."])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(UsageError, match="is not the name of an option"):
        split_key(key)


def test_a_section_includes_those_below_it(options: dict[tuple[str, str], KnownOption]) -> None:
    assert select(options, ["kinds"]) == {key for key in options if key[0].startswith("kinds")}
    assert select(options, ["kinds.deep"]) == {key for key in options if key[0] == "kinds.deep"}
    assert select(options, ["kinds.flag", "kinds.deep.room"]) == {("kinds", "flag"), ("kinds.deep", "room")}
    assert select(options, []) == set(options)
    with pytest.raises(
        UsageError, match=r"no section or option kinds\.deep\.rom\n  Did you mean kinds\.deep\.room"
    ):
        select(options, ["kinds.deep.rom"])


def test_the_reference_tells_all_of_each_option(options: dict[tuple[str, str], KnownOption]) -> None:
    page = options_markdown(options.values())
    for option in options.values():
        assert f"### {option.name}\n\n{option.doc}\n" in page
    assert "- Type: int: an integer from -5 to 5000" in page
    assert "- Units: us, ms, s, min, h, d" in page
    assert "- Known choices: `Apple`, `Pear`" in page
    assert "- Known choices: `red`, `Blue`" in page
    assert "- Default: none" in page
    assert "- Declared by: `kinds:Kinds`" in page
    assert json.dumps([option.as_json() for option in options.values()])
    assert "Did you mean kinds.flag?" in str(unknown_option(options.values(), "kinds", "flog"))


def test_an_empty_source_has_no_layers() -> None:
    assert Sources().history("a", "b") == []
