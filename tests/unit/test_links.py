"""Who is linked with whom, read off without activating anybody."""

from __future__ import annotations

from abc import abstractmethod

from concurrence import (
    Component,
    ComponentManager,
    ExtensionOption,
    ExtensionPoint,
    Interface,
    OrderedExtensionsOption,
)
from concurrence.component import identity
from concurrence.env.config import Config
from concurrence.env.links import Link, LinkMap, map_links


class IFilter(Interface):
    @abstractmethod
    def pick(self) -> bool:
        """Whether to take it."""


class Coarse(Component, IFilter):
    """Takes much.

    And more text.
    """

    def __init__(self, manager: ComponentManager) -> None:
        raise AssertionError("activated")

    def pick(self) -> bool:
        return True


class Fine(Component, IFilter):
    def pick(self) -> bool:
        return False


class Sieve(Component):
    every = ExtensionPoint(IFilter)
    one = ExtensionOption("sieve", "one", IFilter, "Fine", "The filter.")
    some = OrderedExtensionsOption("sieve", "some", IFilter, ["Fine"], "Filters.", include_missing=False)


class Special(Sieve):
    one = ExtensionOption("special", "one", IFilter, "Coarse", "Another.")


class Manager(ComponentManager):
    def __init__(self, *overrides: str, disabled: type[Component] | None = None) -> None:
        super().__init__()
        self.config = Config.from_layers(overrides=overrides)
        self.disabled = disabled
        for cls in (Coarse, Fine, Sieve, Special):
            self.register(cls)

    def is_enabled(self, cls: type[Component]) -> bool:
        return cls is not self.disabled


def links_of(links: LinkMap, cls: type[Component]) -> dict[str, Link]:
    (found,) = [each for each in links.components if each.identity == identity(cls)]
    return {link.attribute: link for link in found.links}


def test_extension_points_and_options_tell_who_is_behind_them() -> None:
    found = links_of(map_links(Manager()), Sieve)
    assert found["every"] == Link("every", identity(IFilter), chosen=(identity(Coarse), identity(Fine)))
    assert found["one"] == Link("one", identity(IFilter), "[sieve] one", (identity(Fine),), "default")
    assert found["some"].chosen == (identity(Fine),)


def test_the_config_chooses_and_its_place_is_told() -> None:
    found = links_of(map_links(Manager("sieve.one=Coarse", "sieve.some=Coarse,Fine")), Sieve)
    assert (found["one"].chosen, found["one"].origin) == ((identity(Coarse),), "--set sieve.one")
    assert found["some"].chosen == (identity(Coarse), identity(Fine))


def test_a_declaration_that_is_overridden_is_told_once() -> None:
    found = links_of(map_links(Manager()), Special)
    assert found["one"].option == "[special] one"
    assert list(found) == ["every", "one", "some"]


def test_a_broken_choice_is_told_and_the_others_stand() -> None:
    links = map_links(Manager("sieve.one=Fin"))
    found = links_of(links, Sieve)
    assert "Did you mean Fine?" in found["one"].problem
    assert (found["one"].chosen, found["one"].origin) == ((), "--set sieve.one")
    assert found["every"].problem == ""
    assert len(links.problems) == 1


def test_a_disabled_component_is_no_choice() -> None:
    links = map_links(Manager(disabled=Fine))
    assert [each.name for each in links.components if not each.enabled] == ["Fine"]
    assert links_of(links, Sieve)["every"].chosen == (identity(Coarse),)
    assert "disabled" in links_of(links, Sieve)["one"].problem


def test_what_a_component_is_and_where_it_comes_from() -> None:
    coarse = map_links(Manager(), {Coarse: "plugins/filters"}).components[0]
    assert (coarse.name, coarse.doc, coarse.source) == ("Coarse", "Takes much.", "plugins/filters")
    assert coarse.interfaces == (identity(IFilter),)


def test_a_manager_without_config_has_defaults() -> None:
    manager = ComponentManager()
    manager.register(Fine)
    manager.register(Sieve)
    assert links_of(map_links(manager), Sieve)["one"].chosen == (identity(Fine),)
