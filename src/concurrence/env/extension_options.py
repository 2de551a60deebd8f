"""Options whose values are components: the config chooses by name who stands behind an extension point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

from concurrence.component import Component, ComponentManager, Interface
from concurrence.env.config import ConfigValue
from concurrence.env.option_base import Option, key_prefix, quoted, strings
from concurrence.errors import ComponentError, ConfigError, UsageError

InterfaceT = TypeVar("InterfaceT", bound=Interface)


class ExtensionOption(Option[InterfaceT]):
    """The one component behind an interface that the config chooses by name.

    Args:
        section: The section of the config.
        name: The key in that section.
        interface: What the component must implement.
        default: The name of the component when no layer of the config has one.
        doc: What the component is chosen for.
        live: Whether a running node adopts a change.
    """

    expected = "the name of a component"

    def __init__(
        self,
        section: str,
        name: str,
        interface: type[InterfaceT],
        default: str,
        doc: str,
        *,
        live: bool = False,
    ) -> None:
        super().__init__(section, name, cast("InterfaceT", default), doc, live=live)
        self.interface = interface
        self.default_name = default

    def expectation(self) -> str:
        """What the component must implement."""
        return f"{self.expected} that implements {self.interface.__name__}"

    def default_toml(self) -> str:
        """The default's name."""
        return quoted(self.default_name)

    def component_name(self, value: ConfigValue | None) -> str:
        """The name that the config, or the default, gives.

        Raises:
            ConfigError: The value is not a string.
        """
        if value is None:
            return self.default_name
        if not isinstance(value.raw, str):
            raise self.error(value)
        return value.raw

    def check(self, value: ConfigValue, manager: ComponentManager | None) -> None:
        """Find out whether the value names a component."""
        name = self.component_name(value)
        if manager is not None:
            find_component(self, manager, self.interface, name, value)

    def resolve(self, manager: object, value: ConfigValue | None) -> InterfaceT:
        """The component itself, activated."""
        name = self.component_name(value)
        cls = find_component(self, manager, self.interface, name, value)
        return cast("InterfaceT", cast("ComponentManager", manager).component(cls))


class OrderedExtensionsOption(Option[tuple[InterfaceT, ...]]):
    """The components behind an interface in the order that the config gives.

    Args:
        section: The section of the config.
        name: The key in that section.
        interface: What the components must implement.
        default: The names of the first components when no layer of the config has any.
        doc: What the components are for.
        include_missing: Whether those that are not named follow, in the manager's order.
        live: Whether a running node adopts a change.
    """

    expected = "a list of names of components"
    example = '["First", "Second"]'

    def __init__(
        self,
        section: str,
        name: str,
        interface: type[InterfaceT],
        default: Sequence[str],
        doc: str,
        *,
        include_missing: bool = True,
        live: bool = False,
    ) -> None:
        super().__init__(section, name, (), doc, live=live)
        self.interface = interface
        self.default_names = tuple(default)
        self.include_missing = include_missing

    def default_toml(self) -> str:
        """The names of the default."""
        return f"[{', '.join(quoted(name) for name in self.default_names)}]"

    def component_names(self, value: ConfigValue | None) -> tuple[str, ...]:
        """The names that the config, or the default, gives.

        Raises:
            ConfigError: The value is not a list of strings.
        """
        if value is None:
            return self.default_names
        try:
            return strings(value)
        except TypeError:
            raise self.error(value) from None

    def check(self, value: ConfigValue, manager: ComponentManager | None) -> None:
        """Find out whether the values name components."""
        for name in self.component_names(value):
            if manager is not None:
                find_component(self, manager, self.interface, name, value)

    def resolve(self, manager: object, value: ConfigValue | None) -> tuple[InterfaceT, ...]:
        """The components themselves, activated."""
        names = self.component_names(value)
        classes = [find_component(self, manager, self.interface, name, value) for name in names]
        components = cast("ComponentManager", manager)
        if self.include_missing:
            classes += components.implementation_classes(self.interface)
        return tuple(cast("InterfaceT", components.component(cls)) for cls in dict.fromkeys(classes))


def find_component(
    option: Option[InterfaceT] | Option[tuple[InterfaceT, ...]],
    manager: object,
    interface: type[Interface],
    name: str,
    value: ConfigValue | None,
) -> type[Component]:
    """The component class that an option names.

    Raises:
        ConfigError: There is no such component, several are meant, or it is disabled.
    """
    key = f"[{option.section}] {option.name}"
    prefix = key_prefix(option.section, option.name, value)
    source, line = (value.source, value.line) if value else ("default", None)
    if not isinstance(manager, ComponentManager):
        raise UsageError(f"{key} chooses a component, but its owner has no component manager")
    try:
        found = manager.find(interface, name)
    except (ComponentError, UsageError) as error:
        raise ConfigError(f"{prefix}{error.message}", source=source, line=line, hint=error.hint) from error
    if not manager.is_enabled(found):
        hint = "Enable it in [components], or choose another one."
        raise ConfigError(f"{prefix}{name!r} is disabled", source=source, line=line, hint=hint)
    return found
