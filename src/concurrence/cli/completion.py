"""What the shell offers to complete: applications and options, as far as plug-ins and environment tell them.

A completion that cannot be had is none: whatever goes wrong here must not end up in the middle of a command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from concurrence.env.environment import Environment

HIDDEN = frozenset({"install_completion", "show_completion"})
"""The root's options for this; the documentation tells of them, the help of every day need not."""


def is_for_a_shell() -> bool:
    """Whether a shell asks for completions."""
    return os.environ.get("_CONCURRENCE_COMPLETE", "").startswith("complete")


def be_silent_for_a_shell() -> None:
    """A shell that asks for completions shows standard error amid the user's line: then nothing goes there."""
    if is_for_a_shell():
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  until the process ends, which is soon


def complete_apps(ctx: Any, incomplete: str) -> list[str]:
    """Names of applications, in small letters unless somebody begins with a large one; files are the shell's."""
    small = incomplete == incomplete.lower()
    names = [name.lower() if small else name for name in _asked(ctx, _apps)]
    return [name for name in names if name.startswith(incomplete)]


def complete_keys(ctx: Any, incomplete: str) -> list[str]:
    """Options, as ``section.name``: up to the dot only sections, if there are several."""
    keys = [key for key in _asked(ctx, _keys) if key.startswith(incomplete)]
    sections = sorted({key.partition(".")[0] + "." for key in keys})
    return keys if "." in incomplete or len(sections) == 1 else sections


def complete_settings(ctx: Any, incomplete: str) -> list[str]:
    """The same with an equals sign, for ``--set``."""
    if "=" in incomplete:
        return []
    return [key if key.endswith(".") else f"{key}=" for key in complete_keys(ctx, incomplete)]


def _asked(ctx: Any, question: Callable[[Environment], Iterable[str]]) -> list[str]:
    from concurrence.nodes.running import open_environment

    path: Path | None = ctx.params.get("env") or ctx.find_root().params.get("environment")
    try:
        with open_environment(path) as environment:
            return sorted(question(environment))
    except Exception:  # noqa: BLE001  the command itself will tell what is wrong; a shell cannot
        return []


def _apps(environment: Environment) -> Iterable[str]:
    from concurrence.cli.choosing import is_server
    from concurrence.nodes.api import IApp

    return {cls.__name__ for cls in environment.implementation_classes(IApp) if not is_server(cls)}


def _keys(environment: Environment) -> Iterable[str]:
    from concurrence.env.checks import declared_options

    options = declared_options([type(environment), *environment.registered()])
    return {f"{option.section}.{option.name}" for option in options}
