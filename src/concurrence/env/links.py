"""Who is linked with whom: components, their extension points, and what the config chose. Nothing is activated."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from concurrence.component import Component, ComponentManager, ExtensionPoint, Interface, identity, interfaces
from concurrence.env.config import Config, ConfigValue
from concurrence.env.extension_options import ExtensionOption, OrderedExtensionsOption, find_component
from concurrence.errors import ConcurrenceError


@dataclass(frozen=True, slots=True)
class Link:
    """An extension point of a component, and who stands behind it.

    Attributes:
        attribute: The attribute that it is.
        interface: The identity of the interface.
        option: The option that chooses, as in ``[node] transport``; empty if all implementations take part.
        chosen: The identities of the chosen components, in order.
        origin: Where the choice comes from: ``default``, ``file:line``; empty without an option.
        problem: Why the choice is none; empty if it is one.
    """

    attribute: str
    interface: str
    option: str = ""
    chosen: tuple[str, ...] = ()
    origin: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LinkedComponent:
    """A component as others see it.

    Attributes:
        identity: ``module:Class``.
        doc: The first line of its documentation.
        interfaces: The identities of those it implements, the nearest first.
        enabled: Whether the config lets it take part.
        source: Where it comes from; ``built in``, or its plug-in.
        links: Its extension points.
    """

    identity: str
    doc: str
    interfaces: tuple[str, ...]
    enabled: bool
    source: str
    links: tuple[Link, ...] = ()

    @property
    def name(self) -> str:
        """The name of its class."""
        return short_name(self.identity)


@dataclass(frozen=True, slots=True)
class LinkMap:
    """All components of a manager with their links.

    Attributes:
        components: In order of registration.
        problems: What is wrong with the links, a sentence each.
    """

    components: tuple[LinkedComponent, ...]
    problems: tuple[str, ...] = field(default=())

    def implementing(self, interface: str) -> list[LinkedComponent]:
        """The components that implement an interface, disabled ones included."""
        return [component for component in self.components if interface in component.interfaces]


def short_name(full: str) -> str:
    """The class in ``module:Class``."""
    return full.rpartition(":")[2]


def map_links(manager: ComponentManager, sources: Mapping[type[Component], str] | None = None) -> LinkMap:
    """The components that a manager knows, and how they are linked.

    Args:
        manager: Its classes are looked at; none of them is activated.
        sources: Where components come from, as far as it is known.
    """
    places = sources or {}
    components: list[LinkedComponent] = []
    problems: dict[str, None] = {}
    for cls in manager.registered():
        links = tuple(_links(manager, cls))
        problems |= dict.fromkeys(link.problem for link in links if link.problem)
        components.append(
            LinkedComponent(
                identity(cls),
                (inspect.getdoc(cls) or "").partition("\n")[0],
                tuple(identity(interface) for interface in interfaces(cls)),
                _is_enabled(manager, cls, problems),
                places.get(cls, "built in" if cls.__module__.startswith("concurrence.") else cls.__module__),
                links,
            )
        )
    return LinkMap(tuple(components), tuple(problems))


def _is_enabled(manager: ComponentManager, cls: type[Component], problems: dict[str, None]) -> bool:
    try:
        return manager.is_enabled(cls)
    except ConcurrenceError as error:
        problems[str(error)] = None
        return True


def _links(manager: ComponentManager, cls: type[Component]) -> Iterator[Link]:
    for attribute, declared in _declarations(cls):
        try:
            yield _link(manager, attribute, declared)
        except ConcurrenceError as error:
            option = "" if isinstance(declared, ExtensionPoint) else f"[{declared.section}] {declared.name}"
            origin = "" if isinstance(declared, ExtensionPoint) else _origin(_value(manager, declared))
            yield Link(attribute, identity(declared.interface), option, (), origin, str(error))


_Declared = ExtensionPoint[Any] | ExtensionOption[Any] | OrderedExtensionsOption[Any]


def _declarations(cls: type[Component]) -> Iterator[tuple[str, _Declared]]:
    """The extension points of a class by attribute, those of its bases first."""
    names: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        names |= dict.fromkeys(vars(base))
    for name in names:
        declared = inspect.getattr_static(cls, name)
        if isinstance(declared, ExtensionPoint | ExtensionOption | OrderedExtensionsOption):
            yield name, cast("_Declared", declared)


def _link(manager: ComponentManager, attribute: str, declared: _Declared) -> Link:
    interface = cast("type[Interface]", declared.interface)
    if isinstance(declared, ExtensionPoint):
        every = tuple(identity(cls) for cls in manager.implementation_classes(interface))
        return Link(attribute, identity(interface), chosen=every)
    value = _value(manager, declared)
    option = f"[{declared.section}] {declared.name}"
    if isinstance(declared, ExtensionOption):
        names: tuple[str, ...] = (declared.component_name(value),)
    else:
        names = declared.component_names(value)
    chosen = [find_component(declared, manager, interface, name, value) for name in names]
    if isinstance(declared, OrderedExtensionsOption) and declared.include_missing:
        chosen += manager.implementation_classes(interface)
    every = tuple(dict.fromkeys(identity(cls) for cls in chosen))
    return Link(attribute, identity(interface), option, every, _origin(value))


def _value(
    manager: ComponentManager, option: ExtensionOption[Any] | OrderedExtensionsOption[Any]
) -> ConfigValue | None:
    config = getattr(manager, "config", None)
    return config.get(option.section, option.name) if isinstance(config, Config) else None


def _origin(value: ConfigValue | None) -> str:
    return "default" if value is None else value.origin
