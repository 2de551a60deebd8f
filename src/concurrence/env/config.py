"""Configuration: values in sections, merged from layers, each with the place it comes from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from concurrence.env.cached_reads import CachedReads
from concurrence.env.toml_lines import KeyPath, key_lines, line_of
from concurrence.errors import ConfigError, UsageError

ENVIRONMENT_PREFIX = "CONCURRENCE_"
COMPONENTS = "components"
"""The section whose keys are patterns of components; they contain dots."""

_TWICE = re.compile(r"Cannot declare \((.*)\) twice")
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class ConfigValue:
    """A value as it was written, and where.

    Attributes:
        raw: What TOML made of it; a string if ``is_text``.
        source: A file's path, ``environment variable NAME``, ``--set`` or ``default``.
        line: The 1-based line in the file, if it is a file.
        is_text: Whether it was written without TOML's types, so that the option must make sense of the text.
        folder: The folder of the file; relative paths in it start there.
    """

    raw: object
    source: str
    line: int | None = None
    is_text: bool = False
    folder: Path | None = None

    @property
    def origin(self) -> str:
        """Where the value comes from: ``file:line`` or its source."""
        return self.source if self.line is None else f"{self.source}:{self.line}"


Layer = dict[tuple[str, str], ConfigValue]
"""Values by section and name."""


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A key whose value was changed.

    Attributes:
        old: The value that it had; None for the option's default.
        new: The value that was read now; None for the option's default.
    """

    section: str
    name: str
    old: ConfigValue | None
    new: ConfigValue | None


@dataclass(frozen=True, slots=True)
class ConfigChanges:
    """What a reload found: the keys whose values now differ, and those that need a restart to take effect.

    Attributes:
        applied: Section and name of what was adopted.
        pending: Section and name of what was not, as far as no earlier reload told so.
        details: The values of all of them, in order.
    """

    applied: tuple[tuple[str, str], ...]
    pending: tuple[tuple[str, str], ...]
    details: tuple[ConfigChange, ...] = ()


class Config:
    """The merged layers; :meth:`reload` reads them again.

    Args:
        read: Gives the layers, in rising order of precedence.

    Attributes:
        idle_variables: Environment variables with the prefix that are no config, for they lack ``__``.

    Raises:
        ConfigError: A layer cannot be read.
    """

    def __init__(self, read: Callable[[], Sequence[Layer]] = list) -> None:
        self._read = read
        self._values = _merge(read())
        self._pending: dict[tuple[str, str], tuple[type, str, bool] | None] = {}
        self.revision = 0
        self.reads = CachedReads()
        self.idle_variables: tuple[str, ...] = ()

    @classmethod
    def from_layers(
        cls,
        *,
        defaults: Mapping[str, Mapping[str, object]] | None = None,
        files: Sequence[Path] = (),
        optional: Sequence[Path] = (),
        environ: Mapping[str, str] | None = None,
        overrides: Sequence[str] = (),
    ) -> Config:
        """The config of these layers, in rising order of precedence.

        Args:
            defaults: Values by section and name that stand in for the defaults of options.
            files: TOML files; the later ones win.
            optional: TOML files before these that need not be there, until they have been there once.
            environ: Environment variables, of which ``CONCURRENCE_SECTION__NAME`` count.
            overrides: Texts ``section.name=value``.

        Raises:
            ConfigError: A file is missing or not TOML, or an override has another form.
        """
        fixed = read_defaults(defaults or {})
        variables, given = read_environ(environ or {}), read_overrides(overrides)
        paths, seen = tuple(files), set[Path]()

        def read() -> list[Layer]:
            # A file that was there and is gone is a mistake, or about to be replaced: not a wish for the defaults.
            seen.update(path for path in optional if is_there(path))
            own = [path for path in optional if path in seen]
            return [fixed, *(read_file(path) for path in (*own, *paths)), variables, given]

        config = cls(read)
        prefixed = (name for name in environ or () if name.startswith(ENVIRONMENT_PREFIX))
        config.idle_variables = tuple(sorted(name for name in prefixed if "__" not in name))
        return config

    def get(self, section: str, name: str) -> ConfigValue | None:
        """The value of a key, or None where no layer has one."""
        return self._values.get((section, name))

    def sections(self) -> list[str]:
        """The sections that have a value, sorted; keys outside any section are in the section ``""``."""
        return sorted({section for section, _ in self._values})

    def names(self, section: str) -> list[str]:
        """The keys of a section, sorted."""
        return sorted(name for known, name in self._values if known == section)

    def items(self) -> Iterator[tuple[str, str, ConfigValue]]:
        """Section, name and value of each key, sorted."""
        for (section, name), value in sorted(self._values.items(), key=lambda item: item[0]):
            yield section, name, value

    def layer(self, keys: Container[tuple[str, str]]) -> Layer:
        """The values of some keys, by section and name."""
        return {key: value for key, value in self._values.items() if key in keys}

    def override(self, layer: Layer) -> None:
        """Put a layer above all others; it stays there when the config is read again."""
        read = self._read
        self._read = lambda: [*read(), layer]
        self._values = {**self._values, **layer}
        self.revision += 1
        self.reads.forget()

    def reload(
        self,
        is_live: Callable[[str, str], bool] = lambda _section, _name: True,
        check: Callable[[Config], object] = lambda _fresh: None,
    ) -> ConfigChanges:
        """Read the layers again and adopt what changed; ``revision`` rises if that is anything.

        Args:
            is_live: Whether a key, by section and name, may change while the system runs. The others keep
                their values, and are told of once for each new value.
            check: Raises ConfigError if the new config is wrong.

        Raises:
            ConfigError: A layer cannot be read or is wrong; all values stay as they are.
        """
        candidate = Config(self._read)
        check(candidate)
        before, fresh = self._values, dict(candidate._values)
        changed = sorted(key for key in fresh.keys() | before.keys() if _raw(fresh, key) != _raw(before, key))
        details = {key: ConfigChange(*key, before.get(key), fresh.get(key)) for key in changed}
        waiting = {key: _raw(fresh, key) for key in changed if not is_live(*key)}
        for key in waiting:
            fresh.pop(key, None)
            if key in before:
                fresh[key] = before[key]
        applied = tuple(key for key in changed if key not in waiting)
        pending = tuple(
            key for key, raw in waiting.items() if key not in self._pending or self._pending[key] != raw
        )
        self._values, self._pending = fresh, waiting
        if applied:
            self.revision += 1
            self.reads.forget()
        return ConfigChanges(applied, pending, tuple(details[key] for key in (*applied, *pending)))


def is_there(path: Path) -> bool:
    """Whether there is anything under a name: a link that leads nowhere is no wish for defaults."""
    return path.exists() or path.is_symlink()


def read_defaults(defaults: Mapping[str, Mapping[str, object]]) -> Layer:
    """The layer of values that a program gives, by section and name."""
    return {
        (section, name): ConfigValue(raw, "default")
        for section, values in defaults.items()
        for name, raw in values.items()
    }


def read_file(path: Path) -> Layer:
    """The layer of a TOML file.

    Args:
        path: The file. A table ``[a.b]`` is the section ``a.b``, however it is spelled.

    Raises:
        ConfigError: The file cannot be read, is not UTF-8, or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"the config file cannot be read: {reason}", source=str(path)) from error
    except UnicodeDecodeError as error:
        line = path.read_bytes().count(b"\n", 0, error.start) + 1
        raise ConfigError("the text is not UTF-8", source=str(path), line=line) from error
    if text.startswith("\N{BYTE ORDER MARK}"):
        raise ConfigError(
            "the file begins with a byte order mark, which TOML does not have",
            source=str(path),
            line=1,
            hint='Save it as "UTF-8 without BOM".',
        )
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, text, str(error)) from error
    lines = key_lines(text)
    layer: Layer = {}
    for keys, raw in _leaves((), tables):
        section, name = ".".join(keys[:-1]), keys[-1]
        line = line_of(lines, keys)
        layer[section, name] = ConfigValue(raw, str(path), line, folder=path.absolute().parent)
    return layer


def read_environ(environ: Mapping[str, str]) -> Layer:
    """The layer of environment variables: ``CONCURRENCE_MASTERNODE__PORT`` is ``[masternode] port``.

    Args:
        environ: All environment variables; those without ``__`` after the prefix are not config.
    """
    layer: Layer = {}
    for variable, text in environ.items():
        section, separator, name = variable.removeprefix(ENVIRONMENT_PREFIX).rpartition("__")
        if variable.startswith(ENVIRONMENT_PREFIX) and separator and section and name:
            key = (section.lower().replace("__", "."), name.lower())
            layer[key] = ConfigValue(text, f"environment variable {variable}", is_text=True)
    return layer


def read_overrides(overrides: Sequence[str]) -> Layer:
    """The layer of ``--set`` arguments.

    Args:
        overrides: Texts ``section.name=value``; of two for the same key the later wins.

    Raises:
        ConfigError: A text has another form.
        UsageError: A program gave one text in place of a list of them.
    """
    # What came as a text arrives in characters where a caller has put more behind it.
    if isinstance(overrides, str) or [len(text) for text in overrides[:2]] == [1, 1]:
        raise UsageError("overrides is one text, not a list of them", hint='overrides=["section.name=value"]')
    layer: Layer = {}
    for text in overrides:
        key, separator, value = text.partition("=")
        key = key.strip()
        if key.startswith(f"{COMPONENTS}."):
            section, _, name = key.partition(".")
            name = name.strip("\"'")
        else:
            section, _, name = key.rpartition(".")
        if not (separator and section and name):
            raise ConfigError(
                f"{text!r} does not set a value", source="--set", hint="Write --set section.name=value."
            )
        layer[section, name] = ConfigValue(value.strip(), f"--set {key}", is_text=True)
    return layer


def _merge(layers: Sequence[Layer]) -> Layer:
    merged: Layer = {}
    for layer in layers:
        merged |= layer
    return merged


def _raw(layer: Layer, key: tuple[str, str]) -> tuple[type, str, bool] | None:
    # Compared by type and text, for in Python 1 == 1.0 == True.
    value = layer.get(key)
    return None if value is None else (type(value.raw), repr(value.raw), value.is_text)


def _leaves(path: KeyPath, table: Mapping[str, object]) -> Iterator[tuple[KeyPath, object]]:
    for name, raw in table.items():
        if isinstance(raw, dict):
            yield from _leaves((*path, name), cast("dict[str, object]", raw))
        else:
            yield (*path, name), raw


def _syntax_error(path: Path, text: str, message: str) -> ConfigError:
    place = _PLACE.search(message)
    line = int(place[1]) if place and place[1] else max(len(text.splitlines()), 1)
    message = _PLACE.sub("", message)
    twice = _TWICE.fullmatch(message)
    if twice:
        section = ".".join(re.findall(r"['\"]([^'\"]*)['\"]", twice[1]))
        told, hint = f"section [{section}] is there twice", "Put both sections' lines under one heading."
    elif message == "Cannot overwrite a value":
        found = text.split("\n")[line - 1]
        key = found.partition("=")[0].strip() if "=" in found else found.strip("[] ")
        told, hint = f"the key {key} is there twice", "Keep one of the two."
    elif message == "Invalid value":
        told, hint = (
            f"not valid TOML: {message}",
            'Strings need quotes, as in name = "value"; see https://toml.io.',
        )
    else:
        told, hint = f"not valid TOML: {message}", "See https://toml.io."
    return ConfigError(told, source=str(path), line=line, hint=hint)
