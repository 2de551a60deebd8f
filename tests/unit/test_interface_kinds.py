"""Interfaces of unusual members: class methods, attributes, properties, overloads, generics, wrapped functions."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, Generic, TypeVar, overload

import pytest

from concurrence.component import Component, ComponentManager, ExtensionPoint, Interface
from concurrence.errors import ComponentError

T = TypeVar("T")


class IGreeter(Interface):
    """Greets people."""

    @abstractmethod
    def greet(self, name: str, times: int = 1) -> str:
        """The greeting."""


def greet(self: Any, name: str, times: int = 1) -> str:
    return name * times


def define(interface: type[Interface], **members: object) -> type[Component]:
    return type("Bad", (Component, interface), members)


def refused(reason: str, interface: type[Interface], **members: object) -> None:
    with pytest.raises(ComponentError, match=reason):
        define(interface, **members)


class Callable_:  # noqa: N801  a callable object
    def __call__(self, name: str, times: int = 1) -> str:
        return name * times


class AsyncCallable:
    async def __call__(self, name: str, times: int = 1) -> str:
        return name * times


# How functions are wrapped


def passing(function: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> str:
        return function(*args, **kwargs)

    return wrapper


def adding(function: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(function)
    def wrapper(self: Any, name: str, times: int = 1) -> str:
        return function(self, "added", name, times)

    return wrapper


def dropping(function: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(function)
    def wrapper(self: Any) -> str:
        return function(self, "name")

    return wrapper


def needs_more(self: Any, more: str, name: str, times: int) -> str:
    return more + name * times


def can_take_more(self: Any, more: str, name: str, times: int = 1) -> str:
    return more + name * times


@pytest.mark.parametrize(
    "member",
    [
        functools.cache(greet),
        functools.lru_cache(maxsize=3)(greet),
        functools.partialmethod(can_take_more, "more"),
        functools.singledispatchmethod(greet),
        staticmethod(functools.partial(greet, None)),
        passing(greet),
        adding(needs_more),
        Callable_(),
    ],
    ids=lambda member: type(member).__name__,
)
def test_whatever_can_be_called_as_declared_is_accepted(member: object) -> None:
    made = ComponentManager()
    component = made.component(made.register(define(IGreeter, greet=member)))
    assert isinstance(component, IGreeter)
    component.greet("x", 1)
    if not isinstance(member, functools.singledispatchmethod):  # it needs something to tell the type by
        component.greet(name="x", times=1)


@pytest.mark.parametrize(
    "member",
    [
        functools.cache(needs_more),
        passing(needs_more),
        dropping(greet),
        functools.partial(needs_more, None),
        functools.partialmethod(needs_more, "more"),
        functools.partialmethod(can_take_more, "more", times=1),
    ],
    ids=lambda member: type(member).__name__,
)
def test_what_cannot_be_called_as_declared_is_refused(member: object) -> None:
    refused(r"Bad\.greet cannot be called with", IGreeter, greet=member)


def test_none_in_place_of_a_method() -> None:
    refused("is an attribute instead of a method", IGreeter, greet=None)


# Class methods and static methods


class IMade(Interface):
    @classmethod
    @abstractmethod
    def make(cls, size: int) -> IMade: ...
    @staticmethod
    @abstractmethod
    def measure(size: int) -> int: ...


def of_object(self: Any, size: int) -> Any: ...
def of_nothing(size: int) -> Any: ...
async def later(cls: Any, size: int) -> Any: ...
def read(self: Any) -> Any: ...


def test_class_methods_must_be_callable_on_the_class() -> None:
    good: dict[str, object] = {"make": classmethod(of_object), "measure": staticmethod(of_nothing)}
    define(IMade, **good)
    define(IMade, make=staticmethod(of_nothing), measure=classmethod(of_object))
    refused(
        r"make is a method instead of a class method.* as @classmethod def make",
        IMade,
        **good | {"make": of_object},
    )
    refused(r"measure is a method instead of a class method", IMade, **good | {"measure": of_object})
    refused(r"make is an async class method instead", IMade, **good | {"make": classmethod(later)})
    refused(r"make cannot be called with", IMade, **good | {"make": classmethod(read)})


# Async


class ILater(Interface):
    @abstractmethod
    async def fetch(self, size: int) -> int: ...
    @abstractmethod
    def stream(self) -> AsyncIterator[int]: ...


async def fetch(self: Any, size: int) -> int:
    return size


async def stream(self: Any) -> AsyncIterator[int]:
    yield 1


def test_async_methods_and_async_generators() -> None:
    define(ILater, fetch=fetch, stream=stream)
    refused("fetch is a method instead of an async method", ILater, fetch=of_object, stream=stream)
    refused("stream is an async method instead of a method", ILater, fetch=fetch, stream=fetch)
    refused("greet is an async method instead of a method", IGreeter, greet=AsyncCallable())


# Attributes and properties


class IData(Interface):
    kind: ClassVar[str]
    limit: ClassVar[int] = 3
    callback: ClassVar[Callable[[], None] | None] = None
    note: str

    @property
    @abstractmethod
    def size(self) -> int: ...

    @functools.cached_property
    @abstractmethod
    def shape(self) -> int: ...

    @property
    def colour(self) -> str:
        return "red"

    @colour.setter
    def colour(self, value: str) -> None: ...


DATA: dict[str, object] = {"kind": "x", "size": 1, "shape": 2}


def test_attributes_and_properties() -> None:
    define(IData, **DATA)
    define(
        IData, **DATA | {"size": property(read), "shape": functools.cached_property(read), "kind": property(read)}
    )
    define(IData, **DATA | {"callback": read, "limit": property(read), "colour": "blue"})
    define(IData, **DATA | {"colour": property(read, of_object)})
    refused(r"kind is missing, declared in .*IData as a class attribute", IData, size=1, shape=2)
    refused(r"shape is missing", IData, kind="x", size=1)
    refused(r"limit is a method instead of an attribute", IData, **DATA | {"limit": read})
    refused(r"shape is a method instead of a property", IData, **DATA | {"shape": read})
    refused(r"colour is a property that cannot be set", IData, **DATA | {"colour": property(read)})


def test_a_class_attribute_may_come_from_an_abstract_base() -> None:
    class Base(Component, IData, abstract=True):
        size = 1  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
        shape = 2  # pyright: ignore[reportAssignmentType]

    assert not type("Good", (Base,), {"kind": "x"}).is_abstract
    with pytest.raises(ComponentError, match="kind is missing"):
        type("Bad", (Base,), {})


# Overloads and generics


class IConverter(Interface):
    @overload
    def convert(self, value: int) -> str: ...
    @overload
    def convert(self, value: str, base: int) -> int: ...
    @abstractmethod
    def convert(self, value: Any, base: Any = 10) -> Any: ...


def test_each_overload_must_be_possible() -> None:
    def one(self: Any, value: Any) -> Any: ...
    def both(self: Any, value: Any, base: Any = 10) -> Any: ...
    def packed(self: Any, value: Any, *rest: Any, **more: Any) -> Any: ...

    define(IConverter, convert=both)
    define(IConverter, convert=packed)
    refused("convert cannot be called with", IConverter, convert=one)


class IPacked(Interface):
    @overload
    def convert(self, value: int) -> str: ...
    @overload
    def convert(self, value: str, base: int) -> int: ...
    @abstractmethod
    def convert(self, *args: Any, **kwargs: Any) -> Any: ...


def test_only_what_the_overloads_allow_must_be_possible() -> None:
    def both(self: Any, value: Any, base: Any = 10) -> Any: ...

    define(IPacked, convert=both)


def test_overloads_without_an_implementation() -> None:
    dummy = overload(greet)
    interface = type("IOnly", (Interface,), {"__module__": __name__, "__qualname__": "IOnly", "pick": dummy})
    define(interface, pick=greet)


class IStore(Interface, Generic[T]):
    @abstractmethod
    def put(self, item: T) -> None: ...
    @abstractmethod
    def get(self) -> T: ...


class Numbers(Component, IStore[int]):
    def put(self, item: int) -> None:
        self.item = item

    def get(self) -> int:
        return self.item


class Store(Component, Generic[T], abstract=True):
    def put(self, item: T) -> None:
        self.item = item


class Texts(Store[str], IStore[str]):
    def get(self) -> str:
        return self.item


class Desk(Component):
    stores = ExtensionPoint(IStore[Any])


def test_an_extension_point_of_what_is_no_interface() -> None:
    for wrong in (int, "IStore", list[int]):
        with pytest.raises(ComponentError, match="is not an interface"):
            ExtensionPoint(wrong)  # pyright: ignore[reportArgumentType]


def test_generic_interfaces() -> None:
    manager = ComponentManager()
    for cls in (Numbers, Texts):
        manager.register(cls)
    assert manager.implementation_classes(IStore) == [Numbers, Texts]
    assert manager.implementations(IStore[int]) == manager.implementations(IStore)
    assert manager.find(IStore[int], "numbers") is Numbers
    assert len(manager.component(manager.register(Desk)).stores) == 2
    refused("get is missing", IStore, put=of_object)
    with pytest.raises(ComponentError, match="get is missing"):
        type("Bad", (Store, IStore), {})
