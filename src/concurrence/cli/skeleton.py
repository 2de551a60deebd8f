"""Skeletons of plug-ins: small ones that work, with a test, to be changed into what is wanted."""

from __future__ import annotations

import ast
import importlib.util
import keyword
import re
import shlex
import sys
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from concurrence.component import Component
from concurrence.env.whole import make_parents
from concurrence.errors import UsageError

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = ("tests", "conftest", "components", "project")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of plug-in that there is a skeleton of.

    Attributes:
        name: As on the command line.
        what: What it is, for people.
        chosen: The lines of the config that choose it; ``$Class`` stands for its component.
        command: What uses it, behind ``concurrence``; empty if that is any application.
    """

    name: str
    what: str
    chosen: tuple[str, ...] = ()
    command: str = ""

    @property
    def module(self) -> str:
        """The template's file, and that of its test behind ``test_``."""
        return f"{self.name}.py.txt"


KINDS = {
    kind.name: kind
    for kind in (
        Kind("app", "an application", ("[project]", 'app = "$Class"'), "run $Class"),
        Kind(
            "strategy",
            "a strategy that rates slaves",
            (
                "[masternode]",
                'task_scheduler = "GenericTaskScheduler"',
                "[generictaskscheduler]",
                'strategy = "$Class"',
            ),
        ),
        Kind("scheduler", "a task scheduler", ("[masternode]", 'task_scheduler = "$Class"')),
        Kind("task-manager", "a task manager", ("[slavenode]", 'task_manager = "$Class"')),
        Kind("transport", "a transport", ("[node]", 'transport = "$Class"')),
        Kind("journal", "a journal", ("[masternode]", 'journal = "$Class"')),
        Kind("command", "a command", command="$command"),
        Kind("service", "a service inside nodes"),
    )
}


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A skeleton with a name.

    Args:
        kind: What it is.
        name: The name of its module.
    """

    kind: Kind
    name: str

    @property
    def class_name(self) -> str:
        """The name of its component."""
        return "".join(part[:1].upper() + part[1:] for part in self.name.split("_"))

    @property
    def words(self) -> dict[str, str]:
        """What the placeholders of the templates stand for."""
        command = self.name.replace("_", "-").strip("-")
        return {
            "name": self.name,
            "Class": self.class_name,
            "command": command,
            "distribution": f"concurrence-{command}",
            "kind": self.kind.name,
        }

    def filled(self, text: str, **more: str) -> str:
        """A text with the placeholders filled in."""
        return Template(text).substitute(self.words, **more)

    def config(self) -> list[str]:
        """The lines of the config that choose it; none if it needs not be chosen."""
        return [self.filled(line) for line in self.kind.chosen]

    def check_name(self, known: Collection[type[Component]], commands: Collection[str]) -> None:
        """Refuse a name that would be in the way of something else.

        Args:
            known: The component classes that there are.
            commands: The names of the built-in commands.

        Raises:
            UsageError: The text says what is in the way.
        """
        _check_module_name(self.name)
        taken = next((cls for cls in known if _plain(cls.__name__) == _plain(self.class_name)), None)
        if taken is not None:
            place = f"{taken.__module__}:{taken.__qualname__}"
            raise UsageError(f"there is a component called {taken.__name__}: {place}", hint="Choose another name.")
        if self.kind.name == "command" and self.words["command"] in commands:
            raise UsageError(
                f"concurrence {self.words['command']} is a built-in command", hint="Choose another name."
            )
        if self.class_name in self._used_names():
            raise UsageError(
                f"the skeleton uses the name {self.class_name} for something else", hint="Choose another name."
            )

    def files_in_environment(self, environment: Path) -> dict[Path, str]:
        """The texts of its files by their paths, in an environment."""
        plugins = environment / "plugins"
        return {
            plugins / f"{self.name}.py": self.filled(_template(self.kind.module)),
            plugins / "tests" / f"test_{self.name}.py": self.filled(_template(f"test_{self._test_module}")),
        }

    def files_of_package(self, folder: Path) -> dict[Path, str]:
        """The texts of its files by their paths, as a project that can be installed."""
        root = folder / self.words["distribution"]
        lines = self.config()
        use = "Choose it in the config of an environment:" if lines else f"It is {self.kind.what}."
        use = "\n".join([use, *([""] if lines else []), *(f"    {line}" for line in lines)])
        return {
            root / "pyproject.toml": self.filled(_template("pyproject.toml.txt")),
            root / "README.md": self.filled(_template("README.md.txt"), use=use),
            root / "src" / self.name / "__init__.py": self.filled(_template(self.kind.module)),
            root / "tests" / f"test_{self.name}.py": self.filled(_template(f"test_{self._test_module}")),
        }

    def next_steps(self, environment: Path | None, root: Path) -> list[str]:
        """What to do now, for people.

        Args:
            environment: The environment that it is in; None for a package.
            root: The folder of the package, or of the environment.
        """
        place = f"--env {shlex.quote(str(root))}"
        if environment is not None:
            steps = [("test it", f"concurrence plugin test {self.name} {place}")]
        else:
            quoted = shlex.quote(str(root))
            steps = [("test it", f"concurrence plugin test {quoted}"), ("install it", f"pip install {quoted}")]
        suffix = f" {place}" if environment is not None else ""
        steps.append(("see it", f"concurrence plugin list{suffix}"))
        steps += [("choose it" if not index else "", line) for index, line in enumerate(self.config())]
        if self.kind.name == "command":
            steps.append(("use it", f"concurrence {f'{place} ' if suffix else ''}{self.words['command']}"))
        elif self.kind.command:
            steps.append(("use it", f"concurrence {self.filled(self.kind.command)}{suffix}"))
        elif not self.kind.chosen:
            steps.append(("use it", "it takes part in every node by itself; [components] can disable it"))
        return [f"  {f'{what}:' if what else '':<12}{how}" for what, how in steps]

    def _used_names(self) -> set[str]:
        """The names that module and test define or import for their own use."""
        neutral = Skeleton(self.kind, "skeleton__")
        names: set[str] = set()
        for text in neutral.files_in_environment(Path()).values():
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Name):
                    names.add(node.id)
                elif isinstance(node, ast.ClassDef | ast.FunctionDef):
                    names.add(node.name)
                elif isinstance(node, ast.alias):
                    names.add(node.asname or node.name)
        return names

    @property
    def _test_module(self) -> str:
        return self.kind.module.replace("-", "_")


def refuse_existing(paths: Iterable[Path]) -> None:
    """Refuse to overwrite anything.

    Raises:
        UsageError: One of the files exists.
    """
    for path in paths:
        if path.exists() or path.is_symlink():
            raise UsageError(f"{path} exists already", hint="Choose another name, or remove it first.")


def write_all(texts: dict[Path, str]) -> None:
    """Write files that must not exist yet.

    Args:
        texts: The texts by path.

    Raises:
        UsageError: One of the files exists, or cannot be written; then nothing was written.
    """
    refuse_existing(texts)
    written: list[Path] = []
    made: list[Path] = []
    try:
        for path, text in texts.items():
            made = [*make_parents(path.parent), *made]
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        for folder in made:
            with suppress(OSError):  # somebody else has put something there
                folder.rmdir()
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}") from error


def _check_module_name(name: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name in _RESERVED or name.startswith("test_"):
        near = re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).strip("_").lower()
        is_better = near != name and _NAME.fullmatch(near) and not keyword.iskeyword(near)
        guess = f" Did you mean {near}?" if is_better else ""
        raise UsageError(
            f"{name!r} cannot be the name of a plug-in",
            hint=f"It becomes a module: lower-case letters, digits and _, no word of Python or pytest's.{guess}",
        )
    if name in sys.stdlib_module_names:
        raise UsageError(f"{name} is a module of the standard library", hint="Choose another name.")
    found = importlib.util.find_spec(name)
    if found is not None and found.origin is not None:
        raise UsageError(f"there is a module called {name}: {found.origin}", hint="Choose another name.")


def _template(file: str) -> str:
    return (files("concurrence.cli") / "skeletons" / file).read_text(encoding="utf-8")


def _plain(name: str) -> str:
    return name.replace("_", "").casefold()
