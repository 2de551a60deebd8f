"""An environment that has Concurrent's own components and no others, whatever is installed besides."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from concurrence.component import Component
from concurrence.env.environment import Environment
from concurrence.env.plugin_sources import PluginSource, find_plugins
from concurrence.env.plugins import load_sources


@contextmanager
def built_in() -> Generator[Environment]:
    """A temporary environment with everything at its default.

    Raises:
        RuntimeError: A part of Concurrent cannot be loaded: the page would lack it.
    """
    with Environment.ephemeral(environ={}, plugins=False) as environment:
        own = own_sources()
        for plugin in load_sources(environment, own, None, log=environment.log):
            if plugin.failure is not None:
                raise RuntimeError(f"{plugin.source.name} cannot be loaded: {plugin.failure.reason}")
        yield environment


def own_sources() -> list[PluginSource]:
    """The entry points of Concurrent's own components."""
    return [source for source in find_plugins(None) if source.is_own]


def entry_point_of(cls: type[Component]) -> str:
    """The entry point by which a built-in component is found; empty if none names its module."""
    return next((source.name for source in own_sources() if source.module == cls.__module__), "")
