"""The plug-in core: interfaces, components, extension points, and the manager that ties them together.

A component implements interfaces by inheriting them, ``class Foo(Component, IFoo)``, and is checked against
them when its class is defined. It exists once per :class:`ComponentManager` and meets other components only
through an :class:`ExtensionPoint`.
"""

from __future__ import annotations

import sys
import threading
from abc import ABC
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, cast, get_origin, overload

from concurrence.contracts import broken_promises, missing_attributes
from concurrence.errors import ComponentError, ConcurrenceError, UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType


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
        problems = list(broken_promises(cls, _is_interface, abstract=abstract))
        if problems:
            raise ComponentError(f"component {identity(cls)} is incomplete:\n    " + "\n    ".join(problems))


C = TypeVar("C", bound=Component)

_MANAGER_HINT = "Take the manager and hand it on: def __init__(self, manager): super().__init__(manager)."


class ExtensionPoint(Generic[T]):
    """The active components that implement an interface, as an attribute of a component or a manager.

    Args:
        interface: The interface whose implementations are wanted.
    """

    def __init__(self, interface: type[T]) -> None:
        self.interface = interface_class(interface)

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
        self._instances: dict[type[Component], Any] = {}
        self._fresh: dict[type[Component], Any] = {}
        self._implementations: dict[type[Interface], tuple[Any, ...]] = {}
        self._activating: list[type[Component]] = []
        self._lock = threading.RLock()

    def __setattr__(self, name: str, value: object) -> None:
        # Components keep what they read from it.
        if name == "config" and name in vars(self):
            raise AttributeError("a manager keeps its config; change its layers and call reload()")
        super().__setattr__(name, value)

    def register(self, cls: type[C]) -> type[C]:
        """Make a component class known; repeating it changes nothing.

        Args:
            cls: A concrete component class.

        Returns:
            The class, so that this can be used as a decorator.

        Raises:
            ComponentError: It is no component class, it is abstract, or another one has its identity.
        """
        if not (isinstance(cls, type) and issubclass(cls, Component)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ComponentError(
                f"{cls!r:.200} is no component class", hint="Derive it: class Foo(Component, IFoo)."
            )
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
        try:
            return self._instances[cls]
        except KeyError:
            pass  # so that a failing constructor is not told of it
        return self._activate(cls)

    def implementation_classes(self, interface: type[Interface]) -> list[type[Component]]:
        """The enabled component classes that implement an interface, in order."""
        interface = interface_class(interface)
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
                found = tuple(cast("T", self.component(cls)) for cls in self.implementation_classes(interface))
                self._implementations[interface] = found
        return list(found)

    def find(
        self, interface: type[Interface], name: str, among: Sequence[type[Component]] | None = None
    ) -> type[Component]:
        """The registered implementation that a name means.

        Args:
            interface: The interface it must implement.
            name: ``module:Class``, a class name, or one without regard to case, ``-`` and ``_``; for
                ``IFoo``, ``Foo`` may be left out at the end: ``tcp`` is ``TCPTransport``.
            among: The classes that it can mean; by default all that are registered.

        Raises:
            UsageError: No implementation is called so; the text tells the nearest name and all others.
            ComponentError: Several are.
        """
        interface = interface_class(interface)
        classes = self._classes if among is None else among
        known = [cls for cls in classes if issubclass(cls, interface)]
        matches = (
            [cls for cls in known if identity(cls) == name]
            or [cls for cls in known if cls.__name__ == name]
            or [cls for cls in known if _plain(cls.__name__) == _plain(name)]
            or [cls for cls in known if _plain(cls.__name__) == _plain(name + interface.__name__[1:])]
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
            # Another thread has made it meanwhile; or it is asked for by its own hook.
            for made_before in (self._instances, self._fresh):
                if cls in made_before:
                    return made_before[cls]
            self._check_activation(cls)
            self._activating.append(cls)
            try:
                made = cls(self)
                self._check_made(cls, made)
                self._fresh[cls] = made
                self.component_activated(made)
                self._instances[cls] = made
            except ConcurrenceError as error:
                self._tell_chain(error)
                raise
            except Exception as error:
                place = f"{type(error).__name__}: {error} ({_place(cls, error.__traceback__)})"
                hint = _MANAGER_HINT if _is_about_manager(error) else ""
                raise ComponentError(
                    f"component {self._chain()} could not be activated: {place}", hint=hint
                ) from error
            finally:
                self._fresh.pop(cls, None)
                self._activating.pop()
        return made

    def _chain(self) -> str:
        return " -> ".join(identity(link) for link in self._activating)

    def _tell_chain(self, error: ConcurrenceError) -> None:
        """Add who was being activated, unless it says so; a user's mistake in one component speaks for itself."""
        is_told = all(identity(link) in error.message for link in self._activating)
        if not is_told and (len(self._activating) > 1 or isinstance(error, ComponentError)):
            error.message += f" (while {self._chain()} was activated)"

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

    def _check_made(self, cls: type[Component], made: object) -> None:
        if not isinstance(made, cls):
            raise ComponentError(f"{identity(cls)}.__new__ makes an object of {identity(type(made))}")
        if getattr(made, "manager", None) is not self:
            raise ComponentError(
                f"{identity(cls)}.__init__ does not call super().__init__(manager)", hint=_MANAGER_HINT
            )
        missing = list(missing_attributes(made, _is_interface))
        if missing:
            raise ComponentError(
                f"component {identity(cls)} is incomplete:\n    " + "\n    ".join(missing),
                hint="Give the class the attribute, or set it in __init__.",
            )

    def _unknown(self, interface: type[Interface], name: str, known: Sequence[type[Component]]) -> UsageError:
        names = {_plain(cls.__name__): cls.__name__ for cls in known}
        names |= {_plain(identity(cls)): identity(cls) for cls in known}
        near = nearest(_plain(name), names)
        guess = f"Did you mean {names[near]}? " if near else ""
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


def interface_class(interface: type[T]) -> type[T]:
    """The class behind an interface: ``IStore`` for ``IStore[int]``, for objects do not know their parameters.

    Raises:
        ComponentError: It is no interface.
    """
    found: Any = get_origin(interface) or interface
    if not (isinstance(found, type) and issubclass(found, Interface)):
        raise ComponentError(f"{found!r} is not an interface", hint="Derive it: class IFoo(Interface).")
    return cast("type[T]", found)


def _is_interface(cls: type) -> bool:
    return issubclass(cls, Interface) and not issubclass(cls, Component) and cls is not Interface


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").casefold()


def _is_about_manager(error: Exception) -> bool:
    """Whether a constructor does not take the manager, or does not hand it on."""
    is_refused = error.__traceback__ is not None and error.__traceback__.tb_next is None
    return isinstance(error, TypeError) and (is_refused or "'manager'" in str(error))


def _place(cls: type[Component], trace: TracebackType | None) -> str:
    """Where a constructor failed: the innermost line in the component's own file, or else in any but this one."""
    own = getattr(sys.modules.get(cls.__module__), "__file__", None)
    lines: dict[str, str] = {}
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename != __file__:
            lines["own" if code.co_filename == own else "other"] = f"{code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return lines.get("own") or lines.get("other") or f"the arguments of {cls.__qualname__}.__init__"
