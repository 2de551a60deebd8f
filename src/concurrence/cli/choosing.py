"""Which application a word on the command line means: the name of a loaded one, a file, or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from concurrence.component import Component
from concurrence.env.environment import Environment
from concurrence.errors import UsageError
from concurrence.nodes.api import IApp
from concurrence.nodes.master import MasterNode
from concurrence.nodes.slave import SlaveNode

_LIST_HINT = "List what there is with: concurrence apps"


def is_server(cls: type[Component]) -> bool:
    """Whether a class is a master or a slave: an ``IApp`` that has a command of its own."""
    return issubclass(cls, MasterNode | SlaveNode)


def choose_app(environment: Environment, given: str | None) -> type[Component]:
    """The application to run; if it is a path, it is loaded.

    Args:
        environment: Where it is known or loaded.
        given: What the user named; None for what the environment's config names.

    Raises:
        UsageError: There is no such application, or no single one.
        PluginError: It cannot be imported.
    """
    if given is None:
        word = environment.app_name
        if not word:
            raise UsageError(
                "no application is named", hint=f"Run one by name or file: concurrence run APP. {_LIST_HINT}"
            )
        base = environment.path
    else:
        word, base = given, Path.cwd()
    path, name = _split(word, base)
    if path is None:
        return _by_name(environment, word)
    return _from_path(environment, path, name, word)


def _split(word: str, base: Path) -> tuple[Path | None, str]:
    """The path in a word, if it is one, and the class behind its colon."""
    front, _, name = word.rpartition(":") if ":" in word else (word, "", "")
    path = base / Path(front).expanduser()
    looks_like_path = front.endswith(".py") or "/" in front or front in (".", "..")
    return (path if looks_like_path or path.is_dir() else None), name


def _from_path(environment: Environment, path: Path, name: str, word: str) -> type[Component]:
    if not name and "/" not in word and path.suffix != ".py":
        # A folder that happens to be called like an application does not hide it.
        with suppress(UsageError):
            return _by_name(environment, word)
    file = _with_ending(word)
    if not path.exists() and file is not None:
        raise UsageError(f"no application at {path.resolve()}", hint=f"Run the file: concurrence run {file}")
    apps = [cls for cls in environment.load_app(path.resolve()) if issubclass(cls, IApp)]
    if name:
        return _named(apps, name, path)
    if len(apps) == 1:
        return apps[0]
    if not apps:
        raise UsageError(
            f"there is no application in {path}",
            hint="Derive a class from ApplicationNode, and implement what it lacks.",
        )
    raise UsageError(
        f"there are {len(apps)} applications in {path}: {_names(apps)}",
        hint=f"Name one of them: concurrence run {word}:{apps[0].__name__}",
    )


def _by_name(environment: Environment, word: str) -> type[Component]:
    known = environment.registered()
    try:
        return environment.find(IApp, word, [cls for cls in known if not is_server(cls)])
    except UsageError as error:
        hint = error.hint
    message = f"no application is called {word!r}"
    with suppress(UsageError):
        server = environment.find(IApp, word, [cls for cls in known if is_server(cls)])
        command = "master" if issubclass(server, MasterNode) else "slave"
        message, hint = f"{server.__name__} is no application", f"Start it with: concurrence {command}"
    file = _with_ending(word)
    if file is not None:
        hint = f"Run the file: concurrence run {file}"
    raise UsageError(message, hint=hint)


def _with_ending(word: str) -> str | None:
    """What was meant if only the ``.py`` of a file is missing; None if there is no such file."""
    front, colon, name = word.partition(":")
    is_file = bool(front) and Path(f"{front}.py").expanduser().is_file()
    return f"{front}.py{colon}{name}" if is_file else None


def _named(apps: Sequence[type[Component]], name: str, path: Path) -> type[Component]:
    for cls in apps:
        if cls.__name__ == name:
            return cls
    raise UsageError(f"there is no application {name} in {path}", hint=f"It has: {_names(apps) or 'none'}.")


def _names(apps: Sequence[type[Component]]) -> str:
    return ", ".join(cls.__name__ for cls in apps)
