"""Watching the config files of a running node: which of them changed, when to read them, what to say.

There is no thread here: the node's loop calls :meth:`ConfigWatch.look` once a second.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

from concurrence.env.config import ConfigChanges, ConfigValue
from concurrence.env.option_base import Option, quoted
from concurrence.errors import ConfigError

LOOK_SECONDS = 1.0
"""How often a node looks at its config files."""

_MAX_UNSETTLED = 5
"""After so many looks that each saw another change the files are read all the same."""

Signature: TypeAlias = tuple[int, int, int] | None


class FileWatch:
    """Tells whether files changed since it was last asked, by what the file system says of them.

    A file that appears, disappears or is replaced by another one of the same name has changed.

    Args:
        paths: The files, those that do not exist included.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(paths)
        self._known = self._signatures()

    def changed(self) -> bool:
        """Whether any of them differs from what it was at the last call."""
        now = self._signatures()
        before, self._known = self._known, now
        return now != before

    def _signatures(self) -> list[Signature]:
        return [_signature(path) for path in self._paths]


def _signature(path: Path) -> Signature:
    try:
        found = os.stat(path)
    except OSError:  # not there, or not to be seen: when that changes, the file has changed
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def tell_changes(
    log: logging.Logger, changes: ConfigChanges, options: Iterable[Option[Any]], *, is_child: bool = False
) -> None:
    """Log what a reload found, a line for each change: what was adopted, and what needs a restart.

    Args:
        log: Where to.
        changes: What was found.
        options: All that are known; what else changed and was adopted is nobody's here, and not told.
        is_child: Whether another node tells people the same.
    """
    by_key = {(option.section, option.name): option for option in options}
    for change in changes.details:
        key = change.section, change.name
        option = by_key.get(key)
        text = (
            f"[{change.section}] {change.name}: {_written(change.old, option)} -> {_written(change.new, option)}"
        )
        place = "default" if change.new is None else change.new.origin
        if key in changes.pending:
            level = logging.DEBUG if is_child else logging.WARNING
            log.log(level, "config changed: %s (%s) takes effect after a restart", text, place)
        elif option is not None:
            log.log(logging.DEBUG if is_child else logging.INFO, "config changed: %s (%s)", text, place)


def _written(value: ConfigValue | None, option: Option[Any] | None) -> str:
    """A value as one writes it in a file; the option's default where there is none."""
    if value is None:
        return option.default_toml() or "none" if option is not None else "none"
    if value.is_text:
        return str(value.raw)
    return _toml(value.raw)


def _toml(raw: object) -> str:
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, str):
        return quoted(raw)
    if isinstance(raw, list):
        return f"[{', '.join(_toml(each) for each in cast('list[object]', raw))}]"
    return str(raw)


class IReloads(Protocol):
    """What reads its config again: an environment."""

    log: logging.Logger

    def reload(self, *, is_child: bool = False) -> ConfigChanges:
        """Read the config again and adopt what is live.

        Raises:
            ConfigError: The new config cannot be read or is wrong; the old one stays.
        """
        ...

    def watched_files(self) -> list[Path]:
        """The config files, those that may still appear included."""
        ...


class ConfigWatch:
    """Has a changed config read when its files have come to rest.

    A file that is being written may be read half. So a change is adopted, or complained about, at the first
    look at which nothing changed any more; what is wrong is said once for each way of being wrong.

    Args:
        environment: The one whose config it is.
        on_changed: Called after live options changed.
        is_child: Whether another node, which watches the same files, says what is wrong with them.
    """

    def __init__(
        self, environment: IReloads, on_changed: Callable[[ConfigChanges], None], *, is_child: bool = False
    ) -> None:
        self._environment = environment
        self._on_changed = on_changed
        self._is_child = is_child
        self._watch = FileWatch(environment.watched_files())
        self._unsettled = 1  # the files may have changed between their being read and now
        self._told = ""

    def look(self) -> None:
        """See whether something changed, and read it once it does not change any more."""
        if self._watch.changed():
            self._unsettled += 1
            if self._unsettled > _MAX_UNSETTLED:
                self._unsettled = 1
                self._reload(is_settled=False)
        elif self._unsettled:
            self._unsettled = 0
            self._reload(is_settled=True)

    def reload(self) -> None:
        """Read the config now, because somebody asked for it."""
        self._unsettled = 0
        self._watch.changed()
        self._told = ""
        self._reload(is_settled=True)

    def _reload(self, *, is_settled: bool) -> None:
        try:
            changes = self._environment.reload(is_child=self._is_child)
        except ConfigError as error:
            if is_settled:
                self._complain(str(error))
            return
        self._told = ""
        if changes.applied:
            self._on_changed(changes)

    def _complain(self, text: str) -> None:
        if text == self._told:
            return
        self._told = text
        level = logging.DEBUG if self._is_child else logging.ERROR
        self._environment.log.log(level, "the config is not adopted, and nothing of it changes: %s", text)
