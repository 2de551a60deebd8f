"""Reading options: kept in the object that reads them, never stale, in threads and in objects of any kind."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import assert_type

import pytest

from concurrence.component import Component, ComponentManager, ExtensionPoint, Interface
from concurrence.env.cached_reads import CachedReads
from concurrence.env.config import Config, ConfigValue
from concurrence.env.environment import Environment
from concurrence.env.extension_options import ExtensionOption, OrderedExtensionsOption
from concurrence.env.options import IntOption, StrOption
from concurrence.errors import ConfigError


class IWheel(Interface):
    """Turns."""


class Rubber(Component, IWheel): ...


class Wood(Component, IWheel): ...


class Cart(Component):
    speed = IntOption("cart", "speed", 1, "How fast.", live=True)
    name = StrOption("cart", "name", "x", "What it is called.")
    wheel = ExtensionOption("cart", "wheel", IWheel, "Wood", "What it rolls on.", live=True)
    wheels = OrderedExtensionsOption("cart", "wheels", IWheel, ["Wood"], "What it rolls on, by rank.", live=True)
    all_wheels = ExtensionPoint(IWheel)


class Shed(ComponentManager):
    speed = IntOption("cart", "speed", 1, "How fast.", live=True)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        for cls in (Rubber, Wood, Cart):
            self.register(cls)


class Source:
    """A config whose one layer is changed by hand."""

    def __init__(self, **values: object) -> None:
        self.values = values
        self.config = Config(
            lambda: [{("cart", name): ConfigValue(raw, "test") for name, raw in self.values.items()}]
        )
        self.shed = Shed(self.config)

    def change(self, **values: object) -> None:
        self.values = values
        self.config.reload()


def test_what_a_type_checker_infers() -> None:
    cart = Source().shed.component(Cart)
    assert_type(cart, Cart)
    assert_type(cart.speed, int)
    assert_type(cart.wheel, IWheel)
    assert_type(cart.wheels, tuple[IWheel, ...])
    assert_type(cart.all_wheels, list[IWheel])
    assert_type(Cart.wheel, ExtensionOption[IWheel])


def test_a_change_is_seen_in_every_reader_at_once() -> None:
    source = Source()
    cart = source.shed.component(Cart)
    for _ in range(2):
        assert (cart.speed, source.shed.speed, type(cart.wheel)) == (1, 1, Wood)
        assert [type(wheel) for wheel in cart.wheels] == [Wood, Rubber]
    source.change(speed=7, wheel="Rubber", wheels=["Rubber"])
    for _ in range(2):
        assert (cart.speed, source.shed.speed, type(cart.wheel)) == (7, 7, Rubber)
        assert [type(wheel) for wheel in cart.wheels] == [Rubber, Wood]
    source.change()
    assert (cart.speed, cart.name, type(cart.wheel)) == (1, "x", Wood)


def test_the_environment_and_its_components_see_live_options() -> None:
    with Environment.ephemeral(plugins=False, environ={}) as environment:
        environment.register(Wood)
        cart = environment.component(environment.register(Cart))
        before = (environment.log_level, cart.speed, cart.name)
        (environment.path / "concurrence.toml").write_text(
            '[logging]\nlevel = "ERROR"\n[cart]\nspeed = 5\nname = "y"\n'
        )
        level = environment.log.level
        try:
            environment.reload()
        finally:
            environment.log.setLevel(level)
        assert before == ("INFO", 1, "x")
        assert (environment.log_level, cart.speed, cart.name) == ("ERROR", 5, "x")


def test_a_kept_value_is_read_without_asking_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    cart = Source().shed.component(Cart)
    assert cart.speed == 1
    monkeypatch.setattr(Cart.speed, "resolve", None)
    assert cart.speed == 1


def test_a_wrong_value_is_told_at_every_read() -> None:
    cart = Source(speed="fast").shed.component(Cart)
    for _ in range(2):
        with pytest.raises(ConfigError, match="expected an integer"):
            _ = cart.speed


@pytest.mark.parametrize("is_read_before", [False, True])
def test_what_is_assigned_stays_through_changes(is_read_before: bool) -> None:
    source = Source()
    cart, other = source.shed.component(Cart), Source().shed.component(Cart)
    if is_read_before:
        assert cart.speed == 1
    cart.speed = 50  # pyright: ignore[reportAttributeAccessIssue]
    source.change(speed=8)
    assert (cart.speed, Cart.speed.__get__(cart, Cart), cart.speed, other.speed) == (50, 8, 50, 1)
    del cart.speed
    assert cart.speed == 8


def test_an_option_that_a_subclass_hides_is_read_afresh() -> None:
    class Slow(Cart):
        @property
        def speed(self) -> int:
            return Cart.speed.__get__(self, type(self)) // 2

    source = Source(speed=8)
    slow = source.shed.component(source.shed.register(Slow))
    assert (slow.speed, slow.speed) == (4, 4)
    source.change(speed=20)
    assert slow.speed == 10


class Slotted(Component):
    __slots__ = ("load",)
    speed = IntOption("cart", "speed", 1, "How fast.")


class Bare:
    """No dictionary and no weak references."""

    __slots__ = ("manager",)
    speed = IntOption("cart", "speed", 1, "How fast.")

    def __init__(self, manager: ComponentManager) -> None:
        self.manager = manager


class Strong(Bare):
    """A dictionary, but no weak references."""

    __slots__ = ("__dict__",)


def test_objects_of_any_kind_can_read() -> None:
    source = Source(speed=3)
    readers = [source.shed.component(source.shed.register(Slotted)), Bare(source.shed), Strong(source.shed)]
    for expected in (3, 4):
        source.change(speed=expected)
        for reader in readers:
            assert (reader.speed, reader.speed) == (expected, expected)


def test_readers_can_be_equal_and_unhashable() -> None:
    class Equal(Cart):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # pyright: ignore[reportAssignmentType]

    source, others = Source(), Source()
    one = source.shed.component(source.shed.register(Equal))
    two = Equal(source.shed)
    assert (one.speed, two.speed, others.shed.component(Cart).speed) == (1, 1, 1)
    source.change(speed=2)
    assert (one.speed, two.speed) == (2, 2)


def test_readers_are_not_kept_alive() -> None:
    source = Source()
    cart = Cart(source.shed)
    assert cart.speed == 1
    ended = weakref.ref(cart)
    del cart
    gc.collect()
    assert ended() is None
    assert not source.config.reads._reads  # pyright: ignore[reportPrivateUsage]


class Holder:
    """Something that values can be kept in."""

    value: int


def test_only_current_values_are_kept() -> None:
    reads, holder = CachedReads(), Holder()
    assert not reads.keep(holder, "value", 1, lambda: False)
    assert not hasattr(holder, "value")
    assert reads.keep(holder, "value", 2, lambda: True)
    assert holder.value == 2
    reads.forget()
    assert not hasattr(holder, "value")


def test_a_change_during_a_read_is_not_missed() -> None:
    source = Source(speed=1)
    cart = source.shed.component(Cart)
    parse = Cart.speed.convert
    seen: list[int] = []

    def changing(value: ConfigValue) -> int:
        number = parse(value)
        seen.append(number)
        if len(seen) == 1:
            source.change(speed=2)
        return number

    Cart.speed.convert = changing
    try:
        assert cart.speed == 2
        assert cart.speed == 2
    finally:
        del Cart.speed.convert
    assert seen == [1, 2]


def test_threads_that_read_never_keep_an_old_value() -> None:
    source = Source(speed=0)
    cart = source.shed.component(Cart)
    is_over = threading.Event()
    wrong: list[tuple[int, int]] = []

    def read() -> None:
        last = 0
        while not is_over.is_set():
            now = cart.speed
            if now < last:
                wrong.append((last, now))
            last = now

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    stale = 0
    for number in range(1, 400):
        source.change(speed=number)
        stale += cart.speed != number
    is_over.set()
    for thread in threads:
        thread.join(10)
    assert (stale, wrong) == (0, [])


def test_another_config_is_refused_for_its_values_would_not_be_seen() -> None:
    source = Source(speed=2)
    with pytest.raises(AttributeError, match=r"keeps its config.*reload\(\)"):
        source.shed.config = Config()
    assert source.shed.component(Cart).speed == 2


def test_an_overridden_option_does_not_share_its_cache() -> None:
    class Van(Cart):
        speed = IntOption("van", "speed", 5, "How fast a van is.")

        def of_cart(self) -> int:
            return Cart.speed.__get__(self, Cart)

    source = Source(speed=4)
    van = source.shed.component(source.shed.register(Van))
    assert (van.of_cart(), van.speed, van.of_cart(), van.speed) == (4, 5, 4, 5)
