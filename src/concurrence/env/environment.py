"""The environment: a component manager with a folder that holds config, plug-ins, keys and state."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TextIO, cast

from concurrence.component import Component, ComponentManager, Interface
from concurrence.env.checks import check_config, declared_options, sample_config
from concurrence.env.component_order import component_order, component_switch
from concurrence.env.config import Config, ConfigChanges, Layer
from concurrence.env.layout import CONFIG_FILE, check_layout, is_environment, make_layout, refuse_occupied
from concurrence.env.log import LOGGER, change_format, configure_logging
from concurrence.env.options import ChoiceOption, StrOption
from concurrence.env.plugins import PluginFailure, load_path, load_plugins, unload
from concurrence.env.watching import tell_changes
from concurrence.env.whole import whole_folder
from concurrence.errors import ConfigError, EnvironmentInvalid

_TEMPORARY = "concurrence-"
_SILENT = logging.getLogger(f"{LOGGER}.silent")
_SILENT.setLevel(logging.CRITICAL + 1)


class Environment(ComponentManager):
    """A manager whose components and their options are governed by a folder.

    Make one with :meth:`create`, :meth:`open` or :meth:`ephemeral`.

    Args:
        path: The folder.
        config: The merged configuration.
        temporary: Whether :meth:`close` removes the folder.

    Attributes:
        overrides: The texts ``section.name=value`` that it was opened with.
        config_files: The further config files that it was opened with.
    """

    app_name = StrOption("project", "app", "", "The application that the environment runs: an IApp's name.")
    log_level = ChoiceOption(
        "logging",
        "level",
        ("DEBUG", "INFO", "WARNING", "ERROR"),
        "INFO",
        "The least important messages that are logged.",
        live=True,
    )
    log_format = ChoiceOption(
        "logging",
        "format",
        ("text", "json"),
        "text",
        "Lines for people, or one JSON object a line for machines.",
        live=True,
    )

    def __init__(self, path: Path, config: Config, *, temporary: bool = False) -> None:
        super().__init__()
        self.path = path
        self.config = config
        self.log = logging.getLogger(LOGGER)
        self.plugin_failures: list[PluginFailure] = []
        self.is_temporary = temporary
        self.overrides: tuple[str, ...] = ()
        self.config_files: tuple[Path, ...] = ()

    @property
    def manager(self) -> Self:
        """The environment itself, so that options work on it as on components."""
        return self

    @classmethod
    def create(cls, path: Path, app: str | None = None) -> Self:
        """Make the folder of a new environment and open it; if that fails, nothing of it is left.

        Args:
            path: The folder; it must be empty or not exist. Missing parents are made.
            app: The application to write into its config.

        Raises:
            EnvironmentInvalid: The folder is an environment already, holds other things, or cannot be made.
        """
        path = path.absolute()
        refuse_occupied(path)
        draft = cls(path, Config())
        load_plugins(draft, None, log=_SILENT)  # for their options; opening it tells of those that fail
        text = sample_config([cls, *draft.registered()], app)
        try:
            with whole_folder(path) as folder:
                make_layout(folder, text)
        except OSError as error:
            raise EnvironmentInvalid(
                f"{path} cannot be made: {error.strerror or error}",
                hint="Nothing of it was left behind. Choose a folder where you may write and the disk has room.",
            ) from error
        return cls.open(path)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        overrides: Sequence[str] = (),
        config_files: Sequence[Path] = (),
        environ: Mapping[str, str] | None = None,
        plugins: bool = True,
    ) -> Self:
        """Open the environment in a folder and load its plug-ins.

        Args:
            path: The folder.
            overrides: Texts ``section.name=value`` that go before everything else.
            config_files: TOML files that go before the environment's own.
            environ: The environment variables; those of the process by default.
            plugins: Whether to load plug-ins, installed ones included.

        Raises:
            EnvironmentInvalid: The folder is no environment, or one of a newer or older version.
            ConfigError: A config file or an override cannot be read.
        """
        path = path.absolute()
        check_layout(path)
        return cls._opened(path, overrides, config_files, environ, plugins=plugins, temporary=False)

    @classmethod
    def ephemeral(
        cls,
        *,
        overrides: Sequence[str] = (),
        config_files: Sequence[Path] = (),
        environ: Mapping[str, str] | None = None,
        plugins: bool = True,
    ) -> Self:
        """Open a private environment that :meth:`close` removes.

        Args:
            overrides: Texts ``section.name=value`` that go before everything else.
            config_files: TOML files.
            environ: The environment variables; those of the process by default.
            plugins: Whether to load installed plug-ins.

        Raises:
            ConfigError: A config file or an override cannot be read.
        """
        _remove_litter()
        path = Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}{os.getpid()}-"))
        try:
            make_layout(path)
            return cls._opened(path, overrides, config_files, environ, plugins=plugins, temporary=True)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise

    @staticmethod
    def discover(start: Path) -> Path | None:
        """The nearest environment in a folder or the folders around it."""
        start = start.absolute()
        return next((folder for folder in (start, *start.parents) if is_environment(folder)), None)

    @classmethod
    def _opened(
        cls,
        path: Path,
        overrides: Sequence[str],
        config_files: Sequence[Path],
        environ: Mapping[str, str] | None,
        *,
        plugins: bool,
        temporary: bool,
    ) -> Self:
        own = path / CONFIG_FILE
        config = Config.from_layers(
            files=config_files,
            optional=[own],
            environ=os.environ if environ is None else environ,
            overrides=overrides,
        )
        environment = cls(path, config, temporary=temporary)
        environment.overrides = tuple(overrides)
        environment.config_files = tuple(config_files)
        if plugins:
            environment.plugin_failures = load_plugins(environment, path / "plugins", log=environment.log)
        return environment

    def load_app(self, path: Path) -> list[type[Component]]:
        """Load an application from a file or folder; see :func:`concurrence.env.plugins.load_path`."""
        return load_path(self, path)

    def override(self, layer: Layer) -> None:
        """Set options above all that the environment was opened with, as if that had set them too.

        Args:
            layer: The texts of the values by section and name.
        """
        self.config.override(layer)
        self.overrides += tuple(f"{section}.{name}={value.raw}" for (section, name), value in layer.items())

    def check(self) -> None:
        """Check the whole config against the options of all registered components.

        While plug-ins are left out because they cannot be loaded, sections and components that may be theirs are
        only warned of: a broken plug-in does not keep the others from working.

        Raises:
            ConfigError: Something is unknown or wrong; the text lists everything that is.
        """
        names = ", ".join(failure.name for failure in self.plugin_failures)
        for excused in self._check_fresh(self.config):
            self.log.warning("%s; it may belong to a plug-in that is left out (%s)", excused.message, names)

    def reload(self, *, is_child: bool = False) -> ConfigChanges:
        """Read the config again and adopt the options that are marked live; both kinds of change are logged.

        Args:
            is_child: Whether another node started this one with its own config: that one tells what changed,
                and knows options of applications that are unknown here.

        Raises:
            ConfigError: The new config cannot be read or is wrong; the old one stays.
        """
        options = declared_options([type(self), *self.registered()])
        known = {(option.section, option.name) for option in options}
        live = {(option.section, option.name) for option in options if option.live}
        changes = self.config.reload(
            lambda section, name: (section, name) in live or (is_child and (section, name) not in known),
            lambda fresh: self._check_fresh(Config(lambda: [fresh.layer(known)]) if is_child else fresh),
        )
        level = self.log.level
        if ("logging", "level") in changes.applied:
            level = logging.getLevelNamesMapping()[self.log_level]
        self.log.setLevel(min(level, self.log.level))  # so that a change to or from silence is told
        tell_changes(self.log, changes, options, is_child=is_child)
        self.log.setLevel(level)
        if ("logging", "format") in changes.applied:
            change_format(cast("Literal['text', 'json']", self.log_format))
        return changes

    def watched_files(self) -> list[Path]:
        """The config files, the environment's own included even if it does not exist."""
        return [self.path / CONFIG_FILE, *self.config_files]

    def start_logging(self, node: str = "", stream: TextIO | None = None) -> logging.Handler:
        """Write logs as the options ``[logging]`` say; see :func:`concurrence.env.log.configure_logging`."""
        return configure_logging(self.log_level, cast("Literal['text', 'json']", self.log_format), stream, node)

    def is_enabled(self, cls: type[Component]) -> bool:
        """Whether ``[components]`` leaves a component in."""
        return component_switch(self.config, cls) is not False

    def order(self, interface: type[Interface], classes: Sequence[type[Component]]) -> list[type[Component]]:
        """Put those first that ``[components] order`` names; it is read once for each interface."""
        return component_order(self.config, classes)

    def close(self) -> None:
        """Forget the modules of ``plugins/``; remove the folder if it is a temporary one. Repeatable."""
        unload(self.path / "plugins")
        if self.is_temporary:
            shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Environment({str(self.path)!r})"

    def _check_fresh(self, fresh: Config) -> list[ConfigError]:
        classes = [type(self), *self.registered()]
        return check_config(fresh, classes, self, is_partial=bool(self.plugin_failures))


def _remove_litter() -> None:
    """Remove the temporary environments of processes that were killed before they could do so."""
    for path in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*"):
        owner = path.name.removeprefix(_TEMPORARY).partition("-")[0]
        if owner.isdecimal() and not _is_alive(int(owner)):
            # Another user's cannot be removed, and another process may be removing it too.
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # somebody else's
    return True
