"""The environment: a component manager with a folder that holds config, plug-ins, keys and state."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TextIO, cast

from concurrence.component import Component, ComponentManager
from concurrence.env.checks import check_config, component_switch, declared_options, sample_config
from concurrence.env.config import Config, ConfigChanges
from concurrence.env.log import LOGGER, configure_logging
from concurrence.env.options import ChoiceOption, StrOption
from concurrence.env.plugins import PluginFailure, load_path, load_plugins, unload
from concurrence.errors import EnvironmentInvalid

CONFIG_FILE = "concurrence.toml"
STAMP_FILE = "VERSION"
STAMP_VERSION = 1
"""The layout of the folder that this version makes and opens."""

_TEMPORARY = "concurrence-"
_FOLDERS = ("plugins", "state")
_PRIVATE_FOLDERS = ("keys", "connect")
_STAMP = re.compile(r"concurrence environment (\d{1,9})\s*")
_HINT = "concurrence env create PATH"


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
        "logging", "format", ("text", "json"), "text", "Lines for people, or one JSON object a line for machines."
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
        """Make the folder of a new environment and open it.

        Args:
            path: The folder; it must be empty or not exist.
            app: The application to write into its config.

        Raises:
            EnvironmentInvalid: The folder is an environment already, holds other things, or cannot be made.
        """
        path = path.absolute()
        _refuse_occupied(path)
        try:
            _make_folders(path)
        except OSError as error:
            raise EnvironmentInvalid(f"{path} cannot be made: {error.strerror or error}") from error
        environment = cls.open(path)
        text = sample_config([type(environment), *environment.registered()], app)
        (path / CONFIG_FILE).write_text(text, encoding="utf-8")
        environment.config.reload()
        return environment

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
            EnvironmentInvalid: The folder is no environment, or one of a newer version.
            ConfigError: A config file or an override cannot be read.
        """
        path = path.absolute()
        _check_stamp(path)
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
            _make_folders(path)
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
            files=[*([own] if own.exists() else []), *config_files],
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

    def check(self) -> None:
        """Check the whole config against the options of all registered components.

        Raises:
            ConfigError: Something is unknown or wrong; the text lists everything that is.
        """
        check_config(self.config, [type(self), *self.registered()], self)

    def reload(self) -> ConfigChanges:
        """Read the config again and adopt the options that are marked live; both kinds of change are logged.

        Raises:
            ConfigError: The new config cannot be read or is wrong; the old one stays.
        """
        options = declared_options([type(self), *self.registered()])
        live = {(option.section, option.name) for option in options if option.live}
        changes = self.config.reload(lambda section, name: (section, name) in live, self._check_fresh)
        for section, name in changes.applied:
            self.log.info("config changed: [%s] %s", section, name)
        for section, name in changes.pending:
            self.log.warning("config changed: [%s] %s takes effect after a restart", section, name)
        if ("logging", "level") in changes.applied:
            self.log.setLevel(self.log_level)
        return changes

    def start_logging(self, node: str = "", stream: TextIO | None = None) -> logging.Handler:
        """Write logs as the options ``[logging]`` say; see :func:`concurrence.env.log.configure_logging`."""
        return configure_logging(self.log_level, cast("Literal['text', 'json']", self.log_format), stream, node)

    def is_enabled(self, cls: type[Component]) -> bool:
        """Whether ``[components]`` leaves a component in."""
        return component_switch(self.config, cls) is not False

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

    def _check_fresh(self, fresh: Config) -> None:
        check_config(fresh, [type(self), *self.registered()], self)


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


def is_environment(path: Path) -> bool:
    """Whether a folder carries the stamp of an environment, of whatever version."""
    try:
        return _STAMP.fullmatch((path / STAMP_FILE).read_text(encoding="utf-8")) is not None
    except (OSError, UnicodeDecodeError):
        return False


def _check_stamp(path: Path) -> None:
    if not is_environment(path):
        reason = "is not an environment" if path.is_dir() else "does not exist"
        raise EnvironmentInvalid(f"{path} {reason}", hint=f"Make one: {_HINT}")
    match = _STAMP.fullmatch((path / STAMP_FILE).read_text(encoding="utf-8"))
    version = int(match[1]) if match else 0
    if version > STAMP_VERSION:
        raise EnvironmentInvalid(
            f"{path} was made by a newer version of Concurrent (layout {version}; this one knows {STAMP_VERSION})",
            hint=f"Upgrade Concurrent, or make a new environment: {_HINT}",
        )


def _refuse_occupied(path: Path) -> None:
    if is_environment(path):
        raise EnvironmentInvalid(f"{path} is an environment already", hint="Use it, or choose another folder.")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        reason = "holds other things" if path.is_dir() else "is not a folder"
        raise EnvironmentInvalid(f"{path} {reason}", hint=f"Choose an empty or new folder: {_HINT}")


def _make_folders(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for name in _FOLDERS:
        (path / name).mkdir()
    for name in _PRIVATE_FOLDERS:
        (path / name).mkdir(mode=0o700)
        # mkdir's mode is cut by the umask.
        (path / name).chmod(0o700)
    (path / CONFIG_FILE).touch()
    (path / STAMP_FILE).write_text(f"concurrence environment {STAMP_VERSION}\n", encoding="utf-8")
