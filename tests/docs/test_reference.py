"""docs/reference is what the code says, and the code says something of all that people use.

What must be there is found here in another way than the pages are made: a generator that forgets something fails.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

import pytest
import typer

import concurrence
from concurrence import testing
from concurrence.cli.main import app
from concurrence.component import Component, ExtensionPoint, Interface
from concurrence.env.environment import Environment
from concurrence.env.option_base import Option
from tools.reference.api import facade_doc, topics
from tools.reference.loaded import built_in
from tools.reference.pages import COMMAND, FOLDER, made_pages

PAGES = ("api.md", "commands.md", "components.md", "methods.md", "metrics.md", "options.md")
SMALL = frozenset(
    {"a", "an", "and", "any", "are", "as", "at", "be", "by", "for", "from", "in", "is", "it", "its", "no", "of"}
    | {"on", "or", "that", "the", "this", "to", "what", "which", "with"}
)


@cache
def made() -> dict[str, str]:
    return made_pages()


@cache
def components() -> tuple[type, ...]:
    with built_in() as environment:
        return (type(environment), *environment.registered())


def on_disk(page: str) -> str:
    path = FOLDER / page
    return path.read_text("utf-8") if path.is_file() else ""


def sections(page: str, level: int) -> dict[str, str]:
    """The texts below the headings of a level, by heading."""
    parts = re.split(rf"^{'#' * level} (.*)$", on_disk(page), flags=re.MULTILINE)[1:]
    ends = (re.split(rf"^#{{1,{level}}} ", text, maxsplit=1, flags=re.MULTILINE)[0] for text in parts[1::2])
    return dict(zip(parts[::2], ends, strict=True))


def missing(found: Iterable[str]) -> str:
    return "\n".join(["", *found])


def says_more(name: str, text: str | None, *, words: int = 2) -> bool:
    """Whether a text has so many words that are neither small nor part of the name."""
    known = SMALL | {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)}
    found = {word.lower() for word in re.findall(r"\w+", text or "")}
    return len({word for word in found if word not in known and word.removesuffix("s") not in known}) >= words


# --- the pages are current ---


def test_the_pages_are_those_that_are_made() -> None:
    assert sorted(made()) == sorted(PAGES) == sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_current(page: str) -> None:
    have, want = on_disk(page).splitlines(), made()[page].splitlines()
    difference = difflib.unified_diff(have, want, f"docs/reference/{page}", "the code", lineterm="", n=0)
    assert have == want, missing([f"make the pages anew with: {COMMAND}", *list(difference)[:40]])


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_the_same_on_every_machine(page: str) -> None:
    assert not re.findall(r"0x[0-9a-f]{6,}|/tmp/|/home/|site-packages", on_disk(page))


# --- options ---


def options() -> Iterator[Option[Any]]:
    for cls in components():
        for base in cls.__mro__:
            yield from (value for value in vars(base).values() if isinstance(value, Option))


def test_every_option_of_every_component_is_there() -> None:
    keys = {(option.section, option.name) for option in options()}
    assert len(keys) > 20
    found = sections("options.md", 2)
    lacking = [
        f"[{section}] {name}"
        for section, name in sorted(keys)
        if f"### {name}\n" not in found.get(f"[{section}]", "")
    ]
    assert not lacking, missing(lacking)


def test_every_option_says_what_it_does() -> None:
    silent = {f"{one!r} of {one.owner}" for one in options() if not says_more(one.name, one.doc, words=3)}
    assert not silent, missing(sorted(silent))


# --- commands ---


def commands(group: Any, words: tuple[str, ...] = ("concurrence",)) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        yield " ".join([*words, name]), command
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))


def every_command() -> dict[str, Any]:
    return dict(commands(typer.main.get_command(app)))


def test_every_command_with_its_parameters_is_there() -> None:
    found = sections("commands.md", 2)
    lacking: list[str] = []
    for name, command in every_command().items():
        if hasattr(command, "commands"):
            continue
        if name not in found:
            lacking.append(name)
            continue
        for parameter in command.params:
            is_argument = parameter.param_type_name == "argument"
            forms = [parameter.metavar or parameter.name.upper()] if is_argument else [*parameter.opts]
            forms += parameter.secondary_opts
            lacking += [
                f"{name} {form}" for form in forms if not re.search(rf"`{re.escape(form)}[` ]", found[name])
            ]
    assert not lacking, missing(lacking)


def test_every_command_has_an_example_there() -> None:
    found = sections("commands.md", 2)
    leaves = [name for name, command in every_command().items() if not hasattr(command, "commands")]
    lacking = [name for name in leaves if f"\n$ {name}" not in found.get(name, "")]
    assert not lacking, missing(lacking)


def test_every_command_and_parameter_says_what_it_does() -> None:
    silent: list[str] = []
    for name, command in every_command().items():
        if not says_more(name, command.help, words=3):
            silent.append(name)
        silent += [
            f"{name}: {parameter.name}"
            for parameter in command.params
            if not says_more(parameter.name, parameter.help, words=1)
        ]
    assert not silent, missing(silent)


# --- interfaces and components ---


def modules() -> Iterator[ModuleType]:
    for module in pkgutil.walk_packages(concurrence.__path__, "concurrence."):
        if module.name.endswith(".api"):
            yield importlib.import_module(module.name)


def interfaces() -> set[type]:
    """What the ``api`` modules define, what components implement, and what extension points ask for."""
    found: set[type] = set()
    for module in modules():
        found |= {value for value in vars(module).values() if inspect.isclass(value) and is_interface(value)}
    for cls in components():
        found |= {base for base in cls.__mro__ if is_interface(base)}
        for value in vars(cls).values():
            found |= asked_for(value)
    return found


def asked_for(declared: object) -> set[type]:
    interface = getattr(declared, "interface", None)
    return {interface} if isinstance(interface, type) and isinstance(declared, ExtensionPoint | Option) else set()


def is_interface(cls: type) -> bool:
    return issubclass(cls, Interface) and not issubclass(cls, Component) and cls is not Interface


def public_methods(cls: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(cls).items():
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            yield name, value


def test_every_interface_with_its_methods_is_there() -> None:
    found = sections("components.md", 3)
    contracts = interfaces()
    assert len(contracts) > 8
    lacking = [cls.__name__ for cls in contracts if cls.__name__ not in found]
    for cls in contracts:
        text = found.get(cls.__name__, "")
        lacking += [
            f"{cls.__name__}.{name}"
            for name, _ in public_methods(cls)
            if not re.search(rf"^\*\*`(async )?{name}\b", text, re.MULTILINE)
        ]
    assert not lacking, missing(sorted(lacking))


def test_every_interface_and_its_methods_say_what_they_are_for() -> None:
    silent = [cls.__name__ for cls in interfaces() if not says_more(cls.__name__, cls.__doc__, words=3)]
    for cls in interfaces():
        methods = public_methods(cls)
        silent += [
            f"{cls.__name__}.{name}" for name, value in methods if not says_more(name, value.__doc__, words=1)
        ]
    assert not silent, missing(sorted(silent))


def test_every_component_and_extension_point_is_there() -> None:
    found = sections("components.md", 3)
    lacking: list[str] = []
    for cls in components():
        if cls is Environment:
            continue
        if not says_more(cls.__name__, cls.__doc__, words=2):
            lacking.append(f"{cls.__name__}: what it is")
        for name in dir(cls):
            value = inspect.getattr_static(cls, name)
            if isinstance(value, ExtensionPoint) or hasattr(value, "interface"):
                lacking += [f"{cls.__name__}.{name}"] if f"as `{name}`" not in found.get(cls.__name__, "") else []
        lacking += (
            [cls.__name__] if f"`{cls.__module__}:{cls.__qualname__}`" not in found.get(cls.__name__, "") else []
        )
    assert not lacking, missing(lacking)


# --- the facade ---


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    names = [name for name in concurrence.__all__ if name != "__version__"]
    assert sorted(name for some in topics().values() for name in some) == sorted(names)
    found = sections("api.md", 3)
    assert not [name for name in [*names, *testing.__all__] if name not in found]
    silent = [name for name in names if not says_more(name, facade_doc(name), words=1)]
    silent += [name for name in testing.__all__ if not says_more(name, getattr(testing, name).__doc__, words=2)]
    assert not silent, missing(silent)


def test_every_public_method_of_the_facade_says_what_it_does() -> None:
    silent: list[str] = []
    for name in concurrence.__all__:
        value = getattr(concurrence, name)
        if inspect.isclass(value):
            silent += [f"{name}.{method}" for method, found in public_methods(value) if not inspect.getdoc(found)]
    assert not silent, missing(silent)


# --- what these tests rest on ---


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("max_attempts", "The max attempts.", False),
        ("max_attempts", "Attempt.", False),
        ("max_attempts", "Workers that a task may kill before it is given up.", True),
        ("TaskManager", "A task manager", False),
        ("TaskManager", None, False),
    ],
)
def test_a_repeated_name_says_nothing(name: str, text: str | None, *, expected: bool) -> None:
    assert says_more(name, text) is expected
