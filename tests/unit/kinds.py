"""A component with an option of every type, twice: once in a section with a dot in its name."""

from __future__ import annotations

from pathlib import Path

from concurrence.component import Component, Interface
from concurrence.env.environment import Environment
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


class IFruit(Interface):
    """Something to choose."""


class Apple(Component, IFruit):
    """One choice."""


class Pear(Component, IFruit):
    """Another choice."""


class Kinds(Component):
    """Options of every type."""

    flag = BoolOption("kinds", "flag", False, "A flag.", live=True)
    count = IntOption("kinds", "count", 3, "A count.\nOf things.", min=-5, max=5_000)
    ratio = FloatOption("kinds", "ratio", 0.5, "A ratio.")
    text = StrOption("kinds", "text", "", "A text.")
    words = ListOption("kinds", "words", (), "Words.")
    place = PathOption("kinds.deep", "place", Path("here"), "A path.")
    nowhere = PathOption("kinds.deep", "nowhere", None, "No path.")
    peer = AddressOption("kinds.deep", "peer", Address("::1", 80), "An address.")
    pause = DurationOption("kinds.deep", "pause", 2.5, "A pause.", live=True)
    room = ByteSizeOption("kinds.deep", "room", 64_000_000, "A size.")
    colour = ChoiceOption("kinds.deep", "colour", ("red", "Blue"), "red", "A colour.")
    fruit = ExtensionOption("kinds.deep", "fruit", IFruit, "Apple", "A component.")
    fruits = OrderedExtensionsOption("kinds.deep", "fruits", IFruit, [], "Components.")


VALUES: dict[tuple[str, str], list[tuple[str, str, object]]] = {
    ("kinds", "flag"): [("true", "yes", True), ("false", "0", False)],
    ("kinds", "count"): [("1_000", "1000", 1000), ("-1", "-1", -1), ("0x10", "16", 16)],
    ("kinds", "ratio"): [("2", "2", 2.0), ("1e-3", "0.001", 0.001)],
    ("kinds", "text"): [("'a = # b'", "a = # b", "a = # b"), ('"""\n[x]\ny"""', "[x]\ny", "[x]\ny")],
    ("kinds", "words"): [('["a", "b"]', "a, b", ["a", "b"]), ("[\n 'x', # no\n]", "x", ["x"]), ("[]", "", [])],
    ("kinds.deep", "place"): [('"/a/b"', "/a/b", "/a/b"), ("'/c d'", "/c d", "/c d")],
    ("kinds.deep", "nowhere"): [('"/x"', "/x", "/x")],
    ("kinds.deep", "peer"): [('"h:1"', "h:1", "h:1"), ('"[::2]:0"', "[::2]:0", "[::2]:0")],
    ("kinds.deep", "pause"): [("90", "90", "90 s"), ('"2 min"', "2 min", "2 min"), ('"5ms"', "0.005", "5 ms")],
    ("kinds.deep", "room"): [('"64 MiB"', "64 MiB", "64 MiB"), ("1000", "1 kB", "1 kB"), ("7", "7", "7 B")],
    ("kinds.deep", "colour"): [('"BLUE"', "blue", "Blue"), ("'red'", "red", "red")],
    ("kinds.deep", "fruit"): [('"Pear"', "Pear", "Pear"), ('"apple"', "apple", "apple")],
    ("kinds.deep", "fruits"): [('["Pear", "Apple"]', "Pear,Apple", ["Pear", "Apple"]), ("[]", "", [])],
}
"""Of each option some values: in TOML, as text, and as they are shown."""


def kinds_environment() -> Environment:
    """A temporary environment that knows no components but these."""
    environment = Environment.ephemeral(environ={}, plugins=False)
    for cls in (Kinds, Apple, Pear):
        environment.register(cls)
    return environment
