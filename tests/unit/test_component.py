"""The plug-in core: singletons, extension points, names, activation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import pytest

from concurrence.component import Component, ComponentManager, ExtensionPoint, Interface, identity, interfaces
from concurrence.errors import ComponentError, UsageError


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


class UpperGerman(Component, IGreeter):
    def greet(self, name: str, times: int = 1) -> str:
        return f"servus {name}" * times


class Reception(Component):
    greeters = ExtensionPoint(IGreeter)


class Front(ComponentManager):
    greeters = ExtensionPoint(IGreeter)

    def __init__(self, disabled: Sequence[type] = (), *, backwards: bool = False) -> None:
        super().__init__()
        self.disabled = disabled
        self.backwards = backwards
        self.activated: list[Component] = []

    def is_enabled(self, cls: type[Component]) -> bool:
        return cls not in self.disabled

    def order(self, interface: type[Interface], classes: Sequence[type[Component]]) -> list[type[Component]]:
        return list(reversed(classes)) if self.backwards else list(classes)

    def component_activated(self, component: Component) -> None:
        self.activated.append(component)


def front(*classes: type[Component], disabled: Sequence[type] = (), backwards: bool = False) -> Front:
    manager = Front(disabled, backwards=backwards)
    for cls in classes:
        manager.register(cls)
    return manager


def test_interfaces_of_a_component() -> None:
    class Both(English, IMarker): ...

    assert interfaces(Both) == [IGreeter, IMarker]
    assert interfaces(Reception) == []


def test_a_component_exists_once_per_manager() -> None:
    first, second = front(English), front(English)
    assert first.component(English) is first.component(English)
    assert first.component(English) is not second.component(English)
    assert first.component(English).manager is first


def test_components_are_activated_on_first_use_and_announced_once() -> None:
    manager = front(English, UpperGerman)
    assert manager.activated == []
    english = manager.component(English)
    manager.component(English)
    assert manager.activated == [english]


def test_extension_points_give_implementations_in_order_of_registration() -> None:
    manager = front(UpperGerman, Reception, English)
    expected = [manager.component(UpperGerman), manager.component(English)]
    assert manager.component(Reception).greeters == expected
    assert manager.greeters == expected
    assert isinstance(Reception.greeters, ExtensionPoint)
    manager.greeters.clear()
    assert manager.greeters == expected


def test_later_registrations_are_seen() -> None:
    manager = front(English)
    assert len(manager.greeters) == 1
    manager.register(UpperGerman)
    assert len(manager.greeters) == 2


def test_hooks_decide_on_order_and_participation() -> None:
    assert front(English, UpperGerman, backwards=True).implementation_classes(IGreeter) == [UpperGerman, English]
    manager = front(English, UpperGerman, disabled=[English])
    assert manager.implementation_classes(IGreeter) == [UpperGerman]
    assert manager.greeters == [manager.component(UpperGerman)]
    assert manager.registered() == [English, UpperGerman]
    with pytest.raises(ComponentError, match="English is disabled"):
        manager.component(English)


def test_registering() -> None:
    manager = front(English, English)
    assert manager.registered() == [English]
    twin = type("English", (English,), {"__module__": English.__module__})
    with pytest.raises(ComponentError, match="already registered"):
        manager.register(twin)

    class Base(Component, abstract=True): ...

    with pytest.raises(ComponentError, match="abstract"):
        manager.register(Base)
    with pytest.raises(ComponentError, match="not registered"):
        manager.component(UpperGerman)


def test_managers_share_nothing() -> None:
    first, second = front(English, UpperGerman), front(UpperGerman, backwards=True)
    assert [type(greeter) for greeter in first.greeters] == [English, UpperGerman]
    assert [type(greeter) for greeter in second.greeters] == [UpperGerman]
    second.register(English)
    assert [type(greeter) for greeter in second.greeters] == [English, UpperGerman]
    assert not {id(greeter) for greeter in first.greeters} & {id(greeter) for greeter in second.greeters}
    assert front().registered() == []
    with pytest.raises(ComponentError, match="not registered"):
        front().component(English)


def test_classes_of_the_same_name_from_different_modules() -> None:
    other = type("English", (English,), {"__module__": "elsewhere"})
    manager = front(English, other)
    assert identity(other) == "elsewhere:English"
    assert [type(greeter) for greeter in manager.greeters] == [English, other]
    assert manager.component(other) is not manager.component(English)


@pytest.mark.parametrize(
    "name", [f"{__name__}:UpperGerman", "UpperGerman", "uppergerman", "upper-german", "UPPER_GERMAN"]
)
def test_find_by_name(name: str) -> None:
    manager = front(English, UpperGerman)
    assert manager.find(IGreeter, name) is UpperGerman
    assert manager.implementation(IGreeter, name) is manager.component(UpperGerman)


def test_find_by_a_name_without_that_of_the_interface() -> None:
    class LoudGreeter(Component, IGreeter):
        def greet(self, name: str, times: int = 1) -> str:
            return name.upper()

    loud = type("Loud", (English,), {})
    assert front(English, LoudGreeter).find(IGreeter, "loud") is LoudGreeter
    assert front(English, LoudGreeter, loud).find(IGreeter, "loud") is loud  # a whole name comes first


def test_find_tells_the_nearest_name_and_all_others() -> None:
    with pytest.raises(UsageError) as caught:
        front(English, UpperGerman, Reception).find(IGreeter, "UperGerman")
    text = str(caught.value)
    assert "no IGreeter is called 'UperGerman'" in text
    assert "Did you mean UpperGerman?" in text
    assert "Known: English, UpperGerman." in text
    assert "Reception" not in text


def test_find_lists_full_names_only_where_they_differ_in_nothing_else() -> None:
    other = type("English", (English,), {"__module__": "elsewhere"})
    with pytest.raises(UsageError) as caught:
        front(English, other, UpperGerman).find(IGreeter, "x")
    assert f"Known: elsewhere:English, {identity(English)}, UpperGerman." in str(caught.value)
    with pytest.raises(UsageError, match=r"Known: UpperGerman\."):
        front(English, UpperGerman).find(IGreeter, "English", [UpperGerman])


def test_find_refuses_ambiguous_names_but_exact_ones_win() -> None:
    other = type("English", (English,), {"__module__": "elsewhere"})
    low = type("ENGLISH", (English,), {"__module__": "elsewhere"})
    manager = front(English, other, low)
    with pytest.raises(ComponentError) as caught:
        manager.find(IGreeter, "English")
    assert identity(English) in str(caught.value)
    assert "elsewhere:English" in str(caught.value)
    assert manager.find(IGreeter, "ENGLISH") is low
    assert manager.find(IGreeter, "elsewhere:English") is other
