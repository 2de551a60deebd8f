"""Defaults of options: what no config could say is refused where the option is declared."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from concurrence.component import Component, ComponentManager, Interface
from concurrence.env.checks import default_errors
from concurrence.env.config import Config
from concurrence.env.extension_options import ExtensionOption, OrderedExtensionsOption
from concurrence.env.options import (
    AddressOption,
    BoolOption,
    ByteSizeOption,
    ChoiceOption,
    DurationOption,
    FloatOption,
    IntOption,
    ListOption,
    PathOption,
    StrOption,
)
from concurrence.env.values import Address
from concurrence.errors import UsageError


class IThing(Interface):
    """Something."""


class Thing(Component, IThing):
    """One."""


def choice(section: str, name: str, default: str, doc: str) -> ChoiceOption:
    return ChoiceOption(section, name, ("Red", "blue"), default, doc)


def bounded(section: str, name: str, default: int, doc: str) -> object:
    return IntOption(section, name, default, doc, min=1, max=9)


def chosen(section: str, name: str, default: str, doc: str) -> object:
    return ExtensionOption(section, name, IThing, default, doc)


WRONG: list[tuple[Callable[..., object], object, str]] = [
    (IntOption, "three", 'IntOption must be an integer, found the string "three"'),
    (IntOption, 2.5, "an integer, found the number 2.5"),
    (IntOption, True, "an integer, found the boolean true"),
    (bounded, 10, "an integer from 1 to 9, found the integer 10"),
    (FloatOption, "1.5", "a number, found the string"),
    (FloatOption, math.inf, "a number, found the number inf"),
    (BoolOption, "yes", "true or false, found the string"),
    (BoolOption, 1, "true or false, found the integer 1"),
    (StrOption, None, "a string, found None"),
    (StrOption, 5, "a string, found the integer 5"),
    (choice, "green", 'one of "Red", "blue", found the string "green"'),
    (choice, "red", 'one of "Red", "blue", found the string "red"'),
    (ListOption, "one", 'a tuple of strings, found the string "one"'),
    (ListOption, (1,), "a tuple of strings, found"),
    (PathOption, "data.csv", 'a pathlib.Path or None, found the string "data.csv"'),
    (AddressOption, "127.0.0.1:80", "an Address, such as"),
    (DurationOption, "2 s", 'a number of seconds, found the string "2 s"'),
    (DurationOption, -1, "a number of seconds, found the integer -1"),
    (ByteSizeOption, "1 MB", "a number of bytes, found the string"),
    (ByteSizeOption, 1.0, "a number of bytes, found the number 1.0"),
    (chosen, Thing, "the name of a component that implements IThing, found the class Thing"),
]


@pytest.mark.parametrize(("option", "default", "text"), WRONG)
def test_what_is_no_value_is_refused(option: Callable[..., object], default: object, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        option("primes", "limit", default, "How many.")
    assert caught.value.message.startswith("[primes] limit: the default of ")
    assert text in caught.value.message


def test_the_error_leads_to_class_and_attribute() -> None:
    with pytest.raises(UsageError) as caught:

        class Primes:  # pyright: ignore[reportUnusedClass]
            limit = IntOption("primes", "limit", cast("Any", "three"), "How many.")

    assert [each.name for each in caught.traceback][1] == "Primes"
    assert "limit = IntOption" in str(caught.traceback[1].statement)


@pytest.mark.parametrize(
    ("option", "default"),
    [
        *((kind, None) for kind in (IntOption, FloatOption, PathOption, AddressOption)),
        *((kind, None) for kind in (DurationOption, ByteSizeOption)),
        (IntOption, -3),
        (bounded, 9),
        (FloatOption, 2),
        (FloatOption, 2.5),
        (BoolOption, False),
        (StrOption, ""),
        (choice, "Red"),
        (ListOption, ()),
        (ListOption, ("one",)),
        (PathOption, Path("data.csv")),
        (AddressOption, Address("localhost", 80)),
        (DurationOption, 0.5),
        (ByteSizeOption, 0),
        (chosen, "Thing"),
    ],
)
def test_values_are_taken(option: Callable[..., Any], default: object) -> None:
    assert option("primes", "limit", default, "How many.").default == default


class IKite(Interface):
    """A contract."""


class Box(Component, IKite):
    """A kite."""


class Sky(Component):
    """Kites fly in it."""

    first = OrderedExtensionsOption("sky", "first", IKite, ["Box"], "Who flies.")
    second = OrderedExtensionsOption("sky", "second", IKite, ["Bax"], "Who flies, misspelled.")
    third = ExtensionOption("sky", "third", IKite, "Delta", "Who is not installed.")


class Lake(Sky):
    """It mirrors the sky: the same options."""


def test_defaults_that_name_nobody_are_found_once_where_they_hold() -> None:
    manager = ComponentManager()
    for cls in (Box, Sky, Lake):
        manager.register(cls)
    told = [str(error).partition("\n")[0] for error in default_errors(Config(), manager)]
    assert told == [
        "default: [sky] second: no IKite is called 'Bax'",
        "default: [sky] third: no IKite is called 'Delta'",
    ]
    chosen = Config.from_layers(overrides=["sky.second=Box", "sky.third=Box"])
    assert list(default_errors(chosen, manager)) == []
