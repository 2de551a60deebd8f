"""Interfaces: what is refused when the class of a component is defined, and what is not."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from concurrence.component import Component, Interface
from concurrence.errors import ComponentError


class IGreeter(Interface):
    """Greets people."""

    @abstractmethod
    def greet(self, name: str, times: int = 1) -> str:
        """The greeting."""

    def farewell(self, name: str) -> str:
        """What to say at the end."""
        return f"bye {name}"


class IMarker(Interface):
    """Has no methods at all."""


class English(Component, IGreeter):
    def greet(self, name: str, times: int = 1) -> str:
        return f"hello {name}" * times


def define(method: object, interface: type[Interface] = IGreeter, name: str = "greet") -> type[Component]:
    return type("Bad", (Component, interface), {name: method})


def test_missing_method_names_class_interface_and_method() -> None:
    with pytest.raises(ComponentError) as caught:
        type("Mute", (Component, IGreeter), {})
    assert "Mute.greet is missing" in str(caught.value)
    assert "IGreeter" in str(caught.value)


def test_all_missing_methods_are_named_at_once() -> None:
    class ITwo(Interface):
        @abstractmethod
        def one(self) -> None: ...
        @abstractmethod
        def two(self) -> None: ...

    with pytest.raises(ComponentError, match=r"(?s)one is missing.*two is missing"):
        type("None_", (Component, ITwo), {})


def test_abstract_base_may_lack_methods_but_not_its_children() -> None:
    class Base(Component, IGreeter, abstract=True):
        @abstractmethod
        def word(self) -> str: ...

        def greet(self, name: str, times: int = 1) -> str:
            return self.word() + name

    with pytest.raises(ComponentError, match=r"Child\.word is missing, declared in .*Base"):
        type("Child", (Base,), {})

    class Good(Base):
        def word(self) -> str:
            return "hi "

    assert Base.is_abstract
    assert not Good.is_abstract


def test_abstract_base_is_checked_for_what_it_has() -> None:
    with pytest.raises(ComponentError, match="cannot be called"):

        class Base(Component, IGreeter, abstract=True):  # pyright: ignore[reportUnusedClass]
            def farewell(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
                return ""


def no_name(self: Any) -> str:
    return ""


def other_name(self: Any, person: str, times: int = 1) -> str:
    return ""


def required(self: Any, name: str, times: int) -> str:
    return ""


def extra(self: Any, name: str, times: int = 1, *, loud: bool) -> str:
    return ""


def swapped(self: Any, times: int = 1, name: str = "") -> str:
    return ""


def keyword_only(self: Any, name: str, *, times: int = 1) -> str:
    return ""


def positional_only(self: Any, name: str, times: int = 1, /) -> str:
    return ""


@pytest.mark.parametrize("method", [no_name, other_name, required, extra, swapped, keyword_only, positional_only])
def test_incompatible_arguments_are_refused(method: Callable[..., str]) -> None:
    with pytest.raises(ComponentError, match=r"Bad\.greet cannot be called with \("):
        define(method)


def more_optional(self: Any, name: str, times: int = 1, loud: bool = False, *, far: bool = False) -> str:
    return ""


def anything(self: Any, *args: object, **kwargs: object) -> str:
    return ""


def all_packed(*args: object, **kwargs: object) -> str:
    return ""


def generator(self: Any, name: str, times: int = 1) -> Iterator[str]:
    yield ""


@functools.wraps(generator)
def wrapped(*args: Any, **kwargs: Any) -> Iterator[str]:
    return generator(*args, **kwargs)


def no_self(name: str, times: int = 1) -> str:
    return ""


@pytest.mark.parametrize(
    "method",
    [more_optional, anything, all_packed, generator, wrapped, staticmethod(no_self), classmethod(generator)],
)
def test_every_call_that_the_interface_allows_suffices(method: object) -> None:
    assert not define(method).is_abstract


def test_variable_arguments_of_the_interface_are_required() -> None:
    class ILog(Interface):
        @abstractmethod
        def log(self, text: str, *args: object, **fields: object) -> None: ...

    def no_args(self: Any, text: str, **fields: object) -> None: ...
    def no_fields(self: Any, text: str, *args: object) -> None: ...
    def both(self: Any, text: str, *args: object, **fields: object) -> None: ...

    for method in (no_args, no_fields):
        with pytest.raises(ComponentError, match="cannot be called"):
            define(method, ILog, "log")
    define(both, ILog, "log")


def test_keyword_and_positional_only_arguments_of_the_interface() -> None:
    class IMix(Interface):
        @abstractmethod
        def mix(self, first: int, /, second: int, *, third: int = 0) -> None: ...

    def renamed_first(self: Any, start: int, second: int, third: int = 0) -> None: ...
    def no_third(self: Any, first: int, second: int) -> None: ...
    def needs_third(self: Any, first: int, second: int, *, third: int) -> None: ...

    define(renamed_first, IMix, "mix")
    for method in (no_third, needs_third):
        with pytest.raises(ComponentError, match="cannot be called"):
            define(method, IMix, "mix")


def test_default_methods_of_the_interface_are_checked_too() -> None:
    def farewell(self: Any) -> str:
        return ""

    with pytest.raises(ComponentError, match=r"\.farewell cannot be called"):
        type("Bad", (English,), {"farewell": farewell})


class IKinds(Interface):
    @abstractmethod
    def method(self) -> int: ...
    @abstractmethod
    async def later(self) -> int: ...
    @property
    @abstractmethod
    def size(self) -> int: ...


def method(self: Any) -> int:
    return 1


async def later(self: Any) -> int:
    return 1


@functools.wraps(later)
def wrapped_later(self: Any) -> Any:
    return later(self)


def size(self: Any) -> int:
    return 1


GOOD: dict[str, object] = {"method": method, "later": later, "size": property(size)}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("method", 5, "an attribute instead of a method"),
        ("method", later, "an async method instead of a method"),
        ("method", property(size), "a property instead of a method"),
        ("method", int, "an attribute instead of a method"),
        ("later", method, "a method instead of an async method"),
        ("size", size, "a method instead of a property"),
    ],
)
def test_wrong_kind_is_refused(name: str, value: object, reason: str) -> None:
    with pytest.raises(ComponentError, match=rf"Bad\.{name} is {reason}, declared in .*IKinds"):
        type("Bad", (Component, IKinds), GOOD | {name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("size", 5), ("size", functools.cached_property(size)), ("later", wrapped_later)]
)
def test_other_kinds_that_serve_are_accepted(name: str, value: object) -> None:
    type("Good", (Component, IKinds), GOOD | {name: value})


def test_interfaces_cannot_be_instantiated() -> None:
    with pytest.raises(ComponentError, match="is an interface"):
        IMarker()
    with pytest.raises(ComponentError, match="is an interface"):
        Interface()

    class Plain(IMarker):
        def __init__(self, value: int) -> None:
            self.value = value

    assert Plain(3).value == 3


# What it is told with


def test_the_message_gives_the_declaration_to_copy() -> None:
    with pytest.raises(ComponentError) as caught:
        type("Bad", (Component, IKinds), {"size": 1, "__module__": __name__})
    lines = str(caught.value).splitlines()
    assert lines[0] == f"component {__name__}:Bad is incomplete:"
    kinds = f"declared in {__name__}:IKinds as"
    assert lines[1].strip() == f"Bad.method is missing, {kinds} def method(self) -> int"
    assert lines[2].strip() == f"Bad.later is missing, {kinds} async def later(self) -> int"
    with pytest.raises(ComponentError, match=r"as def greet\(self, name: str, times: int = 1\) -> str$"):
        define(no_name)
    with pytest.raises(ComponentError, match=r"as a property size$"):
        type("Bad", (Component, IKinds), GOOD | {"size": size})


def test_an_implementation_behind_its_interface_is_explained() -> None:
    class Mixin:
        def greet(self, name: str, times: int = 1) -> str:
            return name

    with pytest.raises(ComponentError, match=r"greet is missing \(Mixin has it, but must stand before IGreeter\)"):
        type("Bad", (Component, IGreeter, Mixin), {})
    assert not type("Good", (Component, Mixin, IGreeter), {}).is_abstract


def test_a_mixin_is_checked_like_the_class_itself() -> None:
    class Mixin:
        def greet(self) -> str:
            return ""

    with pytest.raises(ComponentError, match=r"Bad\.greet cannot be called with"):
        type("Bad", (Mixin, Component, IGreeter), {})


def test_an_abstract_method_in_a_class_that_is_not() -> None:
    with pytest.raises(ComponentError, match=r"Base\.word is abstract in a class that is not: say abstract=True"):

        class Base(Component):  # pyright: ignore[reportUnusedClass]
            @abstractmethod
            def word(self) -> str: ...
