"""Options: types, units, errors that name the place, caching, components chosen by config, whole-config checks."""

from __future__ import annotations

import tomllib
from abc import abstractmethod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from concurrence.component import Component, ComponentManager, Interface, identity
from concurrence.env.checks import check_config, declared_options, sample_config
from concurrence.env.config import Config, ConfigValue
from concurrence.env.environment import Environment
from concurrence.env.extension_options import ExtensionOption, OrderedExtensionsOption
from concurrence.env.option_base import Option
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
from concurrence.errors import ConfigError, UsageError


class IEngine(Interface):
    """Runs."""

    @abstractmethod
    def run(self) -> str:
        """Run."""


class Petrol(Component, IEngine):
    def run(self) -> str:
        return "brumm"


class Electric(Component, IEngine):
    def run(self) -> str:
        return "summ"


class Car(Component):
    doors = IntOption("car", "doors", 4, "How many doors.", min=1, max=9)
    name = StrOption("car", "name", "beetle", "What it is called.")
    heated = BoolOption("car", "heated", False, "Whether the seats are warm.")
    factor = FloatOption("car", "factor", 0.5, "Some factor.")
    pause = DurationOption("car", "pause", 1.5, "How long it rests.")
    trunk = ByteSizeOption("car", "trunk", 64 << 20, "How much goes in.")
    colour = ChoiceOption("car", "colour", ("Red", "Green"), "Red", "Its colour.")
    labels = ListOption("car", "labels", ("a",), "What is written on it.")
    home = AddressOption("car", "home", Address("localhost", 80), "Where it lives.")
    away = AddressOption("car", "away", None, "Where it goes.")
    manual = PathOption("car", "manual", Path("manual.txt"), "Its manual.")
    engine = ExtensionOption("car", "engine", IEngine, "Petrol", "What drives it.")
    engines = OrderedExtensionsOption("car", "engines", IEngine, ["Electric"], "What drives it, by rank.")
    only = OrderedExtensionsOption("car", "only", IEngine, [], "No others.", include_missing=False)


class Garage(ComponentManager):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        for cls in (Petrol, Electric, Car):
            self.register(cls)

    def is_enabled(self, cls: type[Component]) -> bool:
        return self.config.get("components", identity(cls)) is None


def car(*overrides: str) -> Car:
    return Garage(Config.from_layers(overrides=overrides)).component(Car)


def car_of(folder: Path, text: str) -> Car:
    path = folder / "c.toml"
    path.write_text(text, encoding="utf-8")
    return Garage(Config.from_layers(files=[path])).component(Car)


def config_of(found: Car) -> Config:
    assert isinstance(found.manager, Garage)
    return found.manager.config


def test_defaults() -> None:
    found = car()
    assert (found.doors, found.name, found.heated, found.factor) == (4, "beetle", False, 0.5)
    assert (found.pause, found.trunk, found.colour, found.labels) == (1.5, 64 << 20, "Red", ("a",))
    assert (found.home, found.away, found.manual) == (Address("localhost", 80), None, Path("manual.txt"))


def test_the_class_gives_the_descriptor() -> None:
    assert isinstance(Car.doors, IntOption)
    assert (Car.doors.owner, Car.doors.attribute, Car.doors.live) == (Car, "doors", False)


def test_toml_values(tmp_path: Path) -> None:
    found = car_of(
        tmp_path,
        'car.doors = 2\ncar.heated = true\ncar.factor = 3\ncar.pause = "500 ms"\ncar.trunk = "2 kB"\n'
        'car.colour = "green"\ncar.labels = ["x, y", "z"]\ncar.home = "[::1]:9"\ncar.away = "h:0"\n'
        'car.manual = "docs/m.txt"\ncar.name = ""\n',
    )
    assert (found.doors, found.heated, found.factor, found.pause) == (2, True, 3.0, 0.5)
    assert isinstance(found.factor, float)
    assert (found.trunk, found.colour, found.labels) == (2_000, "Green", ("x, y", "z"))
    assert (found.home, found.away) == (Address("::1", 9), Address("h", 0))
    assert (found.manual, found.name) == (tmp_path / "docs/m.txt", "")


def test_text_values() -> None:
    found = car(
        "car.doors=3",
        "car.heated=Yes",
        "car.factor=1e-1",
        "car.pause=2",
        "car.trunk=5",
        "car.labels=x, y",
        "car.name=7",
    )
    assert (found.doors, found.heated, found.factor, found.pause) == (3, True, 0.1, 2.0)
    assert (found.trunk, found.labels, found.name) == (5, ("x", "y"), "7")
    assert car("car.manual=m.txt").manual == Path.cwd() / "m.txt"
    assert car("car.manual=~/m.txt").manual == Path.home() / "m.txt"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('doors = "4"', 'expected an integer from 1 to 9, found the string "4"'),
        ("doors = 4.0", "found the number 4.0"),
        ("doors = true", "found the boolean true"),
        ("doors = 0", "found the integer 0"),
        ("doors = 10", "from 1 to 9, found the integer 10"),
        ("name = 5", "expected a string, found the integer 5"),
        ('heated = "true"', 'expected true or false, found the string "true"'),
        ("heated = 1", "expected true or false"),
        ('factor = "x"', "expected a number"),
        ("factor = nan", "expected a number"),
        ("pause = -1", "expected a duration, found the integer -1 (it is negative"),
        ('pause = "3 parsecs"', "the unit 'parsecs' is none of"),
        ("pause = true", "expected a duration"),
        ('pause = "-1 s"', "expected a duration"),
        ("trunk = 1.5", "not a whole number of bytes"),
        ('trunk = "5 s"', "the unit 's' is none of"),
        ('colour = "gren"', 'expected one of "Red", "Green", found the string "gren" (did you mean "Green"?)'),
        ('labels = "x"', 'expected a list of strings, found the string "x"'),
        ("labels = [1]", "expected a list of strings, found the list [1]"),
        ('home = "localhost"', "a host and a port are needed"),
        ('home = "::1:80"', "must stand in brackets"),
        ('home = "h:70000"', "a number from 0 to 65535"),
        ('home = "h:x"', "a number from 0 to 65535"),
        ('home = ":80"', "a host and a port are needed"),
        ("manual = 3", "expected a path"),
        ("engine = 3", "expected the name of a component that implements IEngine"),
        ("engines = 3", "expected a list of names of components"),
    ],
)
def test_wrong_values_name_place_key_expectation_and_finding(tmp_path: Path, line: str, expected: str) -> None:
    name = line.partition(" ")[0]
    found = car_of(tmp_path, f"[car]\n\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        getattr(found, name)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'c.toml'}:3: [car] {name}: expected ")
    assert expected in text
    assert (caught.value.source, caught.value.line) == (str(tmp_path / "c.toml"), 3)
    if name in ("doors", "pause", "trunk", "home", "labels"):
        assert f"For example: {name} = " in text
    with pytest.raises(ConfigError, match="expected"):
        check_config(config_of(found), [Car])


@pytest.mark.parametrize(
    "override", ["car.doors=x", "car.doors=", "car.heated=maybe", "car.factor=inf", "car.pause="]
)
def test_wrong_texts_name_the_argument(override: str) -> None:
    key = override.partition("=")[0]
    with pytest.raises(ConfigError, match=f"^--set {key}: "):
        getattr(car(override), key.partition(".")[2])


def test_a_wrong_text_is_told_in_the_form_of_its_source() -> None:
    with pytest.raises(ConfigError) as caught:
        _ = car("car.doors=abc").doors
    assert str(caught.value) == (
        '--set car.doors: expected an integer from 1 to 9, found "abc"\n  For example: --set car.doors=8'
    )
    with pytest.raises(ConfigError, match=r"For example: --set car\.trunk='64 MB'$"):
        _ = car("car.trunk=x").trunk
    config = Config.from_layers(environ={"CONCURRENCE_CAR__FACTOR": "x"})
    with pytest.raises(ConfigError) as caught:
        _ = Garage(config).component(Car).factor
    assert str(caught.value) == (
        'environment variable CONCURRENCE_CAR__FACTOR: expected a number, found "x"\n'
        "  For example: CONCURRENCE_CAR__FACTOR=0.5"
    )


def test_a_manager_without_config_gives_defaults() -> None:
    manager = ComponentManager()
    manager.register(Car)
    manager.register(Petrol)
    assert manager.component(Car).doors == 4
    assert manager.component(Car).engine.run() == "brumm"


# Components chosen by config


def test_extension_options() -> None:
    assert car().engine.run() == "brumm"
    found = car("car.engine=electric")
    assert found.engine is found.manager.component(Electric)
    assert [engine.run() for engine in found.engines] == ["summ", "brumm"]
    assert [engine.run() for engine in car("car.engines=Petrol").engines] == ["brumm", "summ"]
    assert [engine.run() for engine in car("car.only=petrol,Petrol").only] == ["brumm"]
    assert car().only == ()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("Petrol,Electric", ["brumm", "summ"]),
        ("*", ["brumm", "summ"]),
        ("*,Petrol", ["summ", "brumm"]),
        (f"Electric,{__name__}:*", ["summ", "brumm"]),
        ("*:Elec*", ["summ"]),
        ("*:E*,*", ["summ", "brumm"]),
    ],
)
def test_ordered_extensions_by_name_and_pattern(names: str, expected: list[str]) -> None:
    found = car(f"car.only={names}")
    assert [engine.run() for engine in found.only] == expected
    check_config(config_of(found), [Car], found.manager)


def test_a_pattern_that_fits_nothing_is_told_with_what_there_is() -> None:
    found = car("car.only=x:*")
    with pytest.raises(ConfigError, match=r"^--set car\.only: no IEngine fits 'x:\*'") as caught:
        _ = found.only
    assert caught.value.hint == f"Known: {identity(Electric)}, {identity(Petrol)}."
    with pytest.raises(ConfigError, match="no IEngine fits"):
        check_config(config_of(found), [Car], found.manager)


def test_disabled_components_of_an_ordered_extension() -> None:
    off = f"components.{identity(Electric)}=false"
    assert [engine.run() for engine in car(off).engines] == ["brumm"]  # although the default names it
    assert [engine.run() for engine in car(off, "car.only=*").only] == ["brumm"]
    found = car(off, "car.engines=Petrol,Electric")
    with pytest.raises(ConfigError, match=r"^--set car\.engines: 'Electric' is disabled"):
        _ = found.engines
    with pytest.raises(ConfigError, match="is disabled"):
        check_config(config_of(found), [Car], found.manager)


def test_an_unknown_component_names_place_and_nearest_name(tmp_path: Path) -> None:
    found = car_of(tmp_path, '[car]\nengine = "Electrik"\n')
    with pytest.raises(ConfigError, match=r"c\.toml:2: \[car\] engine: no IEngine is called 'Electrik'") as caught:
        _ = found.engine
    assert "Did you mean Electric?" in str(caught.value)
    with pytest.raises(ConfigError, match="Did you mean Electric"):
        check_config(config_of(found), [Car], found.manager)


def test_a_disabled_component_cannot_be_chosen() -> None:
    with pytest.raises(ConfigError, match=r"^--set car\.engine: 'Electric' is disabled"):
        _ = car("car.engine=Electric", f"components.{identity(Electric)}=false").engine


def test_choosing_a_component_needs_a_manager() -> None:
    class Loose:
        engine = ExtensionOption("car", "engine", IEngine, "Petrol", "What drives it.")

    with pytest.raises(UsageError, match="no component manager"):
        _ = Loose().engine


# Values and their texts


OPTIONS: list[tuple[Option[Any], st.SearchStrategy[Any]]] = [
    (Car.doors, st.integers(1, 9)),
    (Car.name, st.text()),
    (Car.heated, st.booleans()),
    (Car.factor, st.floats(allow_nan=False, allow_infinity=False)),
    (Car.pause, st.floats(0, 1e12)),
    (Car.trunk, st.integers(0, 1 << 60)),
    (Car.colour, st.sampled_from(["Red", "Green"])),
    (Car.labels, st.lists(st.text()).map(tuple)),
    (Car.manual, st.from_regex(r"/[\w .\\'\"~-]{0,12}", fullmatch=True).map(Path)),
    (Car.home, st.builds(Address, st.sampled_from(["h", "::1", "10.0.0.1"]), st.integers(0, 65_535))),
]


@pytest.mark.parametrize(("option", "values"), OPTIONS, ids=lambda item: getattr(item, "name", ""))
@given(data=st.data())
def test_values_survive_a_config_file(
    option: Option[Any], values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    value = data.draw(values)
    written = option.to_toml(value)
    assume("\\ud" not in written.lower())
    written.encode(errors="replace")
    raw = tomllib.loads(f"x = {written}")["x"]
    assert option.parse(ConfigValue(raw, "c.toml", 1)) == value


def test_every_default_of_what_is_installed_survives_a_config_file() -> None:
    with Environment.ephemeral(environ={}) as environment:
        options = declared_options([type(environment), *environment.registered()])
        written = [option for option in options if option.default_toml()]
        for option in written:
            raw = tomllib.loads(f"x = {option.default_toml()}")["x"]
            value = ConfigValue(raw, "c.toml", 1)
            option.check(value, environment)
            if not isinstance(option, ExtensionOption | OrderedExtensionsOption | PathOption):
                assert option.parse(value) == option.default, option
    assert len(written) > 5


# The whole config


def test_declared_options_come_once_and_in_order() -> None:
    class Van(Car):
        load = IntOption("van", "load", 1, "How much it carries.")

    options = declared_options([Van, Car, Petrol])
    assert len(options) == len(set(options)) == 15
    assert [option.name for option in options[:2]] == ["doors", "name"]
    assert options[-1] is Van.load


def test_a_right_config_passes(tmp_path: Path) -> None:
    found = car_of(tmp_path, '[project]\napp = "x"\n[car]\ndoors = 2\n[components]\n"my.module:*" = false\n')
    check_config(config_of(found), [Car], found.manager)


def test_all_errors_are_listed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('lost = 1\n[car]\ndors = 2\ndoors = "x"\n[cra]\nname = 1\n[zzz]\nheated = true\n')
    config = Config.from_layers(files=[path], environ={"CONCURRENCE_CAR__COLOR": "x"})
    with pytest.raises(ConfigError) as caught:
        check_config(config, [Car])
    text = str(caught.value)
    assert "6 errors" in text
    assert f"{path}:1: lost stands outside any section" in text
    assert f"{path}:3: unknown key dors in [car]\n    Did you mean doors?" in text
    assert f"{path}:4: [car] doors: expected an integer" in text
    assert f"{path}:6: unknown section [cra] (key name)\n    Did you mean [car]?" in text
    assert f"{path}:8: unknown section [zzz] (key heated)\n    There is a key heated in [car]." in text
    assert "environment variable CONCURRENCE_CAR__COLOR: unknown key color in [car]" in text
    assert "Did you mean colour?" in text


def test_a_single_error_keeps_its_place(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[car]\ndors = 2\n")
    with pytest.raises(ConfigError) as caught:
        check_config(Config.from_layers(files=[path]), [Car])
    assert (caught.value.source, caught.value.line) == (str(path), 2)


def test_the_sample_config_is_valid_and_shows_the_defaults(tmp_path: Path) -> None:
    text = sample_config([Car], "hello")
    path = tmp_path / "c.toml"
    uncommented = [
        line.removeprefix("# ") if " = " in line and not line.endswith(("=", ".")) else line
        for line in text.split("\n")
    ]
    path.write_text("\n".join(line for line in uncommented if line != "# away ="))
    config = Config.from_layers(files=[path])
    assert tomllib.loads(text)["car"] == {}
    found = Garage(config)
    check_config(config, [Car], None)
    before, after = car(), found.component(Car)
    for option in declared_options([Car]):
        if option.name not in ("engine", "engines", "only", "manual"):
            assert getattr(before, option.attribute) == getattr(after, option.attribute)
            assert option.doc in text
    assert config.get("car", "doors") is not None
