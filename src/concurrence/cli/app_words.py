"""An application's own options as words of ``concurrence run APP``: what they mean, and the help that lists them.

Its options are those that its class declares beyond what every application has. ``--frame-rate 8`` sets
``frame_rate`` of whatever section it is in. A name that ``concurrence run`` uses itself is the application's
only behind ``--``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from concurrence.env.checks import declared_options
from concurrence.env.config import ConfigValue, Layer
from concurrence.env.options import BoolOption, ChoiceOption, PathOption, StrOption
from concurrence.errors import UsageError, nearest
from concurrence.nodes.application import ApplicationNode

if TYPE_CHECKING:
    from concurrence.component import Component
    from concurrence.env.option_base import Option

_BOOLEANS = frozenset(("true", "yes", "on", "1", "false", "no", "off", "0"))


def app_options(cls: type[Component]) -> dict[str, list[Option[Any]]]:
    """The options that an application brings, by each word that means one, as in ``--frame-rate``.

    Several sections may have an option of one name: then the word means none of them.
    """
    common = set(declared_options([ApplicationNode]))
    found: dict[str, list[Option[Any]]] = {}
    for option in declared_options([cls]):
        if option not in common:
            for word in _words(option):
                found.setdefault(word, []).append(option)
    return found


def read_words(words: Sequence[str], cls: type[Component], name: str, taken: Sequence[str] = ()) -> Layer:
    """What the words behind an application's name set.

    Args:
        words: Options with their values, as they were typed.
        cls: The application.
        name: How it was called.
        taken: The options of ``concurrence run``, for the guess what a wrong word was meant to be.

    Raises:
        UsageError: A word is no option of the application, or lacks its value.
    """
    known = app_options(cls)
    listed = f"List the options of {cls.__name__} with: concurrence run {name} --help"
    layer: Layer = {}
    rest = list(words)
    while rest:
        word, is_one, text = rest.pop(0).partition("=")
        option = _meant(word, known, taken, cls.__name__, listed)
        if not is_one:
            text = _value(word, option, rest)
        layer[option.section, option.name] = ConfigValue(text.strip(), word, is_text=True)
    return layer


def shadowed(cls: type[Component], given: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """What to tell of words that ``concurrence run`` took, though the application has options of that name.

    Args:
        cls: The application.
        given: The options of ``concurrence run`` that were given.
        overrides: What was set on the command line: who also sets the application's option knows of both.
    """
    known = app_options(cls)
    notes: list[str] = []
    for word in given:
        options = known.get(word, [])
        keys = [f"{option.section}.{option.name}" for option in options]
        if not options or any(text.startswith(f"{key}=") for text in overrides for key in keys):
            continue
        own = " or ".join(f"--set {key}=VALUE" for key in keys)
        behind = f", or behind two dashes: -- {word} VALUE" if len(keys) == 1 else ""
        notes.append(
            f"note: {word} is an option of every run, and was taken as that. "
            f"{cls.__name__} has one of this name too: {own}{behind}"
        )
    return notes


def help_command(cls: type[Component], taken: Sequence[str]) -> Any:
    """A command that exists for its help and for completion: it has an application's options.

    Args:
        cls: The application.
        taken: The options of ``concurrence run``, which go before those of applications.
    """
    from rich.markup import escape

    parameters = [_parameter(option, names, escape) for option, names in _shown(cls, taken).items()]

    def command(**_values: str) -> None: ...

    # What Typer reads of a function that was written down.
    command.__dict__["__signature__"] = inspect.Signature(parameters)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    app.command(
        help=escape("\n\n".join([inspect.getdoc(cls) or cls.__name__, *_unshown(cls, taken)])),
        epilog="The options of every run, as --workers and --master: concurrence run --help",
        context_settings={"help_option_names": []},
    )(command)
    return typer.main.get_command(app)


def _words(option: Option[Any]) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name in (option.name, *option.aliases)]


def _meant(
    word: str, known: dict[str, list[Option[Any]]], taken: Sequence[str], name: str, listed: str
) -> Option[Any]:
    options = known.get(word.replace("_", "-"), [])
    if len(options) == 1:
        return options[0]
    if options:
        keys = " or ".join(f"--set {option.section}.{option.name}=VALUE" for option in options)
        raise UsageError(f"{word} is not clear: {name} has several options of this name", hint=f"Say {keys}")
    if not word.startswith("-"):
        raise UsageError(f"unexpected word {word!r} behind the application {name}", hint=listed)
    near = nearest(word, [*known, *taken])
    guess = f"Did you mean {near}? " if near else ""
    raise UsageError(f"{name} has no option {word}", hint=guess + listed)


def _value(word: str, option: Option[Any], rest: list[str]) -> str:
    if isinstance(option, BoolOption):
        return rest.pop(0) if rest and rest[0].lower() in _BOOLEANS else "true"
    if not rest or rest[0].startswith("--"):
        raise UsageError(f"{word} lacks its value: {option.expectation()}", hint=f"Write {word}=VALUE")
    return rest.pop(0)


def _shown(cls: type[Component], taken: Sequence[str]) -> dict[Option[Any], list[str]]:
    """The options that can be said, each with the words for it."""
    words: dict[Option[Any], list[str]] = {}
    for word, options in app_options(cls).items():
        if len(options) == 1 and word not in taken:
            words.setdefault(options[0], []).append(word)
    return words


def _unshown(cls: type[Component], taken: Sequence[str]) -> list[str]:
    """What is to be said of the others: those that share their word, or have one that every run has."""
    shown = _shown(cls, taken)
    all_options = dict.fromkeys(option for options in app_options(cls).values() for option in options)
    return [
        f"Also: --set {option.section}.{option.name}=VALUE. {option.doc}"
        for option in all_options
        if option not in shown
    ]


def _parameter(option: Option[Any], names: list[str], escape: Callable[[str], str]) -> inspect.Parameter:
    choices = option.choices if isinstance(option, ChoiceOption) else ()

    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    default = option.default_toml().strip('"') or None
    declared = typer.Option(
        default,
        *names,
        help=escape(f"{option.doc} {_bounds(option)}".strip()),
        metavar="[true|false]" if isinstance(option, BoolOption) else option.name.upper(),
        autocompletion=complete,
    )
    return inspect.Parameter(
        names[0].lstrip("-").replace("-", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=declared,
        annotation=str | None,
    )


def _bounds(option: Option[Any]) -> str:
    """What a value must be, as a sentence; nothing where that goes without saying."""
    text = option.expectation()
    is_plain = isinstance(option, BoolOption) or text in (StrOption.expected, PathOption.expected)
    return "" if is_plain else f"{text[0].upper()}{text[1:]}."
