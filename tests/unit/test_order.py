"""``[components]``: who takes part, and who comes first at every extension point."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurrence.component import Component, ComponentManager, ExtensionPoint, Interface, identity
from concurrence.env.checks import check_config
from concurrence.env.component_order import arrange, component_order, component_switch, rank
from concurrence.env.config import Config
from concurrence.env.environment import Environment
from concurrence.errors import ConfigError


class IFilter(Interface):
    """Filters."""


class Coarse(Component, IFilter): ...


class Fine(Component, IFilter): ...


class Finest(Component, IFilter): ...


class Sieve(Component):
    filters = ExtensionPoint(IFilter)


class Shop(ComponentManager):
    def __init__(self, *overrides: str) -> None:
        super().__init__()
        self.config = Config.from_layers(overrides=overrides)
        for cls in (Coarse, Fine, Finest, Sieve):
            self.register(cls)


KINDS = [type(f"K{number}", (), {"__module__": module}) for number in range(4) for module in ("one", "two")]
NAMES = st.lists(st.sampled_from([*(identity(cls) for cls in KINDS), "*", "one:*", "*:K1", "two:K[12]", "none:*"]))
CLASSES = st.lists(st.sampled_from(KINDS), unique=True)


@given(CLASSES, NAMES)
def test_an_order_only_moves_things(classes: list[type], names: list[str]) -> None:
    arranged = arrange(classes, names)
    assert len(arranged) == len(classes)
    assert set(arranged) == set(classes)
    assert arrange(arranged, names) == arranged
    assert arrange(classes, []) == classes


@given(CLASSES, NAMES)
def test_what_is_equally_placed_keeps_its_order(classes: list[type], names: list[str]) -> None:
    arranged = arrange(classes, names)
    for place in {rank(cls, names) for cls in classes}:
        equal = [cls for cls in classes if rank(cls, names) == place]
        assert [cls for cls in arranged if rank(cls, names) == place] == equal


@given(CLASSES, st.permutations([identity(cls) for cls in KINDS]))
def test_full_names_decide_alone(classes: list[type], names: list[str]) -> None:
    assert [identity(cls) for cls in arrange(classes, names)] == [
        name for name in names if name in {identity(cls) for cls in classes}
    ]


@given(CLASSES, NAMES)
def test_what_is_not_named_comes_last(classes: list[type], names: list[str]) -> None:
    named = [rank(cls, names) is not None for cls in arrange(classes, names)]
    assert named == sorted(named, reverse=True)


def test_a_full_name_goes_before_patterns() -> None:
    one, two = KINDS[:2]
    assert arrange([one, two], ["*", identity(one)]) == [two, one]
    assert arrange([one, two], ["two:*", "*"]) == [two, one]


def test_case_counts_in_patterns() -> None:
    assert rank(KINDS[0], ["ONE:*"]) is None


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("", [Coarse, Fine, Finest]),
        (identity(Finest), [Finest, Coarse, Fine]),
        (f"{identity(Finest)}, {identity(Fine)}", [Finest, Fine, Coarse]),
        ("*:Fin*", [Fine, Finest, Coarse]),
        (f"*,{identity(Coarse)}", [Fine, Finest, Coarse]),
    ],
)
def test_order_as_text(order: str, expected: list[type]) -> None:
    for config in (
        Config.from_layers(overrides=[f"components.order={order}"]),
        Config.from_layers(environ={"CONCURRENCE_COMPONENTS__ORDER": order}),
    ):
        assert component_order(config, [Coarse, Fine, Finest]) == expected
        check_config(config, [], Shop())


def test_the_order_switches_nothing() -> None:
    odd = type("order", (), {"__module__": "order"})
    for cls in (Coarse, odd):
        assert component_switch(Config.from_layers(overrides=["components.order=*"]), cls) is None


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ('order = "x"', "order: expected a list of components or patterns, found 'x'", "For example: order = ["),
        ("order = [1]", "order: expected a list of components or patterns, found [1]", "For example: order = ["),
        (
            'order = ["coarse"]',
            "order: there is no such component: 'coarse'",
            f'Did you mean "{identity(Coarse)}"?',
        ),
        ('order = ["*", "zzzz"]', "order: there is no such component: 'zzzz'", 'Write "module:Class", or a'),
        (f'"{identity(Fine)[:-1]}" = false', "there is no such component", f'Did you mean "{identity(Fine)}"?'),
        ('"x:*" = "no"', "x:*: expected true or false, found 'no'", 'For example: "x:*" = false'),
    ],
)
def test_what_is_wrong_names_place_and_nearest(tmp_path: Path, line: str, message: str, hint: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"[components]\n\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        check_config(Config.from_layers(files=[path]), [], Shop())
    assert caught.value.message.startswith(f"{path}:3: [components] ")
    assert message in caught.value.message
    assert caught.value.hint.startswith(hint)


def test_all_unknown_names_of_an_order_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"(?s)2 errors.*--set components\.order: there is no .*'a:B'.*'c:D'"):
        check_config(Config.from_layers(overrides=["components.order=a:B,c:D"]), [], Shop())


def test_a_wrong_order_is_an_error_at_the_extension_point() -> None:
    with Environment.ephemeral(plugins=False, environ={}) as environment:
        (environment.path / "concurrence.toml").write_text("[components]\norder = 5\n")
        environment.config.reload()
        environment.register(Fine)
        sieve = environment.component(environment.register(Sieve))
        with pytest.raises(ConfigError, match=r"order: expected a list"):
            _ = sieve.filters


def environment_of(*overrides: str) -> Environment:
    environment = Environment.ephemeral(plugins=False, environ={}, overrides=overrides)
    for cls in (Coarse, Fine, Finest, Sieve):
        environment.register(cls)
    return environment


def names_at(environment: Environment) -> list[str]:
    return [type(each).__name__ for each in environment.component(Sieve).filters]


def test_the_environment_orders_and_leaves_out() -> None:
    with environment_of(
        f"components.order={identity(Finest)},*:Fine", f"components.{identity(Fine)}=false"
    ) as one:
        assert names_at(one) == ["Finest", "Coarse"]
        one.check()
    with environment_of() as another:
        assert names_at(another) == ["Coarse", "Fine", "Finest"]


def test_a_changed_order_waits_for_a_restart() -> None:
    with environment_of() as environment:
        assert names_at(environment) == ["Coarse", "Fine", "Finest"]
        text = f'[components]\norder = ["{identity(Finest)}"]\n"{identity(Fine)}" = false\n'
        (environment.path / "concurrence.toml").write_text(text)
        changes = environment.reload()
        assert names_at(environment) == ["Coarse", "Fine", "Finest"]
        assert environment.is_enabled(Fine)
        assert changes.applied == ()
        assert changes.pending == (("components", "order"), ("components", identity(Fine)))


def test_installed_plug_ins_are_registered_in_the_same_order_every_time() -> None:
    with Environment.ephemeral(environ={}) as one, Environment.ephemeral(environ={}) as two:
        assert one.registered() == two.registered()
        assert one.registered()
