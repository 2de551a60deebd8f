"""The plug-in core: interfaces, components, extension points, and the manager that ties them together.

A component implements interfaces by inheriting them, ``class Foo(Component, IFoo)``, and is checked against
them when its class is defined. It exists once per :class:`ComponentManager` and meets other components only
through an :class:`ExtensionPoint`.
"""

from __future__ import annotations

import difflib
import inspect
import threading
from abc import ABC
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, cast, overload

from concurrence.errors import ComponentError, ConcurrenceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_METHOD, _ASYNC, _PROPERTY, _ATTRIBUTE = "a method", "an async method", "a property", "an attribute"


class Interface(ABC):  # noqa: B024  what is abstract is for the interfaces below to say
    """An abstract contract; its docstring and those of its methods are its reference documentation."""

    if not TYPE_CHECKING:  # a checker would compare this __new__ with the __init__ of every implementation

        def __new__(cls, *args, **kwargs):
            """Refuse to instantiate an interface, even one whose methods all have defaults."""
            if cls is Interface or (Interface in cls.__bases__ and not issubclass(cls, Component)):
                raise ComponentError(
                    f"{identity(cls)} is an interface and cannot be instantiated",
                    hint=f"Instantiate an implementation: class Foo(Component, {cls.__name__}).",
                )
            return super().__new__(cls)


T = TypeVar("T", bound=Interface)


class Component:
    """An implementation of interfaces: one object per manager, made when it is first needed.

    A base class for other components says so with the class keyword: ``class Base(Component, abstract=True)``.

    Args:
        manager: The manager that the component belongs to.
    """

    is_abstract: ClassVar[bool] = True

    def __init__(self, manager: ComponentManager) -> None:
        self.manager = manager

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: object) -> None:
        """Check the new class against its interfaces.

        Args:
            abstract: Whether the class is a base for other components and may lack methods.
            kwargs: Class keywords of further base classes.

        Raises:
            ComponentError: A method is missing, of the wrong kind, or takes other arguments.
        """
        super().__init_subclass__(**kwargs)
        cls.is_abstract = abstract
        problems = list(_problems(cls, abstract=abstract))
        if problems:
            raise ComponentError(f"component {identity(cls)} is incomplete:\n    " + "\n    ".join(problems))


C = TypeVar("C", bound=Component)


class ExtensionPoint(Generic[T]):
    """The active components that implement an interface, as an attribute of a component or a manager.

    Args:
        interface: The interface whose implementations are wanted.
    """

    def __init__(self, interface: type[T]) -> None:
        self.interface = interface

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Component | ComponentManager, owner: type) -> list[T]: ...
    def __get__(self, instance: Component | ComponentManager | None, owner: type) -> Self | list[T]:
        if instance is None:
            return self
        manager = instance if isinstance(instance, ComponentManager) else instance.manager
        return manager.implementations(self.interface)

    def __repr__(self) -> str:
        return f"ExtensionPoint({identity(self.interface)})"


class ComponentManager:
    """Knows the component classes, and holds at most one object of each."""

    def __init__(self) -> None:
        self._classes: dict[type[Component], None] = {}
        self._instances: dict[type[Component], Component] = {}
        self._implementations: dict[type[Interface], tuple[object, ...]] = {}
        self._activating: list[type[Component]] = []
        self._lock = threading.RLock()

    def register(self, cls: type[C]) -> type[C]:
        """Make a component class known; repeating it changes nothing.

        Args:
            cls: A concrete component class.

        Returns:
            The class, so that this can be used as a decorator.

        Raises:
            ComponentError: The class is abstract, or another one has its identity.
        """
        if cls.is_abstract:
            raise ComponentError(f"{identity(cls)} is abstract; only concrete components can be registered")
        with self._lock:
            if cls not in self._classes:
                if any(identity(known) == identity(cls) for known in self._classes):
                    raise ComponentError(f"another component is already registered as {identity(cls)}")
                self._classes[cls] = None
                self._implementations.clear()
        return cls

    def registered(self) -> list[type[Component]]:
        """The known component classes in order of registration, disabled ones included."""
        return list(self._classes)

    def component(self, cls: type[C]) -> C:
        """The one object of a component class, made now if this is its first use.

        Args:
            cls: A registered, enabled component class.

        Raises:
            ComponentError: The class is unknown or disabled, its constructor fails, or it needs itself.
            ConfigError: An option that the constructor reads has a wrong value.
        """
        found = self._instances.get(cls)
        return cast("C", found) if found is not None else self._activate(cls)

    def implementation_classes(self, interface: type[Interface]) -> list[type[Component]]:
        """The enabled component classes that implement an interface, in order."""
        classes = [cls for cls in self._classes if issubclass(cls, interface) and self.is_enabled(cls)]
        return self.order(interface, classes)

    def implementations(self, interface: type[T]) -> list[T]:
        """The components that implement an interface, in order; they are activated if need be.

        Raises:
            ComponentError: One of them cannot be activated.
        """
        found = self._implementations.get(interface)
        if found is None:
            with self._lock:
                found = tuple(self.component(cls) for cls in self.implementation_classes(interface))
                self._implementations[interface] = found
        return cast("list[T]", list(found))

    def find(
        self, interface: type[Interface], name: str, among: Sequence[type[Component]] | None = None
    ) -> type[Component]:
        """The registered implementation that a name means.

        Args:
            interface: The interface it must implement.
            name: ``module:Class``, a class name, or one without regard to case, ``-`` and ``_``.
            among: The classes that it can mean; by default all that are registered.

        Raises:
            UsageError: No implementation is called so; the text tells the nearest name and all others.
            ComponentError: Several are.
        """
        classes = self._classes if among is None else among
        known = [cls for cls in classes if issubclass(cls, interface)]
        matches = (
            [cls for cls in known if identity(cls) == name]
            or [cls for cls in known if cls.__name__ == name]
            or [cls for cls in known if _plain(cls.__name__) == _plain(name)]
        )
        if len(matches) > 1:
            names = " and ".join(identity(cls) for cls in matches)
            raise ComponentError(f"{name!r} is ambiguous: it means {names}", hint="Write module:Class.")
        if not matches:
            raise self._unknown(interface, name, known)
        return matches[0]

    def implementation(self, interface: type[T], name: str) -> T:
        """The component that implements an interface and has a name; see :meth:`find` and :meth:`component`."""
        return cast("T", self.component(self.find(interface, name)))

    def is_enabled(self, cls: type[Component]) -> bool:
        """Hook: whether a component takes part; all do unless a subclass says otherwise."""
        return True

    def order(
        self,
        interface: type[Interface],
        classes: Sequence[type[Component]],
    ) -> list[type[Component]]:
        """Hook: put the enabled implementations of an interface in order; that of registration by default."""
        return list(classes)

    def component_activated(self, component: Component) -> None:
        """Hook: called once for each component, after its constructor."""

    def _activate(self, cls: type[C]) -> C:
        with self._lock:
            if cls in self._instances:
                return cast("C", self._instances[cls])
            self._check_activation(cls)
            self._activating.append(cls)
            try:
                made = cls(self)
                self._check_made(made)
                self._instances[cls] = made
                self.component_activated(made)
            except ConcurrenceError:
                self._instances.pop(cls, None)
                raise
            except Exception as error:
                self._instances.pop(cls, None)
                chain = " -> ".join(identity(link) for link in self._activating)
                reason = f"{type(error).__name__}: {error}"
                raise ComponentError(f"component {chain} could not be activated: {reason}") from error
            finally:
                self._activating.pop()
        return made

    def _check_activation(self, cls: type[Component]) -> None:
        if cls in self._activating:
            chain = [*self._activating[self._activating.index(cls) :], cls]
            raise ComponentError(
                "components need each other while they are made: " + " -> ".join(identity(link) for link in chain),
                hint="Read the extension point when it is needed instead of in the constructor.",
            )
        if cls not in self._classes:
            raise ComponentError(f"component {identity(cls)} is not registered")
        if not self.is_enabled(cls):
            raise ComponentError(f"component {identity(cls)} is disabled", hint="Enable it in [components].")

    def _check_made(self, component: Component) -> None:
        if getattr(component, "manager", None) is not self:
            raise ComponentError(f"{identity(type(component))}.__init__ does not call super().__init__(manager)")

    def _unknown(self, interface: type[Interface], name: str, known: Sequence[type[Component]]) -> UsageError:
        names = {_plain(cls.__name__): cls.__name__ for cls in known}
        names |= {_plain(identity(cls)): identity(cls) for cls in known}
        near = difflib.get_close_matches(_plain(name), names, n=1)
        guess = f"Did you mean {names[near[0]]}? " if near else ""
        counts = Counter(cls.__name__ for cls in known)
        words = [cls.__name__ if counts[cls.__name__] == 1 else identity(cls) for cls in known]
        listing = ", ".join(sorted(words, key=str.casefold)) or "none"
        return UsageError(f"no {interface.__name__} is called {name!r}", hint=f"{guess}Known: {listing}.")


def identity(cls: type) -> str:
    """The full name of a class, as config files write it: ``module:Class``."""
    return f"{cls.__module__}:{cls.__qualname__}"


def interfaces(cls: type[Component]) -> list[type[Interface]]:
    """The interfaces that a component class implements, the nearest first."""
    return [base for base in cls.__mro__ if _is_interface(base)]


def _is_interface(cls: type) -> bool:
    return issubclass(cls, Interface) and not issubclass(cls, Component) and cls is not Interface


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").casefold()


def _is_missing(attribute: object) -> bool:
    return getattr(attribute, "__isabstractmethod__", False) is True


def _problems(cls: type[Component], *, abstract: bool) -> Iterator[str]:
    for base in cls.__mro__[1:]:
        for name, declared in vars(base).items():
            if not _is_missing(declared) and (not _is_interface(base) or name.startswith("_")):
                continue
            found = cast("object", inspect.getattr_static(cls, name))
            if found is not declared:
                problem = _difference(declared, found)
            else:
                problem = "is missing" if _is_missing(declared) and not abstract else ""
            if problem:
                yield f"{cls.__name__}.{name} {problem}, declared in {identity(base)}"


def _difference(declared: object, found: object) -> str:
    wanted, given = _kind(declared), _kind(found)
    if wanted == _ATTRIBUTE or (wanted == _PROPERTY and given == _ATTRIBUTE):
        return ""
    if wanted == _ASYNC and given == _METHOD:
        given = _kind(inspect.unwrap(_function(found)))
    if wanted != given:
        return f"is {given} instead of {wanted}"
    if wanted == _PROPERTY:
        return ""
    theirs, ours = _signature(declared), _signature(found)
    return "" if theirs is None or ours is None else _mismatch(theirs, ours)


def _function(attribute: object) -> Any:
    if isinstance(attribute, staticmethod | classmethod):
        return cast("Any", attribute).__func__
    return attribute


def _kind(attribute: object) -> str:
    function = _function(attribute)
    if isinstance(function, property | cached_property):
        return _PROPERTY
    if inspect.iscoroutinefunction(function):
        return _ASYNC
    return _METHOD if callable(function) and not isinstance(function, type) else _ATTRIBUTE


def _signature(attribute: object) -> inspect.Signature | None:
    function = _function(attribute)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    parameters = list(signature.parameters.values())
    is_bound = inspect.isfunction(function) and not isinstance(attribute, staticmethod)
    if is_bound and parameters and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        del parameters[0]
    return signature.replace(parameters=parameters)


def _mismatch(theirs: inspect.Signature, ours: inspect.Signature) -> str:
    """Why some call that the interface allows would fail on the implementation; empty if none would."""
    for positional, keywords in _calls(theirs):
        try:
            ours.bind(*positional, **dict.fromkeys(keywords))
        except TypeError as error:
            call = ", ".join([*positional, *(f"{name}=..." for name in keywords)])
            return f"cannot be called with ({call}): {error}"
    return ""


def _calls(signature: inspect.Signature) -> Iterator[tuple[list[str], list[str]]]:
    """Calls that represent all that a signature allows: names of positional arguments, then of keywords."""
    kinds = inspect.Parameter
    every = list(signature.parameters.values())
    extra_positional = ["*" + p.name for p in every if p.kind is kinds.VAR_POSITIONAL]
    extra_keywords = ["any_other" for p in every if p.kind is kinds.VAR_KEYWORD]
    named = [p for p in every if p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)]
    by_place = [p for p in named if p.kind is not kinds.KEYWORD_ONLY]
    for count in range(len(by_place) + 1):
        first, rest = by_place[:count], [p for p in named if p not in by_place[:count]]
        optional = [p for p in rest if p.default is not kinds.empty and p.kind is not kinds.POSITIONAL_ONLY]
        required = [p for p in rest if p.default is kinds.empty]
        if any(p.kind is kinds.POSITIONAL_ONLY for p in required):
            continue
        places = [p.name for p in first]
        yield places, [p.name for p in required]
        yield places, [p.name for p in (*required, *optional)] + extra_keywords
        if count == len(by_place):
            yield places + extra_positional, [p.name for p in required]
