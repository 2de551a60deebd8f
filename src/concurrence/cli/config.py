"""``concurrence config``: what is configured, what can be, and how to change it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concurrence.cli.completion import complete_keys
from concurrence.cli.failures import note_broken, report
from concurrence.cli.options import (
    ConfigOption,
    EnvOption,
    JsonOption,
    SetOption,
    environment_folder,
    examples,
    files_of,
    show_help,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from concurrence.env.config_sources import Sources
    from concurrence.env.config_values import EffectiveValue
    from concurrence.env.environment import Environment
    from concurrence.errors import UsageError

commands = typer.Typer(
    callback=show_help, invoke_without_command=True, help="Show, explain, check and change the configuration."
)

KeyArgument = Annotated[
    str,
    typer.Argument(metavar="SECTION.NAME", autocompletion=complete_keys, help="The option.", show_default=False),
]
WordsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SECTION[.NAME]]...", help="Which ones.", show_default="all"),
]
OriginOption = Annotated[bool, typer.Option("--origin", help="Tell where each value comes from.")]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "-c", metavar="FILE", help="The file to edit.", show_default="the environment's concurrence.toml"
    ),
]


@commands.command(
    epilog=examples(
        "concurrence config show",
        "concurrence config show masternode --origin",
        "concurrence config show --changed --json",
    )
)
def show(
    words: WordsArgument = None,
    origin: OriginOption = False,
    json: JsonOption = False,
    changed: Annotated[
        bool, typer.Option("--changed/--all", help="Only what is not at its default, or all options.")
    ] = False,
    env: EnvOption = None,
    config: ConfigOption = None,
    set: SetOption = None,  # noqa: A002  the option's name
) -> int:
    """Show the value that each option has, defaults included."""
    from concurrence.cli.config_display import print_json, print_lines, values_json, values_lines
    from concurrence.env.config_report import known_options, select
    from concurrence.env.config_values import DEFAULT, config_errors, effective_values

    environment, sources = _opened(env, config, set)
    with environment:
        values = effective_values(environment, sources, known_options(environment))
        chosen = select([(value.section, value.name) for value in values], words or ())
        values = [value for value in values if (value.section, value.name) in chosen]
        values = [value for value in values if not changed or value.origin != DEFAULT]
        if json:
            print_json(values_json(values, origin=origin))
        else:
            print_lines(values_lines(values, origin=origin))
        note_broken(environment.plugin_failures)
        errors = config_errors(environment, sources)
    for error in errors:
        report(error.message, error.hint)
    return 1 if errors else 0


@commands.command(
    epilog=examples(
        "concurrence config doc", "concurrence config doc masternode.port", "concurrence config doc --json"
    )
)
def doc(
    words: WordsArgument = None,
    json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a page of Markdown.")] = False,
    env: EnvOption = None,
) -> int:
    """Explain the options of all loaded components: type, units, choices, default, and what they do."""
    from concurrence.cli.config_display import components_lines, doc_json, doc_lines, print_json, print_lines
    from concurrence.env.config import COMPONENTS
    from concurrence.env.config_report import known_options, options_markdown, select
    from concurrence.errors import UsageError

    if json and markdown:
        raise UsageError("--json and --markdown exclude each other")
    environment, _ = _opened(env, None, None)
    with environment:
        options = known_options(environment)
        chosen = select([(option.section, option.name) for option in options], words or ())
        options = [option for option in options if (option.section, option.name) in chosen]
        with_components = not words or COMPONENTS in words
        if json:
            print_json(doc_json(options))
        elif markdown:
            print_lines(options_markdown(options, components=with_components).splitlines())
        else:
            print_lines(doc_lines(options))
            print_lines(components_lines() if with_components else ())
        note_broken(environment.plugin_failures)
    return 0


@commands.command(
    epilog=examples("concurrence config get masternode.port", "concurrence config get logging.level --origin")
)
def get(
    key: KeyArgument,
    origin: Annotated[bool, typer.Option("--origin", help="Print where the value comes from instead.")] = False,
    json: JsonOption = False,
    env: EnvOption = None,
    config: ConfigOption = None,
    set: SetOption = None,  # noqa: A002  the option's name
) -> int:
    """Print the value of one option, and nothing else."""
    from concurrence.cli.config_display import plain, print_json, print_lines
    from concurrence.env.config import COMPONENTS
    from concurrence.env.config_report import json_value
    from concurrence.env.config_sources import split_key
    from concurrence.env.config_values import value_errors

    section, name = split_key(key)
    environment, sources = _opened(env, config, set)
    with environment:
        for error in sources.errors:
            raise error
        value = _find(environment, sources, section, name)
        if value is None or (value.known is None and section != COMPONENTS):
            raise _unknown(environment, section, name)
        if value.is_wrong:
            for error in value_errors(environment, section, name, sources.history(section, name)[0]):
                report(error.message, error.hint)
            return 1
        if json:  # with --origin all that is known of it, as show has it
            print_json(value.as_json() if origin else json_value(value.toml))
        else:
            print_lines([value.origin if origin else plain(value.toml)])
    return 0


@commands.command(
    "set",
    epilog=examples(
        "concurrence config set masternode.port 9000",
        "concurrence config set masternode.delivery_window '64 MB'",
        "concurrence config set logging.level=DEBUG",
        "concurrence config set 'components.my_plugin:*' false",
    ),
)
def set_(
    key: Annotated[
        str,
        typer.Argument(metavar="SECTION.NAME", help="The option; also SECTION.NAME=VALUE.", show_default=False),
    ],
    value: Annotated[
        str | None, typer.Argument(metavar="VALUE", help="Its new value.", show_default=False)
    ] = None,
    file: FileOption = None,
    env: EnvOption = None,
) -> int:
    """Change an option in the config file; everything else in the file stays as it is."""
    from concurrence.env.config_edit import set_value
    from concurrence.env.config_report import known_options
    from concurrence.env.config_sources import split_key
    from concurrence.env.config_values import text_toml
    from concurrence.errors import UsageError

    if value is None:
        key, separator, value = key.partition("=")
        if not separator:
            raise UsageError(f"no value for {key}", hint=f"Write: concurrence config set {key} VALUE")
    section, name = split_key(key)
    with _edited(env, file) as environment:
        options = {(option.section, option.name): option for option in known_options(environment)}
        toml = text_toml(environment, options.get((section, name)), section, name, value)
        _edit(environment, file, (section, name), lambda text: set_value(text, section, name, toml))
    return 0


@commands.command(epilog=examples("concurrence config unset masternode.port"))
def unset(key: KeyArgument, file: FileOption = None, env: EnvOption = None) -> int:
    """Take an option out of the config file; then another layer holds, or its default."""
    from concurrence.env.config_edit import unset_value
    from concurrence.env.config_sources import split_key

    section, name = split_key(key)
    with _edited(env, file) as environment:
        if _find(environment, _sources(environment, file), section, name) is None:
            raise _unknown(environment, section, name)
        _edit(environment, file, (section, name), lambda text: unset_value(text, section, name))
    return 0


@commands.command(
    epilog=examples("concurrence config check", "concurrence config check -c night.toml --set masternode.port=1")
)
def check(
    json: JsonOption = False,
    env: EnvOption = None,
    config: ConfigOption = None,
    set: SetOption = None,  # noqa: A002  the option's name
) -> int:
    """Find everything that is wrong with the configuration: with file, line, and what was probably meant."""
    from concurrence.cli.config_display import errors_json, print_json
    from concurrence.env.config_values import config_errors

    environment, sources = _opened(env, config, set)
    with environment:
        errors = config_errors(environment, sources)
        note_broken(environment.plugin_failures)
    if json:
        print_json(errors_json(errors))
        return int(bool(errors))
    for error in errors:
        report(error.message, error.hint)
    if errors:
        return 1
    count = sum(len(layer) for layer in sources.layers)
    names = dict.fromkeys(name for name, layer in zip(sources.names, sources.layers, strict=True) if layer)
    print(
        f"ok: {count} value{'' if count == 1 else 's'} in {', '.join(names)}" if count else "ok: all at defaults"
    )
    return 0


def _opened(
    env: Path | None, config: list[Path] | None, overrides: list[str] | None
) -> tuple[Environment, Sources]:
    """The environment with as much of its configuration as can be read."""
    from concurrence.env.config_sources import open_readable
    from concurrence.env.log import configure_logging

    configure_logging("CRITICAL")  # plug-ins that fail are told of by the command
    return open_readable(env, overrides=overrides or (), config_files=files_of(config))


def _find(environment: Environment, sources: Sources, section: str, name: str) -> EffectiveValue | None:
    """The value of a key; None if it is no option and no layer has it."""
    from concurrence.env.config_report import known_options
    from concurrence.env.config_values import effective_value

    options = {(option.section, option.name): option for option in known_options(environment)}
    known = options.get((section, name))
    is_there = known is not None or bool(sources.history(section, name))
    return effective_value(environment, sources, (section, name), known) if is_there else None


def _unknown(environment: Environment, section: str, name: str) -> UsageError:
    from concurrence.env.config_report import known_options, unknown_option

    return unknown_option(known_options(environment), section, name)


def _sources(environment: Environment, file: Path | None) -> Sources:
    """The layers with what is in the files now."""
    from concurrence.env.config_sources import own_file, read_sources

    sources = read_sources(own_file(environment), files_of([file] if file else None))
    for error in sources.errors:
        raise error
    return sources


def _edit(environment: Environment, file: Path | None, key: tuple[str, str], change: Callable[[str], str]) -> None:
    """Change the file, and tell what that did."""
    from concurrence.cli.config_display import described, edit_lines, print_lines
    from concurrence.env.config_file import edit_file
    from concurrence.env.config_sources import own_file

    path = own_file(environment) if file is None else file.absolute()
    before = _find(environment, _sources(environment, file), *key)
    is_changed = edit_file(path, change, create=file is None)
    sources = _sources(environment, file)
    after = _find(environment, sources, *key)
    written = next((value for value in sources.history(*key) if value.source == str(path)), None)
    place = written.origin if written else str(path)
    name = ".".join(key)
    if is_changed:
        print_lines(edit_lines(name, place, before, after, is_set=written is not None))
    elif written:
        print_lines([f"{name} is that already: {place}"])
    else:
        print_lines([f"{name} is not in {path}; it is {described(after) if after else 'not set'}"])


def _edited(env: Path | None, file: Path | None) -> Environment:
    """The environment whose configuration is edited, with the file of ``-c`` if there is one."""
    from concurrence.env.log import configure_logging
    from concurrence.nodes.running import open_environment

    configure_logging("CRITICAL")  # plug-ins that fail are told of by the command
    if file is None:
        folder = environment_folder(env, reason=", so there is no file to edit", hint="Name a file: -c FILE")
    else:
        folder = env
    environment = open_environment(folder, config_files=files_of([file] if file else None))
    note_broken(environment.plugin_failures)
    return environment
