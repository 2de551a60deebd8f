"""Activation of components: what fails is told with chain, place and cause, and leaves nothing behind."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from concurrence.component import Component, ComponentManager, ExtensionPoint, Interface, identity
from concurrence.errors import AddressInUse, ComponentError, ConcurrenceError, ConfigError


class IPart(Interface):
    """A part of something."""


class Outer(Component):
    """Needs Middle, which needs Inner."""

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        manager.component(Middle)


class Middle(Component):
    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        manager.component(Inner)


class Inner(Component, IPart):
    """Does what it is told to."""

    @staticmethod
    def act() -> object:
        return None

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        type(self).act()


class Whole(Component):
    parts = ExtensionPoint(IPart)

    def __init__(self, manager: ComponentManager) -> None:
        super().__init__(manager)
        self.found = self.parts


CHAIN = f"{identity(Outer)} -> {identity(Middle)} -> {identity(Inner)}"


class Manager(ComponentManager):
    """Has a hook that does what it is told to."""

    def __init__(self, *classes: type[Component]) -> None:
        super().__init__()
        self.on_activated: Callable[[Component], object] = lambda _component: None
        self.off: set[type[Component]] = set()
        for cls in classes:
            self.register(cls)

    def component_activated(self, component: Component) -> None:
        self.on_activated(component)

    def is_enabled(self, cls: type[Component]) -> bool:
        return cls not in self.off


def raising(error: BaseException) -> Any:
    def act() -> None:
        raise error

    return staticmethod(act)


PLACE = f"{__file__}:{inspect.getsourcelines(raising)[1] + 2}"


def test_a_failing_constructor_is_told_with_chain_place_and_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Manager(Outer, Middle, Inner)
    cause = ValueError("no luck")
    monkeypatch.setattr(Inner, "act", raising(cause))
    for _ in range(2):
        with pytest.raises(ComponentError) as caught:
            manager.component(Outer)
        assert str(caught.value) == (f"component {CHAIN} could not be activated: ValueError: no luck ({PLACE})")
        assert caught.value.__cause__ is cause
        assert caught.value.__context__ is cause
    monkeypatch.undo()
    assert manager.component(Outer) is manager.component(Outer)


def test_the_place_is_the_authors_line_not_the_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inner, "act", staticmethod(lambda: json.loads("{")))
    with pytest.raises(ComponentError, match=r"JSONDecodeError: .* \(.*test_activation\.py:\d+\)$"):
        Manager(Inner).component(Inner)


def test_a_constructor_of_other_arguments_is_told_so() -> None:
    class Greedy(Component):
        def __init__(self, manager: ComponentManager, more: int) -> None:
            super().__init__(manager)

    with pytest.raises(
        ComponentError, match=r"missing 1 required .*'more' \(the arguments of .*Greedy\.__init__\)"
    ):
        Manager(Greedy).component(Greedy)


def test_errors_of_concurrent_keep_class_place_and_hint_and_name_the_chain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for make in (
        lambda: ConfigError("wrong", source="x.toml", line=3, hint="Do better."),
        lambda: AddressInUse("port 5 is taken", hint="Do better."),
    ):
        error: ConcurrenceError = make()
        text = error.message
        monkeypatch.setattr(Inner, "act", raising(error))
        for _ in range(2):
            with pytest.raises(type(error)) as caught:
                Manager(Outer, Middle, Inner).component(Outer)
            assert caught.value is error
            assert str(error) == f"{text} (while {CHAIN} was activated)\n  Do better."
        if isinstance(error, ConfigError):
            assert (error.source, error.line) == ("x.toml", 3)


def test_a_config_error_of_one_component_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inner, "act", raising(ConfigError("wrong", source="x.toml", line=3)))
    with pytest.raises(ConfigError) as caught:
        Manager(Inner).component(Inner)
    assert str(caught.value) == "x.toml:3: wrong"


def test_a_component_that_another_needs_is_disabled_or_unknown() -> None:
    manager = Manager(Middle, Inner)
    manager.off.add(Inner)
    while_activated = rf"\(while {identity(Middle)} was activated\)"
    with pytest.raises(ComponentError, match=rf"{identity(Inner)} is disabled {while_activated}"):
        manager.component(Middle)
    with pytest.raises(ComponentError, match=rf"{identity(Inner)} is not registered {while_activated}"):
        Manager(Middle).component(Middle)


def test_a_failing_implementation_fails_its_extension_point_and_what_reads_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manager = Manager(Whole, Inner)
    monkeypatch.setattr(Inner, "act", raising(RuntimeError("broken")))
    for _ in range(2):
        with pytest.raises(
            ComponentError, match=rf"{identity(Whole)} -> {identity(Inner)} .*RuntimeError: broken"
        ):
            manager.component(Whole)
    monkeypatch.undo()
    assert manager.component(Whole).found == [manager.component(Inner)]


def test_a_cycle_is_told_with_its_chain_once() -> None:
    class First(Component):
        def __init__(self, manager: ComponentManager) -> None:
            super().__init__(manager)
            manager.component(Second)

    class Second(Component):
        def __init__(self, manager: ComponentManager) -> None:
            super().__init__(manager)
            manager.component(First)

    manager = Manager(First, Second)
    for _ in range(2):
        with pytest.raises(ComponentError) as caught:
            manager.component(First)
        names = " -> ".join(map(identity, (First, Second, First)))
        assert caught.value.message == f"components need each other while they are made: {names}"


def test_a_constructor_that_forgets_its_base_is_named() -> None:
    class Forgetful(Component):
        def __init__(self, manager: ComponentManager) -> None:
            pass

    class User(Component):
        def __init__(self, manager: ComponentManager) -> None:
            super().__init__(manager)
            manager.component(Forgetful)

    with pytest.raises(
        ComponentError, match=r"Forgetful\.__init__ does not call super\(\)\.__init__\(manager\)\n"
    ):
        Manager(Forgetful).component(Forgetful)
    with pytest.raises(ComponentError, match=rf"Forgetful\.__init__ .*\(while {identity(User)} -> "):
        Manager(Forgetful, User).component(User)


def test_a_component_of_another_manager_or_class_is_refused() -> None:
    class Stolen(Component):
        def __init__(self, manager: ComponentManager) -> None:
            super().__init__(Manager())

    class Changeling(Component):
        def __new__(cls, manager: ComponentManager) -> Any:
            return Inner(manager)

    with pytest.raises(ComponentError, match=r"Stolen\.__init__ does not call super"):
        Manager(Stolen).component(Stolen)
    with pytest.raises(ComponentError, match=rf"Changeling\.__new__ makes an object of {identity(Inner)}"):
        Manager(Changeling).component(Changeling)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("is_in_hook", [False, True])
def test_an_interrupted_activation_can_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, is_in_hook: bool
) -> None:
    manager = Manager(Outer, Middle, Inner)
    act = raising(error)
    if is_in_hook:
        manager.on_activated = lambda _component: act()
    else:
        monkeypatch.setattr(Inner, "act", act)
    with pytest.raises(type(error)) as caught:
        manager.component(Outer)
    assert caught.value is error
    monkeypatch.undo()
    made: list[Component] = []
    manager.on_activated = made.append
    outer = manager.component(Outer)
    assert made == [manager.component(Inner), manager.component(Middle), outer]


def test_a_failing_hook_leaves_no_component_behind() -> None:
    manager = Manager(Inner)
    manager.on_activated = lambda _component: dict[str, int]()["nothing"]
    with pytest.raises(ComponentError, match="KeyError: 'nothing'"):
        manager.component(Inner)
    made: list[Component] = []
    manager.on_activated = made.append
    inner = manager.component(Inner)
    assert made == [inner]


def test_the_hook_may_ask_for_the_component() -> None:
    manager, seen = Manager(Inner), list[Component]()
    manager.on_activated = lambda component: seen.append(manager.component(type(component)))
    assert manager.component(Inner) is seen[0]


def test_a_component_without_length_is_made_once() -> None:
    class Empty(Component):
        def __len__(self) -> int:
            return 0

    manager = Manager(Empty)
    assert manager.component(Empty) is manager.component(Empty)


def test_threads_at_once_get_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inner, "act", act := _Slow())
    manager = Manager(Outer, Middle, Inner)
    barrier = threading.Barrier(4)
    found: list[Component] = []

    def use(cls: type[Component]) -> None:
        barrier.wait(10)
        found.append(manager.component(cls))

    threads = [threading.Thread(target=use, args=(cls,)) for cls in (Outer, Inner, Outer, Inner)]
    for thread in threads:
        thread.start()
    assert act.is_begun.wait(10)
    assert not found
    act.may_end.set()
    for thread in threads:
        thread.join(10)
    assert act.count == 1
    assert len(found) == 4
    assert set(found) == {manager.component(Outer), manager.component(Inner)}


class _Slow:
    """Counts its calls, and holds each up until it may end."""

    def __init__(self) -> None:
        self.count = 0
        self.is_begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> None:
        self.count += 1
        self.is_begun.set()
        assert self.may_end.wait(10)


# --- attributes that an interface declares with a type alone ---


class INamed(Interface):
    """Something with a name."""

    name: str
    _secret: str


def activated(cls: type[Component]) -> Component:
    manager = ComponentManager()
    return manager.component(manager.register(cls))


def test_an_attribute_that_nobody_sets_is_missed_when_the_constructor_has_run() -> None:
    class Nameless(Component, INamed):
        pass

    with pytest.raises(ComponentError) as caught:
        activated(Nameless)
    assert "Nameless.name is missing, declared in" in str(caught.value)
    assert "INamed as an attribute" in str(caught.value)
    assert "set it in __init__" in caught.value.hint
    assert "_secret" not in str(caught.value)


def test_an_attribute_may_come_from_anywhere() -> None:
    class ByConstructor(Component, INamed):
        def __init__(self, manager: ComponentManager) -> None:
            super().__init__(manager)
            self.name = "one"

    class ByClass(Component, INamed):
        name = "two"

    class ByProperty(Component, INamed):
        @property
        def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
            raise AssertionError("looking must not read")

    class ByChance(Component, INamed):
        def __getattr__(self, name: str) -> str:
            return name

    for cls in (ByConstructor, ByClass, ByProperty, ByChance):
        assert isinstance(activated(cls), cls)
