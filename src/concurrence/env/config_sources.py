"""The layers of a configuration one by one, also when some of them cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from concurrence.env.config import (
    COMPONENTS,
    Config,
    ConfigValue,
    Layer,
    is_there,
    read_environ,
    read_file,
    read_overrides,
)
from concurrence.env.environment import Environment
from concurrence.env.layout import CONFIG_FILE
from concurrence.env.plugins import load_plugins
from concurrence.errors import ConfigError, UsageError

VARIABLES = "environment variables"
OVERRIDES = "--set"


@dataclass(frozen=True, slots=True)
class Sources:
    """The layers above the defaults.

    Attributes:
        layers: What could be read, in rising order of precedence.
        names: Where each layer comes from: a file, the environment variables, ``--set``.
        errors: Why the others could not be read.
    """

    layers: list[Layer] = field(default_factory=list[Layer])
    names: list[str] = field(default_factory=list[str])
    errors: list[ConfigError] = field(default_factory=list[ConfigError])

    def history(self, section: str, name: str) -> list[ConfigValue]:
        """All values of a key, that of the highest layer first."""
        return [layer[section, name] for layer in reversed(self.layers) if (section, name) in layer]


def read_sources(
    own: Path | None,
    files: Sequence[Path] = (),
    environ: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> Sources:
    """Read what there is, and collect the errors of what cannot be read.

    Args:
        own: The environment's file; it need not exist.
        files: Further files; the later ones win.
        environ: The environment variables; those of the process by default.
        overrides: Texts ``section.name=value``.
    """
    sources = Sources()

    def add(name: str, read: Callable[[], Layer]) -> None:
        try:
            sources.layers.append(read())
            sources.names.append(name)
        except ConfigError as error:
            sources.errors.append(error)

    for path in [*([own] if own is not None and is_there(own) else []), *files]:
        add(str(path), lambda path=path: read_file(path))
    add(VARIABLES, lambda: read_environ(os.environ if environ is None else environ))
    for text in overrides:
        add(OVERRIDES, lambda text=text: read_overrides([text]))
    return sources


def open_readable(
    path: Path | None, *, overrides: Sequence[str] = (), config_files: Sequence[Path] = ()
) -> tuple[Environment, Sources]:
    """Open an environment with what can be read of its configuration.

    Args:
        path: Its folder; without one, that around the working directory, or else a temporary one.
        overrides: Texts ``section.name=value``.
        config_files: Further config files.

    Raises:
        EnvironmentInvalid: The folder is no environment.
    """
    folder = path if path is not None else Environment.discover(Path.cwd())
    own = None if folder is None else folder.absolute() / CONFIG_FILE
    sources = read_sources(own, config_files, None, overrides)
    if folder is None:
        return Environment.ephemeral(
            overrides=[text for text in overrides if _is_readable(lambda text=text: read_overrides([text]))],
            config_files=[file for file in config_files if str(file) in sources.names],
        ), sources
    try:
        return Environment.open(folder, overrides=overrides, config_files=config_files), sources
    except ConfigError:
        environment = Environment(folder.absolute(), Config(lambda: sources.layers))
        environment.plugin_failures = load_plugins(environment, environment.path / "plugins", log=environment.log)
        return environment, sources


def _is_readable(read: Callable[[], Layer]) -> bool:
    try:
        read()
    except ConfigError:
        return False
    return True


def own_file(environment: Environment) -> Path:
    """The environment's config file; it need not exist."""
    return environment.path / CONFIG_FILE


def split_key(key: str) -> tuple[str, str]:
    """Section and name of a key as people write it: ``masternode.port``, ``components."my_plugin:*"``.

    Raises:
        UsageError: It has another form.
    """
    key = key.strip()
    if key.startswith(f"{COMPONENTS}."):
        section, name = COMPONENTS, key.removeprefix(f"{COMPONENTS}.")
        is_quoted = len(name) > 1 and name[0] == name[-1] and name[0] in "\"'"
        name = name[1:-1] if is_quoted else name
    else:
        section, _, name = key.replace('"', "").replace("'", "").rpartition(".")
    if not section or not name:
        raise UsageError(
            f"{key!r} is not the name of an option",
            hint="Write SECTION.NAME, for example masternode.port; list them with: concurrence config show",
        )
    return section, name
