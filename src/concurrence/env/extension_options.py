"""Options whose values are components: the config chooses by name who stands behind an extension point."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TypeVar, cast

from concurrence.component import Component, ComponentManager, Interface, identity, interface_class
from concurrence.env.component_order import arrange, is_pattern, rank
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
        self.interface = interface_class(interface)
        super().__init__(section, name, cast("InterfaceT", default), doc, live=live)
        self.default_name = default

    def accepts_default(self, default: object) -> bool:
        """A component's name."""
        return isinstance(default, str)

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

    def check_default(self, manager: ComponentManager) -> None:
        """Find out whether the default names a component that takes part."""
        find_component(self, manager, self.interface, self.default_name, None)

    def resolve(self, manager: object, value: ConfigValue | None) -> InterfaceT:
        """The component itself, activated."""
        name = self.component_name(value)
        components = _manager(self, manager)
        cls = find_component(self, components, self.interface, name, value)
        return cast("InterfaceT", components.component(cls))


class OrderedExtensionsOption(Option[tuple[InterfaceT, ...]]):
    """The components behind an interface in the order that the config gives.

    A value lists names, as :meth:`ComponentManager.find` understands them, and patterns of full names. Of a
    component that is there twice the first place counts, but a name before any pattern. Naming a disabled
    component is an error; those that the default names, or a pattern means, are left out.

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
        self.interface = interface_class(interface)
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
        names = self.component_names(value)
        if manager is not None:
            self._full_names(manager, names, value)

    def check_default(self, manager: ComponentManager) -> None:
        """Find out whether the default names components; disabled ones are left out."""
        self._full_names(manager, self.default_names, None)

    def resolve(self, manager: object, value: ConfigValue | None) -> tuple[InterfaceT, ...]:
        """The components themselves, activated."""
        components = _manager(self, manager)
        names = self._full_names(components, self.component_names(value), value)
        classes = arrange(components.implementation_classes(self.interface), names)
        if not self.include_missing:
            classes = [cls for cls in classes if rank(cls, names) is not None]
        return tuple(cast("InterfaceT", components.component(cls)) for cls in classes)

    def _full_names(self, manager: ComponentManager, names: Sequence[str], value: ConfigValue | None) -> list[str]:
        """The names as full ones; patterns stay, and so does what the default names but the config disables."""
        found: list[str] = []
        for name in names:
            if is_pattern(name):
                self._check_pattern(manager, name, value)
                found.append(name)
            else:
                cls = find_component(self, manager, self.interface, name, value, disabled=value is None)
                found.append(identity(cls))
        return found

    def _check_pattern(self, manager: ComponentManager, pattern: str, value: ConfigValue | None) -> None:
        fitting = [identity(cls) for cls in manager.registered() if issubclass(cls, self.interface)]
        if any(fnmatchcase(name, pattern) for name in fitting):
            return
        raise ConfigError(
            f"{key_prefix(self.section, self.name, value)}no {self.interface.__name__} fits {pattern!r}",
            source=value.source if value else "default",
            line=value.line if value else None,
            hint=f"Known: {', '.join(sorted(fitting)) or 'none'}.",
        )


def find_component(
    option: Option[InterfaceT] | Option[tuple[InterfaceT, ...]],
    manager: ComponentManager,
    interface: type[Interface],
    name: str,
    value: ConfigValue | None,
    *,
    disabled: bool = False,
) -> type[Component]:
    """The component class that an option names.

    Args:
        option: The option.
        manager: Who knows the components.
        interface: What the component must implement.
        name: Its name in the config, or in the default.
        value: The value in the config; None for the default.
        disabled: Whether it may be a disabled one.

    Raises:
        ConfigError: There is no such component, several are meant, or it is disabled.
    """
    prefix = key_prefix(option.section, option.name, value)
    source, line = (value.source, value.line) if value else ("default", None)
    try:
        found = manager.find(interface, name)
    except (ComponentError, UsageError) as error:
        raise ConfigError(f"{prefix}{error.message}", source=source, line=line, hint=error.hint) from error
    if not disabled and not manager.is_enabled(found):
        hint = "Enable it in [components], or choose another one."
        raise ConfigError(f"{prefix}{name!r} is disabled", source=source, line=line, hint=hint)
    return found


def _manager(option: Option[InterfaceT] | Option[tuple[InterfaceT, ...]], manager: object) -> ComponentManager:
    if not isinstance(manager, ComponentManager):
        key = f"[{option.section}] {option.name}"
        raise UsageError(f"{key} chooses components, but its owner has no component manager")
    return manager
