"""Configuration: layers, places of values, errors, reload."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurrence.env.config import Config, read_environ, read_file, read_overrides
from concurrence.env.toml_lines import key_lines
from concurrence.errors import ConfigError, UsageError

TRICKY = '''\
# a comment [not.a.table]
top = 1

[master]  # comment
port = 8080
"quoted key" = """
[fake]
port = 3
"""
hosts = [
  "a", # ] not the end
  'b',
]
inner = { x = 1, y = "}" }
dotted.name = 'it'

[ "spaced" . table ]
key = @@@
[[also fake]]
'@@@
last = "#"
[components]
"my.module:*" = false
'''.replace("@@@", "'" * 3)


def write(folder: Path, text: str, name: str = "c.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_each_value_knows_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, TRICKY)
    layer = read_file(path)
    places = {key: value.line for key, value in layer.items()}
    assert places == {
        ("", "top"): 2,
        ("master", "port"): 5,
        ("master", "quoted key"): 6,
        ("master", "hosts"): 10,
        ("master.inner", "x"): 14,
        ("master.inner", "y"): 14,
        ("master.dotted", "name"): 15,
        ("spaced.table", "key"): 18,
        ("spaced.table", "last"): 21,
        ("components", "my.module:*"): 23,
    }
    assert layer["master", "port"].origin == f"{path}:5"
    assert layer["master", "port"].folder == tmp_path


def test_windows_line_ends_count_once(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"[a]\r\nb = 1\r\n\r\nc = 2\r\n")
    assert read_file(path)["a", "c"].line == 4


SCALARS = st.one_of(
    st.integers(-5, 5).map(str),
    st.sampled_from(
        ["true", '"[x]"', "'#'", '"""\n[y]\nz = 1\n"""', "[\n1, # ]\n2]", "{a = 1}", '"\\""', "''''a'''"]
    ),
)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,4}", fullmatch=True),
        st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), SCALARS, max_size=4),
        max_size=4,
    ),
    st.integers(0, 2),
)
def test_lines_are_right_in_any_file(tables: dict[str, dict[str, str]], blank: int) -> None:
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    for table, values in tables.items():
        lines += [""] * blank + [f"[{table}] # [comment]"]
        expected[(table,)] = len(lines)
        for name, value in values.items():
            lines += f"{name} = {value}".split("\n")
            expected[table, name] = len(lines) - value.count("\n")
    assert key_lines("\n".join(lines)) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = 1\n[b\nc = 2", 2), ("[a]\nb = word\n", 2), ('x = 1\ny = """\n\n', 3)],
)
def test_syntax_errors_name_file_and_line(tmp_path: Path, text: str, line: int) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"{path}:{line}: not valid TOML: ")
    assert "(at " not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("[a]\nb = 1\n[c]\n[a]\n", 4, "section [a] is there twice\n  Put both sections' lines under one heading."),
        ("[a.b]\n[a.b]\n", 2, "section [a.b] is there twice"),
        ("a = 1\n\na = 2\n", 3, "the key a is there twice"),
        ("[a]\nb = word\n", 2, "not valid TOML: Invalid value\n  Strings need quotes"),
    ],
)
def test_what_is_there_twice_is_told_so(tmp_path: Path, text: str, line: int, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    assert str(caught.value).startswith(f"{path}:{line}: {expected}")
    assert ("quotes" in str(caught.value)) == ("word" in text)


def test_unreadable_files_are_config_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml: the config file cannot be read: No such file"):
        Config.from_layers(files=[tmp_path / "missing.toml"])
    (tmp_path / "latin.toml").write_bytes(b"a = 1\nb = '\xe4'\n")
    with pytest.raises(ConfigError, match=r"latin\.toml:2: the text is not UTF-8"):
        read_file(tmp_path / "latin.toml")


def test_environment_variables() -> None:
    layer = read_environ(
        {
            "CONCURRENCE_MASTER__PORT": "1",
            "CONCURRENCE_A__B__C": "2",
            "CONCURRENCE_HOME": "3",
            "OTHER_MASTER__PORT": "4",
            "MASTER__PORT": "5",
        }
    )
    assert {key: value.raw for key, value in layer.items()} == {("master", "port"): "1", ("a.b", "c"): "2"}
    assert layer["master", "port"].is_text
    assert layer["master", "port"].origin == "environment variable CONCURRENCE_MASTER__PORT"


def test_overrides() -> None:
    layer = read_overrides(["a.b=1", "a.b= x=y ", "a.b.c=", "components.my.module:*=false"])
    assert {key: value.raw for key, value in layer.items()} == {
        ("a", "b"): "x=y",
        ("a.b", "c"): "",
        ("components", "my.module:*"): "false",
    }
    assert layer["a", "b"].origin == "--set a.b"


@pytest.mark.parametrize("text", ["a.b", "b=1", ".b=1", "a.=1", "", "=1"])
def test_malformed_overrides_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"section\.name=value"):
        read_overrides([text])


KEYS = st.tuples(st.sampled_from(["one", "two"]), st.sampled_from(["x", "y", "z"]))
LAYER = st.dictionaries(KEYS, st.integers(0, 99))


@given(LAYER, LAYER, LAYER, LAYER, LAYER)
def test_later_layers_win(
    tmp_path_factory: pytest.TempPathFactory,
    defaults: dict[tuple[str, str], int],
    own: dict[tuple[str, str], int],
    given_file: dict[tuple[str, str], int],
    variables: dict[tuple[str, str], int],
    overrides: dict[tuple[str, str], int],
) -> None:
    folder = tmp_path_factory.mktemp("layers")
    layered: dict[str, dict[str, object]] = {}
    for (section, name), number in defaults.items():
        layered.setdefault(section, {})[name] = number
    files = [
        write(folder, "".join(f"{s}.{n} = {v}\n" for (s, n), v in layer.items()), f"{index}.toml")
        for index, layer in enumerate((own, given_file))
    ]
    config = Config.from_layers(
        defaults=layered,
        files=files,
        environ={f"CONCURRENCE_{s.upper()}__{n.upper()}": str(v) for (s, n), v in variables.items()},
        overrides=[f"{s}.{n}={v}" for (s, n), v in overrides.items()],
    )
    winners: dict[tuple[str, str], tuple[int, str]] = {}
    for layer, source in (
        (defaults, "default"),
        (own, str(files[0])),
        (given_file, str(files[1])),
        (variables, "environment variable"),
        (overrides, "--set"),
    ):
        winners |= {key: (number, source) for key, number in layer.items()}
    found = {(section, name): value for section, name, value in config.items()}
    assert {key: int(str(value.raw)) for key, value in found.items()} == {
        key: number for key, (number, _) in winners.items()
    }
    for key, value in found.items():
        assert value.source.startswith(winners[key][1])


def test_sections_and_names() -> None:
    config = Config.from_layers(overrides=["b.y=1", "a.z=2", "a.x=3"])
    assert config.sections() == ["a", "b"]
    assert config.names("a") == ["x", "z"]
    assert config.get("a", "y") is None
    assert Config().sections() == []


def test_reload_adopts_changes_and_raises_the_revision(tmp_path: Path) -> None:
    path = write(tmp_path, "[a]\nx = 1\ny = 1\ngone = 1\n")
    config = Config.from_layers(files=[path], overrides=["a.y=5"])
    assert config.reload().applied == ()
    assert config.revision == 0
    write(tmp_path, "[a]\n\nx = true\ny = 2\nnew = 1\n")
    changes = config.reload()
    assert changes.applied == (("a", "gone"), ("a", "new"), ("a", "x"))
    assert config.revision == 1
    value = config.get("a", "x")
    assert value is not None
    assert (value.raw, value.line) == (True, 3)
    assert config.get("a", "gone") is None


def test_reload_leaves_what_is_not_live(tmp_path: Path) -> None:
    path = write(tmp_path, "[a]\nlive = 1\nfixed = 1\n")
    config = Config.from_layers(files=[path])
    write(tmp_path, "[a]\nlive = 2\nfixed = 2\nadded = 2\n")
    changes = config.reload(lambda _section, name: name == "live")
    assert (changes.applied, changes.pending) == ((("a", "live"),), (("a", "added"), ("a", "fixed")))
    assert [(name, value.raw) for _, name, value in config.items()] == [("fixed", 1), ("live", 2)]


def test_a_reload_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, "[a]\nx = 1\n")
    config = Config.from_layers(files=[path])
    write(tmp_path, "[a]\nx = \n")
    with pytest.raises(ConfigError):
        config.reload()
    value = config.get("a", "x")
    assert value is not None
    assert (value.raw, config.revision) == (1, 0)


def test_what_waits_for_a_restart_is_told_once_for_each_value(tmp_path: Path) -> None:
    path = write(tmp_path, "[a]\nlive = 1\nfixed = 1\n")
    config = Config.from_layers(files=[path])
    told: list[tuple[tuple[str, str], ...]] = []
    for fixed in (2, 2, 3, 1, 2):
        write(tmp_path, f"[a]\nlive = {fixed}\nfixed = {fixed}\n")
        told.append(config.reload(lambda _section, name: name == "live").pending)
    assert told == [(("a", "fixed"),), (), (("a", "fixed"),), (), (("a", "fixed"),)]


def test_a_reload_tells_old_and_new_values(tmp_path: Path) -> None:
    path = write(tmp_path, "[a]\ngone = 1\nx = 1\n")
    config = Config.from_layers(files=[path])
    write(tmp_path, "[a]\nx = 2\n")
    gone, changed = config.reload().details
    assert (gone.name, gone.new, gone.old and gone.old.raw) == ("gone", None, 1)
    assert changed.new is not None
    assert (changed.section, changed.name, changed.new.raw, changed.new.origin) == ("a", "x", 2, f"{path}:2")


def test_an_optional_file_is_read_when_it_appears_and_missed_when_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    given = write(tmp_path, "[a]\ny = 1\n")
    config = Config.from_layers(files=[given], optional=[path])
    assert config.reload().applied == ()
    write(tmp_path, "[a]\nx = 1\ny = 2\n", path.name)
    assert config.reload().applied == (("a", "x"),)
    path.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        config.reload()
    value = config.get("a", "x")
    assert value is not None


@pytest.mark.parametrize("given", ["a.b=1", [*"a.b=1", "application.master=x"]])
def test_a_text_in_place_of_a_list_of_overrides(given: str | list[str]) -> None:
    with pytest.raises(UsageError, match="one text, not a list") as caught:
        read_overrides(given)
    assert caught.value.hint == 'overrides=["section.name=value"]'
