"""The page of commands, from the functions behind them and what they declare."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import typer
from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from concurrence.cli.main import app, root
from tools.reference.text import slug

_INTRO = """\
Every command, with its arguments, options and examples. `concurrence COMMAND --help` says the same; plug-ins can
add commands of their own: [plug-ins](../plugins.md).

`concurrence --env PATH COMMAND` is `concurrence COMMAND --env PATH`; a command that comes from a plug-in
of that environment is only found in the first way. `concurrence --install-completion` makes the Tab key of your
shell complete commands, options and applications.

Exit codes: 0 for success, 1 for a failure, 2 for wrong usage, 130 after Ctrl-C; that of `concurrence run` is the
application's own.
"""


def commands_markdown() -> str:
    """The page."""
    commands = list(_commands(app, ["concurrence"]))
    lines = ["# Commands", "", _INTRO, "| command | what it does |", "|---|---|"]
    lines += [f"| [`{name}`](#{slug(name)}) | {_summary(function)} |" for name, function, _ in commands]
    lines += ["", "## concurrence", "", *_parameters(root)]
    for name, function, epilog in commands:
        lines += [f"## {name}", "", *_help(function), "", "```text", _usage(name, function), "```", ""]
        lines += [*_parameters(function), *_examples(epilog)]
    return "\n".join(lines).rstrip() + "\n"


def _commands(group: typer.Typer, words: list[str]) -> Iterator[tuple[str, Callable[..., Any], str]]:
    """The commands that are shown, each with its name, its function and the end of its help."""
    for info in group.registered_commands:
        function = info.callback
        if function is not None and not info.hidden:
            name = info.name or function.__name__.replace("_", "-")
            yield " ".join([*words, name]), function, info.epilog or ""
    for below in group.registered_groups:
        if below.typer_instance is not None and below.name:
            yield from _commands(below.typer_instance, [*words, below.name])


def _help(function: Callable[..., Any]) -> list[str]:
    return inspect.cleandoc(function.__doc__ or "").replace("``", "`").splitlines()


def _summary(function: Callable[..., Any]) -> str:
    paragraph = inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0]
    return " ".join(paragraph.split()).replace("``", "`")


def _declared(function: Callable[..., Any]) -> Iterator[tuple[str, ParameterInfo, Any, Any]]:
    """Name, declaration, type and default of each parameter that a command line has."""
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        for mark in getattr(hints[name], "__metadata__", ()):
            if isinstance(mark, ParameterInfo) and not mark.hidden:
                yield name, mark, hints[name].__origin__, parameter.default


def _usage(command: str, function: Callable[..., Any]) -> str:
    declared = list(_declared(function))
    words = [command]
    words += ["[OPTIONS]"] if any(isinstance(mark, OptionInfo) for _, mark, _, _ in declared) else []
    for name, mark, _, default in declared:
        if isinstance(mark, ArgumentInfo):
            word = mark.metavar or name.upper()
            words.append(word if _is_required(default) or word.startswith("[") else f"[{word}]")
    return " ".join(words)


def _parameters(function: Callable[..., Any]) -> list[str]:
    rows = [
        f"| {_written(name, mark, kind)} | {_explained(mark, kind, default)} |"
        for name, mark, kind, default in _declared(function)
    ]
    return ["| argument or option | |", "|---|---|", *rows, ""] if rows else []


def _written(name: str, mark: ParameterInfo, kind: Any) -> str:
    if isinstance(mark, ArgumentInfo):
        return f"`{mark.metavar or name.upper()}`"
    # Annotated[..., typer.Option("--env")]: the first word arrives where the default would.
    words = [word for word in (mark.default, *(mark.param_decls or ())) if isinstance(word, str)]
    forms = [form for word in words or [f"--{name.replace('_', '-')}"] for form in word.split("/")]
    plain = _of_one_value(kind)
    if plain is bool:
        return ", ".join(f"`{form}`" for form in forms)
    value = mark.metavar or _value_of(plain)
    return ", ".join(f"`{form} {value}`" for form in forms).replace("|", "\\|")


def _value_of(kind: type) -> str:
    return "|".join(str(each.value) for each in kind) if issubclass(kind, Enum) else kind.__name__.upper()


def _explained(mark: ParameterInfo, kind: Any, default: Any) -> str:
    text = (mark.help or "").replace("|", "\\|")
    if typing.get_origin(_without_none(kind)) is list:
        text += " Can be repeated."
    if isinstance(mark.show_default, str):
        text += f" Default: {mark.show_default}."
    elif _is_required(default):
        text += " Required."
    elif default is not None and not isinstance(default, bool):
        text += f" Default: `{default.value if isinstance(default, Enum) else default}`."
    return text


def _examples(epilog: str) -> list[str]:
    lines = [line for line in epilog.splitlines() if line.startswith("$ ")]
    return ["```text", *lines, "```", ""] if lines else []


def _is_required(default: object) -> bool:
    return default is inspect.Parameter.empty or default is ...


def _without_none(kind: Any) -> Any:
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return next(each for each in typing.get_args(kind) if each is not type(None))
    return kind


def _of_one_value(kind: Any) -> Any:
    kind = _without_none(kind)
    return typing.get_args(kind)[0] if typing.get_origin(kind) is list else kind
