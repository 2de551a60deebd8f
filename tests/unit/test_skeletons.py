"""Skeletons of plug-ins: names that would be in the way, files that are never overwritten, and what is written."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from concurrence.cli import plugin
from concurrence.cli.plugin_tests import suite_of_environment, suite_of_package
from concurrence.cli.skeleton import KINDS, Skeleton, write_all
from concurrence.component import Component
from concurrence.env.environment import Environment
from concurrence.errors import UsageError

PLACEHOLDER = re.compile(r"\$\{?[A-Za-z]")


class Nearest(Component):
    """Something that is there already."""


def skeleton(kind: str = "app", name: str = "primes") -> Skeleton:
    return Skeleton(KINDS[kind], name)


def refused(name: str, kind: str = "app") -> str:
    with pytest.raises(UsageError) as caught:
        skeleton(kind, name).check_name([Nearest], ["run", "env-check"])
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_module_and_its_test(kind: str, tmp_path: Path) -> None:
    made = skeleton(kind, "two_words")
    made.check_name([Nearest], ["run"])
    texts = made.files_in_environment(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in texts] == [
        "plugins/two_words.py",
        "plugins/tests/test_two_words.py",
    ]
    for path, text in texts.items():
        tree = ast.parse(text, str(path))
        assert ast.get_docstring(tree)
        assert not PLACEHOLDER.search(text)
        assert all(len(line) <= 115 for line in text.splitlines())
    source, test = texts.values()
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert "TwoWords" in [node.name for node in classes]
    assert len(source.splitlines()) <= 95
    assert "from two_words import TwoWords" in test


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_a_project_that_names_its_entry_point(kind: str, tmp_path: Path) -> None:
    texts = skeleton(kind, "two_words").files_of_package(tmp_path)
    root = tmp_path / "concurrence-two-words"
    project = tomllib.loads(texts[root / "pyproject.toml"])
    assert project["project"]["name"] == "concurrence-two-words"
    assert project["project"]["dependencies"] == ["concurrence"]
    assert project["project"]["entry-points"]["concurrence.plugins"] == {"two-words": "two_words"}
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["src/two_words"]
    assert root / "src" / "two_words" / "__init__.py" in texts
    assert "TwoWords" in texts[root / "README.md"]
    assert not PLACEHOLDER.search(texts[root / "README.md"])


@pytest.mark.parametrize("kind", KINDS)
def test_what_to_do_next_is_said(kind: str, tmp_path: Path) -> None:
    made = skeleton(kind, "two_words")
    inside = "\n".join(made.next_steps(tmp_path, tmp_path))
    assert f"concurrence plugin test two_words --env {tmp_path}" in inside
    assert "pip install" not in inside
    outside = "\n".join(made.next_steps(None, tmp_path))
    assert f"pip install {tmp_path}" in outside
    tomllib.loads("\n".join(made.config()))
    if KINDS[kind].chosen:
        assert made.config()[-1].endswith('= "TwoWords"')


def test_the_help_names_all_kinds() -> None:
    assert plugin.KIND_NAMES.split(", ") == list(KINDS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("two words", "Did you mean two_words?"),
        ("Two-Words", "Did you mean two_words?"),
        ("TwoWords", "Did you mean two_words?"),
        ("1st", "cannot be the name of a plug-in"),
        ("", "cannot be the name of a plug-in"),
        ("_hidden", "Did you mean hidden?"),
        ("class", "no word of Python"),
        ("tests", "cannot be the name of a plug-in"),
        ("test_it", "cannot be the name of a plug-in"),
        ("../up", "Did you mean up?"),
        ("json", "json is a module of the standard library"),
        ("msgspec", "there is a module called msgspec"),
        ("concurrence", "there is a module called concurrence"),
        ("near_est", "there is a component called Nearest"),
        ("task", "uses the name Task for something else"),
        ("count_primes", "uses the name CountPrimes for something else"),
    ],
)
def test_names_that_are_in_the_way_are_refused(name: str, expected: str) -> None:
    assert expected in refused(name)


def test_a_command_cannot_have_the_name_of_a_built_in_one() -> None:
    assert "concurrence env-check is a built-in command" in refused("env_check", "command")
    skeleton("app", "env_check").check_name([], ["env-check"])


def test_nothing_is_overwritten_and_nothing_is_half_written(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "x.py", tmp_path / "b" / "y.py"
    second.parent.mkdir()
    second.write_text("mine")
    with pytest.raises(UsageError, match=r"y\.py exists already"):
        write_all({first: "1", second: "2"})
    assert not first.exists()
    assert second.read_text() == "mine"
    second.unlink()
    second.parent.rmdir()
    second.parent.write_text("a file where a folder is needed")
    with pytest.raises(UsageError, match="cannot be written"):
        write_all({first: "1", second: "2"})
    assert not first.exists()


# What `plugin test` would run


def environment(folder: Path, **files: str) -> Path:
    Environment.create(folder / "env").close()
    for name, text in files.items():
        path = folder / "env" / "plugins" / f"{name.replace('__slash__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder / "env"


def test_the_suite_of_an_environment(tmp_path: Path) -> None:
    env = environment(tmp_path, one="", two="", tests__slash__test_one="")
    suite = suite_of_environment(env, None)
    assert suite.tests == env / "plugins" / "tests"
    assert suite.entries == {"one": "one", "two": "two"}
    assert suite_of_environment(env, "one").tests == env / "plugins" / "tests" / "test_one.py"
    with pytest.raises(UsageError, match="there are no tests of the plug-in two"):
        suite_of_environment(env, "two")
    with pytest.raises(UsageError, match="There are: one, two"):
        suite_of_environment(env, "three")


def test_a_plug_in_that_would_hide_a_standard_module_is_not_put_on_the_path(tmp_path: Path) -> None:
    env = environment(tmp_path, json="", tests__slash__test_one="")
    with pytest.raises(UsageError, match="json is a module of the standard library"):
        suite_of_environment(env, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "cannot be read"),
        ("[project", "is no valid TOML"),
        ("[project]\nname = 'x'\n", "names no plug-ins"),
        ("project = 3\n", "names no plug-ins"),
        ("[project.entry-points.'concurrence.plugins']\na = 'b'\n", "there are no tests of"),
    ],
)
def test_what_is_no_project_with_plug_ins(tmp_path: Path, text: str | None, expected: str) -> None:
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match=expected):
        suite_of_package(tmp_path)
